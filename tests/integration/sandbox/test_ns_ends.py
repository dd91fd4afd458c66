"""Rooms of the ns tier end when whatever they hang on ends, and nothing of them stays."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedenv_jupyter.errors import SandboxGoneError, SandboxUnavailableError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import ExitStatus, Limits, SandboxSpec
from embedenv_jupyter.sandbox.tiers import ns
from embedenv_jupyter.sandbox.tiers.ns import NsTier
from embedenv_jupyter.sandbox.tree import children, descendants
from tests.conftest import StartProcess
from tests.integration.sandbox.left_behind import group_folders, is_gone, until
from tests.integration.sandbox.ns_rooms import WAYS, at_rest, ns_room, ns_tier, shell
from tests.integration.sandbox.programs import DEADLINE_S


def zygote_of(tier: NsTier) -> int:
    assert tier.zygote is not None
    (pid,) = children(tier.zygote.pid)
    return pid


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    """Fail a test that leaves a cgroup, or a mount of a room, behind."""
    yield
    assert group_folders(os.getpid()) == set()
    assert " - tmpfs room " not in Path("/proc/self/mountinfo").read_text()


# The supervisor.


@pytest.mark.parametrize("way", WAYS)
async def test_killed_supervisor_is_noticed_at_once_and_ends_the_room(way: str) -> None:
    async with ns_room(way) as room:
        program = await room.spawn(["sleep", "60"])
        assert room.keeper.pid is not None
        everything = [room.keeper.pid, *descendants(room.keeper.pid)]
        assert len(everything) == 2
        os.kill(room.keeper.pid, signal.SIGKILL)
        async with asyncio.timeout(1):
            assert await room.wait_gone() == "died: signal SIGKILL"
            with pytest.raises(SandboxGoneError):
                await program.wait()
        program.close()
        assert await room.keeper.wait() == ExitStatus(signal=signal.SIGKILL)
        await until(lambda: all(map(is_gone, everything)))
        await room.aclose()


@pytest.mark.parametrize("way", WAYS)
async def test_closing_ends_everything_in_the_room(way: str) -> None:
    async with ns_room(way) as room:
        await shell(room, "for n in 1 2 3; do setsid sleep 60 >/dev/null 2>&1 & done")
        assert room.keeper.pid is not None
        everything = [room.keeper.pid, *descendants(room.keeper.pid)]
        assert len(everything) == 4
        async with asyncio.timeout(2):
            await room.aclose()
        assert all(map(is_gone, everything))


async def test_frozen_room_is_closed_and_killed_at_once() -> None:
    async with ns_tier("cgroups") as tier:
        for end in ("close", "kill"):
            room = await tier.start(SandboxSpec(id=end))
            program = await room.spawn(["sh", "-c", "while :; do :; done"])
            await room.pause()
            async with asyncio.timeout(2):
                if end == "close":
                    await room.aclose()
                else:
                    room.keeper.kill()
                    await room.wait_gone()
            program.close()


# The zygote.


@pytest.mark.parametrize("way", WAYS)
async def test_killed_zygote_takes_its_rooms_along_and_is_replaced(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with ns_tier(way) as tier:
        rooms = [await tier.start(SandboxSpec(id=f"room-{n}")) for n in range(3)]
        programs = [await room.spawn(["sleep", "60"]) for room in rooms]
        pids = [
            pid
            for room in rooms
            if room.keeper.pid
            for pid in (room.keeper.pid, *descendants(room.keeper.pid))
        ]
        assert len(pids) == 6
        os.kill(zygote_of(tier), signal.SIGKILL)
        async with asyncio.timeout(2):
            assert [await room.wait_gone() for room in rooms] == ["zygote died"] * 3
            assert await rooms[0].keeper.wait() == ExitStatus(signal=signal.SIGKILL)
        await until(lambda: all(map(is_gone, pids)))
        for program in programs:
            program.close()
        fresh = await tier.start(SandboxSpec(id="fresh"))
        assert await shell(fresh, "echo alive") == "alive\n"
    assert "the zygote" in caplog.text
    assert "has ended" in caplog.text


async def test_killed_zygote_takes_a_frozen_room_along() -> None:
    async with ns_tier("cgroups") as tier:
        room = await tier.start(SandboxSpec(id="frozen"))
        assert room.keeper.pid is not None
        await room.pause()
        os.kill(zygote_of(tier), signal.SIGKILL)
        async with asyncio.timeout(2):
            await room.wait_gone()
        pid = room.keeper.pid
        await until(lambda: is_gone(pid))


async def test_killed_guard_takes_everything_along() -> None:
    async with ns_tier() as tier:
        room = await tier.start(SandboxSpec(id="room"))
        assert tier.zygote is not None
        everything = [*descendants(tier.zygote.pid)]
        assert len(everything) == 2
        os.kill(tier.zygote.pid, signal.SIGKILL)
        async with asyncio.timeout(2):
            assert await room.wait_gone() == "zygote died"
        await until(lambda: all(map(is_gone, everything)))
        assert await shell(await tier.start(SandboxSpec(id="fresh")), "echo alive") == "alive\n"


@pytest.mark.parametrize("stopped", ["zygote", "zygote and guard"])
async def test_stopped_zygote_is_replaced_and_its_rooms_end(
    stopped: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ns, "FORK_TIMEOUT_S", 0.5)
    async with ns_tier() as tier:
        room = await tier.start(SandboxSpec(id="room"))
        everything = [tier_guard(tier), *descendants(tier_guard(tier))]
        for pid in (zygote_of(tier), tier_guard(tier))[: len(stopped.split(" and "))]:
            os.kill(pid, signal.SIGSTOP)
        starts = [tier.start(SandboxSpec(id=name)) for name in "ab"]
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
        started = [outcome for outcome in outcomes if isinstance(outcome, Sandbox)]  # had been forked before
        refused = [outcome for outcome in outcomes if isinstance(outcome, SandboxUnavailableError)]
        assert len(started) <= 1
        assert len(started) + len(refused) == 2, outcomes
        async with asyncio.timeout(2):
            for ended in (room, *started):
                assert await ended.wait_gone() == "zygote died"
        await until(lambda: all(map(is_gone, everything)))
        assert await shell(await tier.start(SandboxSpec(id="fresh")), "echo alive") == "alive\n"
    assert "said nothing for 0.5 s" in caplog.text


async def test_zygote_that_answered_lately_is_left_alone() -> None:
    async with ns_tier() as tier:
        room = await tier.start(SandboxSpec(id="room"))
        assert tier.zygote is not None
        tier.zygote.end_if_silent(DEADLINE_S)
        assert await shell(room, "echo alive") == "alive\n"


async def test_rooms_asked_for_while_the_zygote_dies_fail_or_live() -> None:
    async with ns_tier() as tier:
        await tier.start(SandboxSpec(id="first"))
        starts = [asyncio.create_task(tier.start(SandboxSpec(id=f"room-{n}"))) for n in range(10)]
        await asyncio.sleep(0)
        os.kill(zygote_of(tier), signal.SIGKILL)
        for outcome in await asyncio.gather(*starts, return_exceptions=True):
            assert isinstance(outcome, SandboxUnavailableError) or not isinstance(outcome, BaseException)
        assert await shell(await tier.start(SandboxSpec(id="last")), "echo alive") == "alive\n"


async def test_signals_of_a_terminal_do_not_reach_the_zygote() -> None:
    async with ns_room() as room, ns_tier() as tier:
        other = await tier.start(SandboxSpec(id="other"))
        assert tier.zygote is not None
        assert os.getsid(tier.zygote.pid) != os.getsid(0)
        for pid in (tier.zygote.pid, zygote_of(tier)):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, number)
        assert await shell(other, "echo alive") == "alive\n"
        assert room.is_alive


# The gateway.

GATEWAY = """
import asyncio, json, os, sys
sys.path.insert(0, os.getcwd())
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers.ns import NsTier
from embedenv_jupyter.sandbox.tree import descendants
async def main():
    tier = NsTier(use_cgroups=sys.argv[1] == "cgroups", kernels=False)
    rooms = [await tier.start(SandboxSpec(id=f"room-{n}")) for n in range(3)]
    for room in rooms:
        for argv in (["sleep", "600"], ["sh", "-c", "while :; do sleep 1; done"]):
            await room.spawn(argv)
    if sys.argv[2] == "frozen":
        await rooms[0].pause()
    groups = [folder for room in rooms if room.keeper.group for folder in room.keeper.group.folders]
    told = {"guard": tier.zygote.pid, "all": list(descendants(os.getpid())), "groups": groups}
    print(json.dumps(told), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def start_gateway(
    start_process: StartProcess, way: str, state: str
) -> tuple[subprocess.Popen[Any], dict[str, Any]]:
    gateway = start_process(sys.executable, "-c", GATEWAY, way, state, stdout=subprocess.PIPE, text=True)
    assert gateway.stdout is not None
    told = gateway.stdout.readline()
    assert told, "the gateway did not start"
    return gateway, json.loads(told)


@pytest.mark.parametrize("state", ["running", "frozen"])
@pytest.mark.parametrize("way", WAYS)
async def test_killed_gateway_leaves_nothing(start_process: StartProcess, way: str, state: str) -> None:
    async with ns_tier(way):
        pass  # which skips where this way does not work
    gateway, told = start_gateway(start_process, way, state)
    assert len(told["all"]) >= 2 + 3 * 3
    assert all(map(os.path.isdir, told["groups"]))
    assert bool(told["groups"]) == (way == "cgroups")
    gateway.kill()
    gateway.wait()
    await until(lambda: all(map(is_gone, told["all"])))
    await until(lambda: not any(map(os.path.exists, told["groups"])))
    await until(lambda: not group_folders(gateway.pid))


async def test_what_nobody_could_clean_up_is_swept_by_the_next_gateway(start_process: StartProcess) -> None:
    async with ns_tier("cgroups"):
        pass
    gateway, told = start_gateway(start_process, "cgroups", "running")
    for pid in (told["guard"], gateway.pid):  # the guard first, or it would clean up
        os.kill(pid, signal.SIGKILL)
    gateway.wait()
    await until(lambda: all(map(is_gone, told["all"])))
    assert any(map(os.path.exists, told["groups"]))
    async with ns_tier("cgroups"):
        assert not any(map(os.path.exists, told["groups"]))


# Starts.


@pytest.mark.parametrize("way", WAYS)
async def test_many_rooms_start_at_once(way: str) -> None:
    async with ns_tier(way) as tier:
        rooms = await asyncio.gather(*(tier.start(SandboxSpec(id=f"room-{n}")) for n in range(40)))
        assert len({room.keeper.pid for room in rooms}) == 40
        assert await asyncio.gather(*(shell(room, "echo $$") for room in rooms)) == ["2\n"] * 40


@pytest.mark.parametrize("way", WAYS)
async def test_cancelled_start_leaves_nothing(way: str) -> None:
    async with ns_tier(way) as tier:
        await tier.start(SandboxSpec(id="first"))
        await at_rest(tier)
        before = len(os.listdir("/proc/self/fd"))
        for turns in range(12):
            start = asyncio.create_task(tier.start(SandboxSpec(id="cancelled")))
            for _ in range(turns):
                await asyncio.sleep(0)
            start.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await (await start).aclose()
        zygote = zygote_of(tier)
        await until(lambda: len(children(zygote)) == 2 and tier.has_spare)  # the first room and the spare
        await until(lambda: len(os.listdir("/proc/self/fd")) == before)


async def test_rooms_one_after_another_leave_nothing() -> None:
    async with ns_tier("cgroups" if os.geteuid() == 0 else "no cgroups") as tier:
        await (await tier.start(SandboxSpec(id="first"))).aclose()
        zygote = zygote_of(tier)
        await at_rest(tier)
        before = (
            len(os.listdir("/proc/self/fd")),
            len(os.listdir(f"/proc/{tier_guard(tier)}/task")),
            _kilobytes(zygote),
        )
        for number in range(60):
            await (await tier.start(SandboxSpec(id=f"room-{number}"))).aclose()
        await at_rest(tier)
        after = (
            len(os.listdir("/proc/self/fd")),
            len(os.listdir(f"/proc/{tier_guard(tier)}/task")),
            _kilobytes(zygote),
        )
        assert after[:2] == before[:2]
        assert after[2] - before[2] < 200, "the zygote grows"
        assert len(children(zygote)) == 1, "the spare"
        assert all(len(list(folder.glob("room-*"))) == 1 for folder in group_folders(os.getpid()))


def tier_guard(tier: NsTier) -> int:
    assert tier.zygote is not None
    return tier.zygote.pid


def _kilobytes(pid: int) -> int:
    """Return the anonymous memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1])
    raise AssertionError("no RssAnon")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"read_only": ("/nonexistent",)}, "/nonexistent: No such file or directory"),
        ({"workspace": "/nonexistent/workspace"}, "/nonexistent/workspace"),
        ({"read_only": ("relative",)}, "relative cannot be read-only"),
        ({"hostname": "x" * 100}, "Invalid argument|name too long"),
    ],
)
async def test_what_cannot_be_isolated_says_why(fields: dict[str, Any], reason: str) -> None:
    async with ns_tier("no cgroups") as tier:
        with pytest.raises(SandboxUnavailableError, match=reason):
            await tier.start(SandboxSpec(id="r", **fields))
        assert await shell(await tier.start(SandboxSpec(id="fine")), "echo alive") == "alive\n"


async def test_closed_tier_starts_nothing() -> None:
    async with ns_tier() as tier:
        room = await tier.start(SandboxSpec(id="r"))
        await tier.aclose()
        await tier.aclose()
        assert room.cause == "tier closed"
        with pytest.raises(SandboxUnavailableError, match="closed"):
            await tier.start(SandboxSpec(id="late"))


async def test_tier_that_was_never_used_closes() -> None:
    async with ns_tier():
        pass


# Limits that are not memory.


BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"""


@pytest.mark.parametrize("way", WAYS)
async def test_bomb_of_processes_is_held_and_named(way: str) -> None:
    async with ns_room(way, limits=Limits(pids=40)) as room:
        named = asyncio.Queue[str]()
        room.subscribe(lambda breach, _: named.put_nowait(breach.value))
        bomb = await room.spawn([sys.executable, "-c", BOMB])
        async with asyncio.timeout(DEADLINE_S):
            assert await named.get() == "pids"
            await room.reset()
            assert await bomb.wait() == ExitStatus(signal=signal.SIGKILL)
            # What was killed counts until the kernel has buried it.
            await until(lambda: room.keeper.counters().pids == 1)
        bomb.close()
        assert await shell(room, "echo alive") == "alive\n"


@pytest.mark.parametrize("way", WAYS)
async def test_full_workspace_is_named(way: str) -> None:
    async with ns_room(way, limits=Limits(workspace_bytes=4 << 20)) as room:
        named = asyncio.Queue[str]()
        room.subscribe(lambda breach, _: named.put_nowait(breach.value))
        assert "No space left" in await shell(room, "dd if=/dev/zero of=big bs=1M count=8 2>&1")
        async with asyncio.timeout(DEADLINE_S):
            assert await named.get() == "disk"


@pytest.mark.parametrize("way", WAYS)
async def test_busy_room_has_one_core_at_most(way: str) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core only")
    async with ns_room(way, limits=Limits(cpu_cores=1.0)) as room:
        spin = "timeout 1 sh -c 'while :; do :; done'"
        assert await shell(room, f"{spin} & {spin} & {spin} & wait; echo done") == "done\n"
        used_s = (await room.usage()).cpu_s
        assert used_s is not None
        assert 0 < used_s < 1.35
        assert await shell(room, "taskset -p 0xffff 1 >/dev/null 2>&1 && echo moved; nproc") != "moved\n"


@pytest.mark.parametrize("way", WAYS)
async def test_paused_room_does_not_run(way: str) -> None:
    async with ns_room(way) as room:
        program = await room.spawn(["sh", "-c", "while :; do :; done"])
        await room.pause()
        first_s = (await room.usage()).cpu_s
        await asyncio.sleep(0.2)  # the time in which it should use none
        second_s = (await room.usage()).cpu_s
        assert first_s is not None
        assert second_s is not None
        assert second_s - first_s < 0.05
        await room.resume()
        assert await shell(room, "echo alive") == "alive\n"
        program.close()


@pytest.mark.parametrize("way", WAYS)
async def test_many_small_programs_go_before_the_supervisor(way: str) -> None:
    """Each is smaller than the supervisor looks: it is a copy of a zygote that has imported a lot."""
    async with ns_tier(way, kernels=True) as tier:
        room = await tier.start(SandboxSpec(id="r", limits=Limits(memory_bytes=100 << 20)))
        named = asyncio.Queue[str]()
        room.subscribe(lambda breach, _: named.put_nowait(breach.value))
        assert await shell(room, "cat /proc/self/oom_score_adj") == "1000\n"
        hold = "b = bytearray(12 << 20); import time; time.sleep(60)"
        many = f"for n in $(seq 15); do {sys.executable} -c '{hold}' & done; wait"
        program = await room.spawn(["sh", "-c", many])
        async with asyncio.timeout(DEADLINE_S):
            assert await named.get() == "oom"
        await room.reset()
        await program.wait()
        assert await shell(room, "echo alive") == "alive\n"
        program.close()
