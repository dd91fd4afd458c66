from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from embedenv_jupyter.sandbox import watch
from embedenv_jupyter.sandbox.keeper import Counters, Keeper
from embedenv_jupyter.sandbox.sandbox import nobody_looks
from embedenv_jupyter.sandbox.spec import MIB, Breach, ExitStatus, Limits, SandboxSpec
from embedenv_jupyter.sandbox.watch import Monitor, tree_bytes
from embedenv_jupyter.sandbox.watchdog import Watchdog

DEADLINE_S = 10.0


class FakeKeeper:
    """A keeper whose counters a test sets."""

    pid: int | None = None

    def __init__(self) -> None:
        self.now = Counters()
        self.samples = 0

    def counters(self) -> Counters:
        self.samples += 1
        return self.now

    async def wait(self) -> ExitStatus:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError

    async def pause(self) -> bool:
        return False

    async def resume(self) -> bool:
        return False

    async def release(self) -> None:
        return


class FakeSandbox:
    """A sandbox as the monitor sees one."""

    def __init__(self, spec: SandboxSpec, workspace_fd: int = -1) -> None:
        self.spec = spec
        self.fake = FakeKeeper()
        self.keeper: Keeper = self.fake
        self.own_disk = spec.workspace is None
        self.running_jobs = 0
        self.workspace_fd = workspace_fd
        self.on_exit: Callable[[ExitStatus], None] = lambda _: None
        self.look_at_limits: Callable[[], Awaitable[None]] = nobody_looks
        self.reports: asyncio.Queue[tuple[Breach, str]] = asyncio.Queue()

    def breached(self, breach: Breach, detail: str) -> None:
        self.reports.put_nowait((breach, detail))

    async def report(self) -> tuple[Breach, str]:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reports.get()


def room(workspace_fd: int = -1, **limits: int) -> FakeSandbox:
    return FakeSandbox(SandboxSpec(id="r", limits=Limits(**limits)), workspace_fd)


@asynccontextmanager
async def monitoring(*sandboxes: FakeSandbox) -> AsyncIterator[Monitor]:
    monitor = Monitor()
    try:
        for sandbox in sandboxes:
            monitor.add(sandbox)
        yield monitor
    finally:
        await monitor.aclose()


async def test_limits_are_named_when_counters_grow() -> None:
    sandbox = room(memory_bytes=64 * MIB, pids=20)
    async with monitoring(sandbox) as monitor:
        sandbox.fake.now = Counters(oom_kills=1)
        await monitor.check(sandbox)
        assert await sandbox.report() == (
            Breach.OOM, "the memory limit of 64 MiB was reached, and a program was ended",
        )  # fmt: skip
        sandbox.fake.now = Counters(oom_kills=1, pid_refusals=3)
        await monitor.check(sandbox)
        assert await sandbox.report() == (Breach.PIDS, "the limit of 20 processes and threads was reached")
        await monitor.check(sandbox)
        assert sandbox.reports.empty()


async def test_limit_that_is_run_into_all_the_time_is_reported_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox = room()
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    async with monitoring(sandbox) as monitor:
        for refusals in range(1, 5):
            sandbox.fake.now = Counters(pid_refusals=refusals)
            await monitor.check(sandbox)
        assert sandbox.reports.qsize() == 1
        now_s += watch.QUIET_S
        sandbox.fake.now = Counters(pid_refusals=9)
        await monitor.check(sandbox)
        assert sandbox.reports.qsize() == 2


async def test_room_with_programs_is_sampled_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 0.01)
    sandbox = room()
    sandbox.running_jobs = 1
    async with monitoring(sandbox):
        sandbox.fake.now = Counters(oom_kills=1)
        assert (await sandbox.report())[0] is Breach.OOM


async def test_end_of_a_program_is_followed_by_a_sample_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 1000.0)
    sandbox = room()
    async with monitoring(sandbox):
        sandbox.fake.now = Counters(oom_kills=1)
        sandbox.on_exit(ExitStatus(code=0))
        assert (await sandbox.report())[0] is Breach.OOM


