"""How rooms end: told to, idle, out of limits, killed; and what their members are told."""

from __future__ import annotations

import asyncio
import shlex
from typing import Any

import pytest

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.rooms import idle
from embedenv_jupyter.rooms.events import IdleCountdown
from embedenv_jupyter.rooms.log import Record
from tests.integration.conftest import DEADLINE_S, Dial, Peer, Served


async def ask(served: Served, dial: Dial) -> Peer:
    """Open a room as a client that asks for everything."""
    peer = await dial()
    await peer.send(type="init", public_key=served.public_key, secret_key=served.secret_key, resume=0)
    answer = await peer.receive()
    assert answer["type"] == "init", answer
    peer.join_key = answer["join"]  # type: ignore[attr-defined]
    return peer


async def event(peer: Peer, name: str) -> dict[str, Any]:
    while True:
        frame = await peer.receive()
        if frame["type"] == "event" and frame["event"] == name:
            return frame


async def test_the_owner_stops_the_room_and_everybody_is_told(served: Served, dial: Dial) -> None:
    owner = await ask(served, dial)
    guest = await dial()
    await guest.send(type="join", join=owner.join_key, user="bob", color="#123")  # type: ignore[attr-defined]
    await guest.receive()
    await owner.shell("sleep 1000")
    await event(owner, "run")
    await owner.send(type="cmd", command={"type": "stop"}, id="s")
    assert (await event(owner, "stop"))["step"] == "INT"
    ended = [frame for frame in await owner.until("exit") if frame["type"] == "exit"][-1]
    assert (ended["code"], ended["signal"]) == (None, "SIGINT")
    last = await event(owner, "post-mortem")
    assert last["reason"] == "stopped"
    assert last["peak_memory_bytes"] > 0
    assert [await peer.closed() for peer in (owner, guest)] == [CloseCode.ROOM_ENDED] * 2
    late = await dial()
    await late.send(type="join", join=owner.join_key, user="eve", color="#123")  # type: ignore[attr-defined]
    assert "opens no room" in (await late.receive())["message"]


async def test_a_killed_sandbox_ends_the_room_with_its_cause(served: Served, dial: Dial) -> None:
    peer = await ask(served, dial)
    await peer.shell("sleep 1000")
    await event(peer, "run")
    (room,) = served.gateway.rooms
    room.sandbox.keeper.kill()
    last = await event(peer, "post-mortem")
    assert last["cause"] == "died: signal SIGKILL"
    assert await peer.closed() == CloseCode.ROOM_ENDED


@pytest.mark.parametrize("embedenv_config", [{"idle_s": 1.0}])
async def test_an_idle_room_counts_down_and_ends(served: Served, dial: Dial) -> None:
    peer = await ask(served, dial)
    (room,) = served.gateway.rooms
    await peer.socket.close()
    async with asyncio.timeout(DEADLINE_S), room.log.watch(0) as watcher:
        items = [item async for batch in watcher for item in batch]
    found = [item.event for item in items if isinstance(item, Record)]
    countdowns = [counted.seconds for counted in found if isinstance(counted, IdleCountdown)]
    assert countdowns
    assert all(seconds is not None and seconds <= 60 for seconds in countdowns)
    assert room.end_reason == "idle"


@pytest.mark.parametrize("embedenv_config", [{"idle_s": 0.5}])
async def test_running_work_is_never_idle(
    served: Served, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "LOOK_EVERY_S", 0.05)
    peer = await ask(served, dial)
    await peer.shell("sleep 2")
    await event(peer, "run")
    (room,) = served.gateway.rooms
    (run,) = room._runs.values()
    await peer.socket.close()
    async with asyncio.timeout(DEADLINE_S):
        await run.ended.wait()
    assert room.end_reason is None, "it was in use for longer than the idle time"
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
    assert room.end_reason == "idle"


FORKS = """
import os, signal
try:
    while os.fork():
        pass
    signal.pause()
except BlockingIOError:
    os.killpg(0, signal.SIGKILL)
"""
LIMITS = {"memory_mib": 64, "pids": 24, "workspace_mib": 4, "tmp_mib": 4}


@pytest.mark.parametrize("embedenv_config", [LIMITS])
@pytest.mark.parametrize(
    ("breach", "program"),
    [
        ("oom", "python3 -c 'x = bytearray(200 << 20)'"),
        ("pids", f"python3 -c {shlex.quote(FORKS)}"),
        ("disk", "head -c 8000000 /dev/zero > ~/full; sleep 2"),
    ],
    ids=["oom", "pids", "disk"],
)
async def test_limits_have_names_and_the_room_lives(
    served: Served, dial: Dial, breach: str, program: str
) -> None:
    peer = await ask(served, dial)
    await peer.shell(program)
    seen: list[dict[str, Any]] = []
    while not {breach, "exit"} <= {frame.get("event", frame["type"]) for frame in seen}:
        seen.append(await peer.receive())  # which of the two comes first is the kernel's affair
    assert all(frame["detail"] for frame in seen if frame.get("event") == breach)
    await peer.shell("rm -f ~/full; echo alive")
    frames = await peer.until("exit")
    assert "alive" in [frame.get("data") for frame in frames]


@pytest.mark.parametrize("embedenv_config", [{"life_s": 1.0}])
async def test_a_life_time_ends_whatever_runs(served: Served, dial: Dial) -> None:
    peer = await ask(served, dial)
    await peer.shell("sleep 1000")
    await event(peer, "time")
    assert (await event(peer, "post-mortem"))["reason"] == "time"
    assert await peer.closed() == CloseCode.ROOM_ENDED
