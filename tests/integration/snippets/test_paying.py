"""What runs cost, and who gets credits back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from embedenv_jupyter.accounts import Charge, Kind
from tests.integration.conftest import DEADLINE_S, Served
from tests.integration.snippets.conftest import Dial, EnginePeer


@dataclass
class Payer:
    """A client with a known number of credits."""

    peer: EnginePeer
    left: Callable[[], Awaitable[int | None]]


@pytest.fixture
async def payer(served: Served, dial_engine: Dial) -> Payer:
    accounts = served.gateway.accounts
    key = await accounts.create_key("Ada", credits=20)

    async def left() -> int | None:
        return (await accounts.balance(key.account.id)).total

    return Payer(await dial_engine(key.api_key), left)


async def test_a_run_costs_what_the_price_list_says(payer: Payer) -> None:
    left = 20
    for language, code, cost in (
        ("python", "1 + 1", 1),
        ("python", "!pip install nothing-of-this-name", 5),
        ("python", "", 0),
        ("bash", "echo free of charge", 1),
        ("bash", "wget http://127.0.0.1:9/", 5),
        ("c", "int main(void) { return 0; }", 1),
    ):
        answer = await payer.peer.ask(code, language)
        left -= cost
        assert (answer.get("cost", 0), await payer.left()) == (cost, left), (language, code, answer)


async def test_without_credits_nothing_runs_and_the_session_stays(payer: Payer) -> None:
    await payer.peer.ask("x = 5\n!pip --version\n!pip --version")
    while (await payer.left()) != 0:
        await payer.peer.ask("1")
    refused = await payer.peer.ask("print(x)")
    assert (refused["error"], "0 are left" in refused["message"]) == ("insufficient_credits", True)
    streamed = await payer.peer.stream("print(x)")
    assert [frame["type"] for frame in streamed.frames] == ["error"]
    assert (await payer.peer.ask(" "))["exit_code"] == 0, "a cell without code is free"


async def test_what_does_not_start_is_given_back(payer: Payer) -> None:
    answer = await payer.peer.ask("1", files={"main.py": "2"}, fresh=True)
    assert (answer["error"], await payer.left()) == ("bad_request", 20)


async def test_a_revoked_key_runs_nothing_more_on_a_connection_that_is_open(
    served: Served, dial_engine: Dial
) -> None:
    accounts = served.gateway.accounts
    key = await accounts.create_key("Ben", credits=1000)
    peer = await dial_engine(key.api_key)
    assert (await peer.ask("print(1)"))["stdout"] == "1\n"
    await accounts.revoke(key.public_key)
    async with asyncio.timeout(DEADLINE_S):
        while (answer := await peer.ask("print(1)")).get("error") is None:
            assert answer["stdout"] == "1\n"
    assert answer["error"] == "unauthorized"


@pytest.fixture
def may_pay(served: Served, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Let charges wait, from when it is cleared, until it is set."""
    charge, may_pay = served.gateway.accounts.charge, asyncio.Event()

    async def slow(*arguments: Any, **options: Any) -> Charge:
        await may_pay.wait()
        return await charge(*arguments, **options)

    may_pay.set()
    monkeypatch.setattr(served.gateway.accounts, "charge", slow)
    return may_pay


async def seen_in_the_room(served: Served, name: str) -> None:
    """Wait until a file is there."""
    (room,) = served.gateway.rooms
    async with asyncio.timeout(DEADLINE_S):
        while name not in {entry.name for entry in await room.sandbox.files.list("")}:
            await asyncio.sleep(0)


async def test_a_run_of_who_had_plenty_begins_while_it_is_charged(
    served: Served, dial_engine: Dial, may_pay: asyncio.Event
) -> None:
    peer = await dial_engine((await served.gateway.accounts.create_key("Eve", credits=1000)).api_key)
    await peer.ask("1")
    may_pay.clear()
    asked = asyncio.create_task(peer.ask("open('began', 'w').close()"))
    await seen_in_the_room(served, "began")
    assert not asked.done(), "nothing is told of what is not paid"
    may_pay.set()
    assert (await asked)["cost"] == 1


async def test_a_run_that_has_begun_is_paid_though_nobody_waits_for_it(
    served: Served, dial_engine: Dial, may_pay: asyncio.Event
) -> None:
    key = await served.gateway.accounts.create_key("Eve", credits=1000)
    peer = await dial_engine(key.api_key)
    await peer.ask("x = 1")
    before = (await served.gateway.accounts.balance(key.account.id)).total
    assert before is not None
    may_pay.clear()
    id = await peer.begin("x = 2\nopen('began', 'w').close()\nimport time\nwhile True: time.sleep(0.01)")
    await seen_in_the_room(served, "began")
    for _ in range(3):
        await peer.send("signal", id=id)
    may_pay.set()
    assert (await peer.until(id, "result")).end["ended_by"] == "stopped"
    assert (await peer.ask("x"))["stdout"] == "2\n", "it was interrupted, and the session goes on"
    assert (await served.gateway.accounts.balance(key.account.id)).total == before - 2


async def test_a_run_that_cannot_be_paid_after_all_is_ended(served: Served, dial_engine: Dial) -> None:
    accounts = served.gateway.accounts
    key = await accounts.create_key("Eve", credits=1000)
    peer = await dial_engine(key.api_key)
    await peer.ask("x = 1")
    left = (await accounts.balance(key.account.id)).total
    assert left is not None
    await accounts.charge(key.account.id, left, kind=Kind.SHELL, idempotency_key="all of it elsewhere")
    endless = "import time\nwhile True: time.sleep(0.01)"
    assert (await peer.ask(endless))["error"] == "insufficient_credits"
    assert (await peer.ask(endless, "bash", fresh=True))["error"] == "insufficient_credits"
    await accounts.grant(key.account.id, 10)
    assert (await peer.ask("x"))["stdout"] == "1\n", "the session goes on"