@pytest.mark.parametrize("status", [ExitStatus(signal=signal.SIGXFSZ), ExitStatus(code=128 + signal.SIGXFSZ)])
async def test_end_by_a_file_that_is_too_large_is_named_once_in_a_while(
    status: ExitStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = room(file_bytes=3 * MIB)
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    async with monitoring(sandbox):
        for _ in range(3):
            sandbox.on_exit(status)
        assert sandbox.reports.get_nowait() == (
            Breach.DISK, "a file reached the limit of 3 MiB, and a program was ended",
        )  # fmt: skip
        assert sandbox.reports.empty()
        now_s += watch.QUIET_S
        sandbox.on_exit(status)
        assert sandbox.reports.get_nowait()[0] is Breach.DISK


async def test_other_ends_of_programs_name_no_limit() -> None:
    sandbox = room()
    async with monitoring(sandbox):
        for status in (ExitStatus(code=0), ExitStatus(code=1), ExitStatus(signal=signal.SIGKILL)):
            sandbox.on_exit(status)
        assert sandbox.reports.empty()


async def test_who_asks_a_sandbox_for_its_limits_hears_of_them_before_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 1000.0)
    sandbox = room()
    async with monitoring(sandbox):
        sandbox.fake.now = Counters(oom_kills=1)
        await sandbox.look_at_limits()
        assert sandbox.reports.get_nowait()[0] is Breach.OOM


async def test_idle_room_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 0.001)
    idle, busy = room(), room()
    busy.running_jobs = 1
    async with monitoring(idle, busy):
        busy.fake.now = Counters(oom_kills=1)
        await busy.report()
        assert idle.fake.samples == 0


async def test_processes_left_behind_keep_a_room_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 0.01)
    sandbox = room()
    async with monitoring(sandbox) as monitor:
        sandbox.fake.now = Counters(pids=3)
        await monitor.check(sandbox)
        sandbox.fake.now = Counters(pids=3, oom_kills=1)
        assert (await sandbox.report())[0] is Breach.OOM


async def test_removed_room_hears_nothing_more() -> None:
    sandbox = room()
    async with monitoring(sandbox) as monitor:
        monitor.remove(sandbox)
        monitor.remove(sandbox)
        sandbox.fake.now = Counters(oom_kills=1)
        sandbox.on_exit(ExitStatus(code=0))
        await monitor.check(sandbox)
        assert sandbox.reports.empty()


async def test_one_broken_room_does_not_blind_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 0.01)
    sandbox = room()
    sandbox.running_jobs = 1
    broken = True

    def counters() -> Counters:
        nonlocal broken
        if broken:
            broken = False
            raise RuntimeError("no sample")
        return Counters(oom_kills=1)

    monkeypatch.setattr(sandbox.fake, "counters", counters)
    async with monitoring(sandbox):
        assert (await sandbox.report())[0] is Breach.OOM
    assert "limits of r could not be sampled" in caplog.text


async def test_room_that_cannot_be_sampled_hides_no_other_of_the_same_round(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "INTERVAL_S", 0.01)
    broken, unreported, sound = room(), room(), room()

    def fail() -> Counters:
        raise RuntimeError("no sample")

    def deafen(breach: Breach, detail: str) -> None:
        raise RuntimeError("nobody listens")

    monkeypatch.setattr(broken.fake, "counters", fail)
    monkeypatch.setattr(unreported, "breached", deafen)
    for sandbox in (broken, unreported, sound):
        sandbox.running_jobs = 1
        sandbox.fake.now = Counters(oom_kills=1)
    async with monitoring(broken, unreported, sound):
        assert (await sound.report())[0] is Breach.OOM
        sound.fake.now = Counters(oom_kills=1, pid_refusals=1)  # and rounds go on
        assert (await sound.report())[0] is Breach.PIDS
    assert caplog.text.count("could not be sampled") == 2


