"""What members get before a room's socket closes: everything, then why."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.rooms import closing, runs
from embedenv_jupyter.sandbox import sandbox
from tests.integration.conftest import Dial, Served
from tests.integration.spaces.conftest import JoinRaw
from tests.integration.spaces.peers import Asking, Frame, events_of

LINES = 50_000


async def to_the_end(peer: Asking) -> Frame:
    """Receive up to the post-mortem; the socket is closed right behind it."""
    last = (await peer.until(event="post-mortem"))[-1]
    assert await peer.peer.closed() == CloseCode.ROOM_ENDED
    assert last["reason"] in (peer.peer.socket.close_reason or "")
    return last


async def test_slow_readers_get_everything_before_the_close(
    member: Asking, dial: Dial, join_raw: JoinRaw
) -> None:
    plain = await join_raw(member.join_key)
    asking = await join_raw(member.join_key, resume=0)
    await member.run(f"seq -f %0100.0f {LINES}")  # nobody but its author has read anything of it yet
    await member.command("stop")
    await to_the_end(member)
    for raw in (plain, asking):
        lines = 0
        last: Frame = {}
        async for frames in raw.batches():
            lines += sum(frame["type"] == "terminal-newline" for frame in frames)
            last = frames[-1] if frames else last
        assert lines == LINES
        if raw is asking:
            assert last["event"] == "post-mortem"


async def test_the_end_of_the_gateway_is_told_as_one(served: Served, member: Asking) -> None:
    await member.shell("sleep 1000")
    await member.until(event="run")
    closing = asyncio.create_task(served.gateway.aclose())
    frames = await member.until(event="post-mortem")
    assert [event["step"] for event in events_of(frames, "stop")] == ["INT"]
    assert frames[-1]["reason"] == "gateway stopped"
    assert await member.peer.closed() == CloseCode.ROOM_ENDED
    await closing


async def test_commands_that_cross_the_end_are_answered(
    member: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "STOP_STEP_S", 0.3)
    await member.shell("trap '' INT; echo ready; while :; do sleep 0.01; done")
    await member.until(type="terminal-data", data="ready")
    await member.command("stop")
    seen = await member.until(event="stop", step="INT")
    ids = {await member.command("write", path="late", content="x"), await member.shell("echo late")}
    seen += await member.until(event="post-mortem")
    assert ids <= {frame.get("id") for frame in seen}
    assert [event["step"] for event in events_of(seen, "stop")] == ["INT", "TERM"]
    assert not events_of(seen, "run"), "the late line starts nothing"


@pytest.mark.parametrize("embedenv_config", [{"memory_mib": 64, "workspace_mib": 8}])
async def test_the_post_mortem_names_what_the_room_ran_into(member: Asking) -> None:
    await member.run("python3 -c 'bytearray(500 << 20)'")
    await member.run("head -c 20000000 /dev/zero > full")
    await member.shell("true")
    await member.until(event="disk")
    await member.command("stop")
    last = await to_the_end(member)
    assert last["breaches"] == ["disk", "oom"]
    assert last["reason"] == "stopped"
    assert last["cause"] is None
    assert last["peak_memory_bytes"] > 16 << 20
    assert last["cpu_s"] > 0
    assert last["duration_s"] > 0


async def test_a_supervisor_that_hangs_ends_with_the_room_all_the_same(
    served: Served, member: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CLOSE_RUNS_S", 0.3)
    monkeypatch.setattr(sandbox, "CLOSE_TIMEOUT_S", 0.3)
    room, _ = served.gateway.rooms.redeem(member.join_key)
    await member.shell("sleep 1000")
    await member.until(event="run")
    pid = room.sandbox.keeper.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await member.command("stop")
    last = await to_the_end(member)
    assert last["reason"] == "stopped"


async def test_everybody_is_told_when_the_sandbox_is_killed(
    served: Served, member: Asking, dial: Dial
) -> None:
    guest = await Asking.join(dial, member.join_key)
    await member.shell("echo partial; printf 'and more'; sleep 1000")
    for peer in (member, guest):
        await peer.until(type="terminal-data", data="and more")
    room, _ = served.gateway.rooms.redeem(member.join_key)
    pid = room.sandbox.keeper.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for peer in (member, guest):
        frames = await peer.until(event="post-mortem")
        (ended,) = (frame for frame in frames if frame["type"] == "exit")
        assert (ended["code"], ended["signal"]) == (None, "SIGKILL")
        assert frames[-1]["cause"] == frames[-1]["reason"] == "died: signal SIGKILL"
        assert await peer.peer.closed() == CloseCode.ROOM_ENDED
    assert len(served.gateway.rooms) == 0
