"""Two hundred inits at once on a hundred credits, in both databases: exactly a hundred rooms."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from embedenv_jupyter.accounts import Kind
from embedenv_jupyter.errors import CloseCode, InsufficientCreditsError
from embedenv_jupyter.sandbox.spec import MIB
from tests.integration.conftest import Served
from tests.integration.spaces.conftest import DialRaw
from tests.integration.spaces.peers import Raw


@pytest.fixture(params=["sqlite", "postgresql"])
def embedenv_config(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Small rooms, paid for from a database of this kind, whose URL is as an operator writes it."""
    small = {"max_rooms": 1000, "memory_mib": 32, "pids": 16, "workspace_mib": 1, "tmp_mib": 1}
    if request.param == "sqlite":
        return small
    url: str = request.getfixturevalue("postgres_url")
    return {**small, "database_url": url.replace("+asyncpg", "", 1)}


async def test_two_hundred_inits_on_a_hundred_credits_open_a_hundred_rooms(served: Served) -> None:
    accounts, rooms = served.gateway.accounts, served.gateway.rooms
    keys = await accounts.create_key("crowd", credits=100)
    account = await accounts.authenticate(keys.public_key, keys.secret_key)
    async with asyncio.timeout(100):
        outcomes = await asyncio.gather(
            *(rooms.open(account, space="crowd") for _ in range(200)), return_exceptions=True
        )
    refused = [outcome for outcome in outcomes if isinstance(outcome, InsufficientCreditsError)]
    opened = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert (len(opened), len(refused)) == (100, 100)
    assert len(rooms) == 100
    entries = await accounts.ledger(account.id, limit=1000)
    assert sum(entry.delta for entry in entries if entry.kind is Kind.INIT) == -100
    assert {entry.kind for entry in entries} == {Kind.GRANT, Kind.INIT}
    assert (await accounts.balance(account.id)).total == 0
    assert all(opening.room.sandbox.spec.limits.memory_bytes == 32 * MIB for opening in opened)


async def test_two_hundred_sockets_on_a_hundred_credits(served: Served, dial_raw: DialRaw) -> None:
    keys = await served.gateway.accounts.create_key("crowd", credits=100)

    async def init() -> tuple[str, int | None]:
        raw: Raw = await dial_raw()
        raw.send(type="init", public_key=keys.public_key, secret_key=keys.secret_key)
        async with asyncio.timeout(90):
            frame = await raw.receive()
        return frame["type"], await raw.close_code() if frame["type"] == "error" else None

    outcomes = Counter(await asyncio.gather(*(init() for _ in range(200))))
    assert outcomes == {("init", None): 100, ("error", CloseCode.POLICY_VIOLATION): 100}
    assert len(served.gateway.rooms) == 100
    account = await served.gateway.accounts.authenticate(keys.public_key, keys.secret_key)
    entries = await served.gateway.accounts.ledger(account.id)
    assert Counter((entry.kind, entry.delta) for entry in entries) == {
        (Kind.GRANT, 100): 1,
        (Kind.INIT, -1): 100,
    }