async def test_watchdog_of_a_room_is_not_kept_from_its_work_by_another_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken, guarded = room(), room()
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fail() -> None:
        raise RuntimeError("no sample")

    def note() -> None:
        loop.call_soon_threadsafe(looked.set)

    def watchdog(look: Callable[[], None]) -> Watchdog:
        made = Watchdog(0, Limits())
        monkeypatch.setattr(made, "look", look)
        return made

    for sandbox in (broken, guarded):
        sandbox.running_jobs = 1
    monitor = Monitor()
    try:
        monitor.add(broken, watchdog(fail))
        monitor.add(guarded, watchdog(note))
        async with asyncio.timeout(DEADLINE_S):
            await looked.wait()
    finally:
        await monitor.aclose()


async def test_limits_are_held_while_all_threads_of_the_loop_are_taken() -> None:
    sandbox = room(memory_bytes=64 * MIB)
    sandbox.fake.now = Counters(oom_kills=1)
    loop, release = asyncio.get_running_loop(), threading.Event()
    shared = ThreadPoolExecutor(1)
    loop.set_default_executor(shared)
    slow = loop.run_in_executor(None, release.wait, 2 * DEADLINE_S)
    try:
        async with monitoring(sandbox) as monitor:
            async with asyncio.timeout(DEADLINE_S):
                await monitor.check(sandbox)
            assert (await sandbox.report())[0] is Breach.OOM
            assert not slow.done()
    finally:
        release.set()
        await slow


async def test_sample_that_waits_while_the_monitor_closes_is_not_taken() -> None:
    first, second = room(), room()
    loop, began, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    class Slow(FakeKeeper):
        def counters(self) -> Counters:
            loop.call_soon_threadsafe(began.set)
            release.wait(DEADLINE_S)
            return super().counters()

    first.keeper = first.fake = Slow()
    async with monitoring(first, second) as monitor, asyncio.TaskGroup() as checks:
        checks.create_task(monitor.check(first))
        await began.wait()
        checks.create_task(monitor.check(second))
        await asyncio.sleep(0)  # until it waits for the other
        closing = checks.create_task(monitor.aclose())
        await asyncio.sleep(0)
        release.set()
        await closing
    assert (first.fake.samples, second.fake.samples) == (1, 0)


async def test_closing_twice_is_harmless() -> None:
    monitor = Monitor()
    await monitor.aclose()
    monitor.add(room())
    await monitor.aclose()
    await monitor.aclose()


# Workspaces that are folders of the host.


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


async def test_workspace_on_the_host_is_measured(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * MIB)
    fd = opened(tmp_path)
    spec = SandboxSpec(id="r", workspace=str(tmp_path), limits=Limits(workspace_bytes=MIB // 2))
    sandbox = FakeSandbox(spec, fd)
    try:
        async with monitoring(sandbox) as monitor:
            await monitor.check(sandbox)
            assert (await sandbox.report())[0] is Breach.DISK
            await monitor.check(sandbox)
            assert sandbox.reports.empty()
    finally:
        os.close(fd)


def test_tree_is_measured_by_what_it_occupies(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x" * 100_000)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 30)
    fd = opened(tmp_path)
    try:
        assert 100_000 <= tree_bytes(fd, 1 << 30) < MIB
        assert tree_bytes(fd, 1000) > 1000
    finally:
        os.close(fd)


def test_links_out_of_the_tree_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * MIB)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    fd = opened(inside)
    try:
        assert tree_bytes(fd, 10 * MIB) < MIB // 2
    finally:
        os.close(fd)


def test_tree_too_deep_to_be_measured_counts_as_full(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(watch.MAX_DEPTH + 2):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    fd = opened(tmp_path)
    try:
        assert tree_bytes(fd, 1 << 40) > 1 << 40
    finally:
        os.close(fd)
