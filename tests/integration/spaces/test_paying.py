"""Credits when things really fail."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest

from embedenv_jupyter.accounts import Kind
from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from tests.integration.conftest import Served
from tests.integration.spaces.conftest import DialRaw
from tests.integration.spaces.peers import Asking

HOARD = """
import os, signal, time
if os.fork():
    os._exit(0)
while True:
    try:
        if os.fork() == 0:
            signal.pause()
    except BlockingIOError:
        time.sleep(0.001)
"""


async def entries_of(served: Served) -> list[tuple[Kind, int]]:
    account = await served.gateway.accounts.authenticate(served.public_key, served.secret_key)
    found = await served.gateway.accounts.ledger(account.id, newest=True)
    return [(entry.kind, entry.delta) for entry in found if entry.kind is not Kind.GRANT]


async def pids_are(room: Room, count: int) -> None:
    """Wait until so many processes and threads are in a room."""
    async with asyncio.timeout(10):
        while room.sandbox.keeper.counters().pids != count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("embedenv_config", [{"pids": 12}])
async def test_a_line_is_given_back_when_the_room_can_start_no_process(
    served: Served, member: Asking
) -> None:
    room, _ = served.gateway.rooms.redeem(member.join_key)
    await member.command("write", path="hoard.py", content=HOARD)
    await member.ended(await member.shell("exec python3 hoard.py"))
    await pids_are(room, 12)
    before = await entries_of(served)
    answer = await member.answer(await member.shell("sort /dev/null"))
    assert answer["type"] == "error"
    assert "Resource temporarily unavailable" in answer["message"]
    assert await entries_of(served) == [*before, (Kind.SHELL, -1), (Kind.REFUND, 1)]
    await room.sandbox.reset()
    await pids_are(room, 1)  # who is killed counts until it is gone
    assert (await member.run("sort /dev/null; echo alive"))[0] == "alive\n"


async def test_a_line_after_one_that_could_not_start_is_paid_for(
    served: Served, member: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("embedenv_jupyter.rooms.room.SHELL", "/no/such/shell")
        assert (await member.answer(await member.shell("sort /dev/null")))["type"] == "error"
    before = await entries_of(served)
    assert before[-2:] == [(Kind.SHELL, -1), (Kind.REFUND, 1)]
    await member.run("sort /dev/null")
    assert await entries_of(served) == [*before, (Kind.SHELL, -1)]
    await member.run("pip install --help > /dev/null")  # at another cost than the line that failed
    assert await entries_of(served) == [*before, (Kind.SHELL, -1), (Kind.SHELL, -5)]


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_a_charge_whose_answer_is_lost_is_given_back(
    served: Served, member: Asking, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    room, _ = served.gateway.rooms.redeem(member.join_key)
    charge = served.gateway.accounts.charge
    written = asyncio.Event()

    async def charge_without_answer(*arguments: Any, **options: Any) -> None:
        await charge(*arguments, **options)
        written.set()
        if how == "failed":
            raise OSError("the connection to the database was lost")
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(served.gateway.accounts, "charge", charge_without_answer)
        (host,) = room.members.present
        starting = asyncio.create_task(room.shell(host, "sort /dev/null"))
        async with asyncio.timeout(10):
            await written.wait()
        if how == "cancelled":
            starting.cancel()
        with pytest.raises((asyncio.CancelledError, OSError)):
            await starting
    assert (await entries_of(served))[-2:] == [(Kind.SHELL, -1), (Kind.REFUND, 1)]
    await member.run("sort /dev/null")
    assert (await entries_of(served))[-1] == (Kind.SHELL, -1)


@pytest.mark.parametrize("embedenv_config", [{"memory_mib": 1}])
async def test_an_init_is_given_back_when_no_sandbox_can_start(served: Served, dial_raw: DialRaw) -> None:
    raw = await dial_raw()
    raw.send(type="init", public_key=served.public_key, secret_key=served.secret_key)
    answer = await raw.receive()
    assert answer["type"] == "error", answer
    assert await raw.close_code() == CloseCode.POLICY_VIOLATION
    assert await entries_of(served) == [(Kind.INIT, -1), (Kind.REFUND, 1)]
    assert len(served.gateway.rooms) == 0


@pytest.mark.parametrize("reset", [True, False])
async def test_an_init_whose_answer_cannot_be_written_is_given_back(
    served: Served, dial_raw: DialRaw, monkeypatch: pytest.MonkeyPatch, reset: bool
) -> None:
    start = served.gateway.tier.start
    is_asked, is_cut = asyncio.Event(), asyncio.Event()

    async def start_late(spec: SandboxSpec) -> Sandbox:
        is_asked.set()
        await is_cut.wait()
        return await start(spec)

    monkeypatch.setattr(served.gateway.tier, "start", start_late)
    raw = await dial_raw()
    raw.send(type="init", public_key=served.public_key, secret_key=served.secret_key)
    async with asyncio.timeout(20):
        await is_asked.wait()
        if reset:
            linger = struct.pack("ii", 1, 0)  # the peer's machine resets the connection (socket(7))
            raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await raw.aclose()
        is_cut.set()
        while (Kind.REFUND, 1) not in await entries_of(served) or len(served.gateway.rooms):
            await asyncio.sleep(0.01)
    assert await entries_of(served) == [(Kind.INIT, -1), (Kind.REFUND, 1)]
