"""The log on real disks, in real threads: full, broken, slow, and shared by many readers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from embedenv_jupyter.rooms.events import Output, RoomError
from embedenv_jupyter.rooms.log import Gap, Log, Record, Watcher, replay
from embedenv_jupyter.rooms.log.disk import SUFFIX
from tests.unit.rooms.log_model import Model, lines, run_ended

DEADLINE_S = 10.0
KIB, MIB = 1 << 10, 1 << 20
CHUNK_LINES = 160
TURNS = 20


def chunk(index: int) -> Output:
    """Make 16 KiB of output that no other index has."""
    return lines("".join(f"{index:06d} {line:06d} {'x' * 88}\n" for line in range(CHUNK_LINES)))


class Threads(ThreadPoolExecutor):
    """Counts what is done in threads, and can hold calls by name until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(4)
        self.calls: list[str] = []
        self.held = ""
        self.go_on = threading.Event()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls.append(fn.__name__)

        def call() -> Any:
            if fn.__name__ == self.held:
                assert self.go_on.wait(DEADLINE_S)
            return fn(*args, **kwargs)

        return super().submit(call)


@pytest.fixture
def threads() -> Iterator[Threads]:
    with Threads() as executor:
        yield executor


class Recorded:
    """A log beside the model of it; :meth:`produce` does as a program's output does."""

    def __init__(self, path: Path | None, **options: Any) -> None:
        self.log = Log(path, clock=lambda: 5.0, **options)
        self.model = Model()
        history = self.log._history
        append = history.append

        def noted(event: Any) -> Record:
            self.model.append(event)
            return append(event)

        history.append = noted  # type: ignore[method-assign]

    async def produce(self, chunks: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            for index in range(chunks):
                self.log.append(chunk(index))
                await self.log.writable()
                await asyncio.sleep(0)

    async def spilled(self) -> None:
        """Wait until everything beyond the bound of memory is on disk."""
        await until(lambda: self.log.memory_bytes <= self.log._memory_bytes)

    async def read_all(self, watcher: Watcher, *, pause: int = 0) -> list[Gap]:
        """Read to the newest number, checking everything; return the gaps."""
        gaps = []
        position = watcher.position
        async with asyncio.timeout(DEADLINE_S):
            while watcher.lag_events:
                items = await watcher.read()
                position = self.model.check(position, items)
                gaps += [item for item in items if isinstance(item, Gap)]
                for _ in range(pause):
                    await asyncio.sleep(0)
        return gaps

    async def resume(self, after: int) -> list[Gap]:
        async with self.log.watch(after) as watcher:
            return await self.read_all(watcher)

    def errors(self) -> list[str]:
        events = {id(event): event for _, event in self.model._events.values()}
        return [event.text for event in events.values() if isinstance(event, RoomError)]


MakeLog = Callable[..., Recorded]


@pytest.fixture
async def make_log(threads: Threads) -> AsyncIterator[MakeLog]:
    # `threads` is asked for so that it ends after the logs that use it.
    made: list[Recorded] = []

    def make(path: Path | None, **options: Any) -> Recorded:
        made.append(Recorded(path, **options))
        return made[-1]

    yield make
    for recorded in made:
        await recorded.log.aclose(delete=True, linger_s=0)


def segments(path: Path) -> list[Path]:
    return sorted(path.glob(f"*{SUFFIX}"))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.001)


# Spilling.


async def test_a_small_log_never_touches_the_disk(tmp_path: Path, make_log: MakeLog) -> None:
    path = tmp_path / "log"
    recorded = make_log(path)
    await recorded.produce(40)
    await recorded.log.aclose(delete=True)
    assert not path.exists()


async def test_what_does_not_fit_in_memory_is_read_from_disk(tmp_path: Path, make_log: MakeLog) -> None:
    path = tmp_path / "rooms" / "log"
    recorded = make_log(path)
    await recorded.produce(1_000)
    assert recorded.log.disk_bytes > 10 * MIB
    assert recorded.log.memory_bytes < 6 * MIB
    for after in (0, 1, 777, 2 * CHUNK_LINES, recorded.log.last // 2 + 1, recorded.log.last - 1):
        assert await recorded.resume(after) == []


async def test_files_are_for_the_gateway_alone(tmp_path: Path, make_log: MakeLog) -> None:
    path = tmp_path / "log"
    path.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        await make_log(path).produce(600)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert len(segments(path)) >= 1
    assert {stat.S_IMODE(file.stat().st_mode) for file in segments(path)} == {0o600}


async def test_segments_are_bounded_and_the_oldest_are_deleted(tmp_path: Path, make_log: MakeLog) -> None:
    path = tmp_path / "log"
    recorded = make_log(path, disk_bytes=2 * MIB, segment_bytes=256 * KIB, memory_bytes=128 * KIB)
    for _ in range(20):
        await recorded.produce(40)
        assert sum(file.stat().st_size for file in segments(path)) <= 2 * MIB
        assert all(file.stat().st_size <= 288 * KIB for file in segments(path))
    for after in (0, 1, 2, 3_333, 2 * CHUNK_LINES * 100, 2 * CHUNK_LINES * 100 + 17):
        (gap,) = await recorded.resume(after)
        assert gap.first == after + 1
    assert await recorded.resume(recorded.log.last - 2 * CHUNK_LINES * 50) == []


async def test_readers_of_every_pace_see_everything_while_it_is_written(
    tmp_path: Path, make_log: MakeLog
) -> None:
    recorded = make_log(tmp_path / "log")
    finished = asyncio.Event()

    async def follow(pause: int) -> list[Gap]:
        gaps: list[Gap] = []
        async with recorded.log.watch(0) as watcher:
            while not finished.is_set() or watcher.lag_events:
                gaps += await recorded.read_all(watcher, pause=pause)
                await asyncio.sleep(0)
        return gaps

    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow(pause)) for pause in (0, 0, 3, 30, 300)]
        await recorded.produce(1_500)
        finished.set()
    assert [follower.result() for follower in followers] == [[]] * 5


async def test_logs_leave_no_descriptor_and_no_file(tmp_path: Path) -> None:
    with Threads() as threads:
        before = 0
        for index in range(60):
            recorded = Recorded(tmp_path / str(index), memory_bytes=32 * KIB, executor=threads)
            await recorded.produce(10)
            assert await recorded.resume(0) == []
            await recorded.log.aclose(delete=True)
            if index == 10:
                before = len(os.listdir("/proc/self/fd"))
        assert len(os.listdir("/proc/self/fd")) == before
        assert list(tmp_path.iterdir()) == []


# Back-pressure.


async def test_the_only_reader_is_the_pace_once_the_disk_is_used_up(
    tmp_path: Path, make_log: MakeLog
) -> None:
    recorded = make_log(
        tmp_path / "log", disk_bytes=MIB, segment_bytes=128 * KIB, memory_bytes=64 * KIB, unwritten_bytes=MIB
    )
    async with recorded.log.watch(0) as watcher, asyncio.TaskGroup() as group:
        producer = group.create_task(recorded.produce(600))
        await until(lambda: watcher.lag_bytes > 1.3 * MIB)
        for _ in range(TURNS):
            await asyncio.sleep(0.001)
        assert watcher.lag_bytes < 2.2 * MIB
        assert not producer.done()
        gaps: list[Gap] = []
        while not producer.done():
            gaps += await recorded.read_all(watcher)
            await asyncio.sleep(0)
    assert gaps == []


async def test_a_frozen_reader_holds_nobody_when_another_one_reads(tmp_path: Path, make_log: MakeLog) -> None:
    recorded = make_log(
        tmp_path / "log", disk_bytes=MIB, segment_bytes=128 * KIB, memory_bytes=64 * KIB, unwritten_bytes=MIB
    )
    async with recorded.log.watch(0) as frozen, recorded.log.watch(0) as fast, asyncio.TaskGroup() as group:
        producer = group.create_task(recorded.produce(600))
        gaps: list[Gap] = []
        while not producer.done():
            gaps += await recorded.read_all(fast)
            await asyncio.sleep(0)
        assert gaps == []
        await recorded.spilled()
        (gap,) = await recorded.read_all(frozen)
        assert gap.first == 1


async def test_a_slow_disk_holds_producers_and_memory_stays_bounded(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    threads.held = "append"
    recorded = make_log(tmp_path / "log", memory_bytes=64 * KIB, unwritten_bytes=256 * KIB, executor=threads)
    async with asyncio.TaskGroup() as group:
        producer = group.create_task(recorded.produce(200))
        await until(lambda: "append" in threads.calls and recorded.log.memory_bytes > 320 * KIB)
        assert not producer.done()
        for index in range(100):  # somebody who does not ask
            recorded.log.append(chunk(index))
            assert recorded.log.memory_bytes <= 576 * KIB
        threads.go_on.set()
    gaps = await recorded.resume(0)
    assert len(gaps) == 1
    assert gaps[0].bytes < 100 * 16 * KIB


# Reading from disk.


async def test_readers_at_the_same_place_share_what_is_read(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    recorded = make_log(tmp_path / "log", executor=threads)
    await recorded.produce(640)
    await recorded.spilled()
    assert recorded.log._segments is not None
    blocks = sum(len(segment.blocks) for segment in recorded.log._segments._segments)
    threads.calls.clear()
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(recorded.resume(0)) for _ in range(20)]
    assert all(reader.result() == [] for reader in readers)
    assert blocks <= threads.calls.count("read_block") <= 3 * blocks


async def test_the_next_block_is_read_ahead(tmp_path: Path, make_log: MakeLog, threads: Threads) -> None:
    recorded = make_log(tmp_path / "log", executor=threads)
    await recorded.produce(200)
    await recorded.spilled()
    threads.calls.clear()
    async with recorded.log.watch(0) as watcher:
        await watcher.read()
        assert threads.calls == ["read_block", "read_block"]


async def test_a_reader_that_is_cancelled_does_not_disturb_the_others(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    recorded = make_log(tmp_path / "log", executor=threads)
    await recorded.produce(200)
    await recorded.spilled()
    threads.held = "read_block"
    async with asyncio.TaskGroup() as group:
        impatient, patient = (group.create_task(recorded.resume(0)) for _ in range(2))
        await until(lambda: "read_block" in threads.calls)
        impatient.cancel()
        await asyncio.sleep(0)
        threads.go_on.set()
    assert impatient.cancelled()
    assert patient.result() == []


async def test_running_out_of_descriptors_is_an_error_not_a_gap(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    recorded = make_log(tmp_path / "log", executor=threads)
    await recorded.produce(200)
    await recorded.spilled()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with recorded.log.watch(0) as watcher:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                await watcher.read()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert await recorded.read_all(watcher) == []


@pytest.mark.parametrize("damage", ["changed", "cut", "deleted"])
async def test_what_is_damaged_is_a_gap_and_the_rest_is_read(
    damage: str, tmp_path: Path, make_log: MakeLog, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log"
    recorded = make_log(path, segment_bytes=MIB, memory_bytes=64 * KIB)
    await recorded.produce(400)
    victim = segments(path)[1]
    if damage == "deleted":
        victim.unlink()
    elif damage == "cut":
        os.truncate(victim, victim.stat().st_size // 2)
    else:
        with victim.open("r+b") as file:
            file.seek(300 * KIB)
            file.write(b"?")
    async with recorded.log.watch(0) as first, recorded.log.watch(2) as second:
        gaps = await recorded.read_all(first)
        lost = sum(gap.bytes for gap in gaps)
        assert 0 < lost <= 1.1 * MIB
        assert sum(gap.bytes for gap in await recorded.read_all(second)) == lost
    assert "cannot be read" in caplog.text


# Where the disk cannot be written.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small tmpfs; the size limit of files is tested below")
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,nosuid,nodev,noexec", "tmpfs", str(mounted)]
    if (result := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {result.stderr.strip()}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


async def test_a_full_disk_is_a_smaller_bound(
    small_disk: Path, make_log: MakeLog, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = make_log(small_disk / "log", memory_bytes=256 * KIB, segment_bytes=256 * KIB)
    await recorded.produce(600)
    assert MIB < recorded.log.disk_bytes <= 2 * MIB
    (gap,) = await recorded.resume(0)
    assert gap.bytes < recorded.log.total_bytes - MIB
    (told,) = recorded.errors()
    assert "disk of this room's log is full" in told
    await recorded.log.aclose(delete=True)
    assert list(small_disk.iterdir()) == []


async def test_on_a_full_disk_the_only_reader_is_the_pace_and_misses_nothing(
    small_disk: Path, make_log: MakeLog
) -> None:
    recorded = make_log(small_disk / "log", memory_bytes=256 * KIB, segment_bytes=256 * KIB)
    async with recorded.log.watch(0) as watcher, asyncio.TaskGroup() as group:
        producer = group.create_task(recorded.produce(1_000))
        await until(lambda: recorded.errors() and watcher.lag_bytes > 3.5 * MIB)
        gaps: list[Gap] = []
        while not producer.done():
            gaps += await recorded.read_all(watcher, pause=3)
            await asyncio.sleep(0)
    assert gaps == []


async def test_a_disk_that_others_filled_leaves_memory_and_is_used_again_later(
    small_disk: Path, make_log: MakeLog
) -> None:
    now_s = 0.0
    hog = small_disk / "hog"
    with contextlib.suppress(OSError):
        hog.write_bytes(bytes(4 * MIB))
    recorded = make_log(small_disk / "log", memory_bytes=256 * KIB, monotonic=lambda: now_s)
    await recorded.produce(200)
    await until(recorded.errors)
    assert recorded.log.disk_bytes == 0
    (told,) = recorded.errors()
    assert "No space left on device" in told
    assert str(small_disk) not in told
    (gap,) = await recorded.resume(0)
    assert gap.last < recorded.log.last
    hog.unlink()
    now_s += 100
    await recorded.produce(60)
    await until(lambda: recorded.log.disk_bytes > 500 * KIB)
    assert len(await recorded.resume(0)) == 1


async def test_held_producers_do_not_wait_for_ever_for_a_disk_that_works_again(
    small_disk: Path, make_log: MakeLog
) -> None:
    hog = small_disk / "hog"
    with contextlib.suppress(OSError):
        hog.write_bytes(bytes(4 * MIB))
    recorded = make_log(small_disk / "log", memory_bytes=64 * KIB, unwritten_bytes=256 * KIB)
    async with recorded.log.watch(0) as frozen, asyncio.TaskGroup() as group:
        producer = group.create_task(recorded.produce(60))
        await until(lambda: recorded.errors() and recorded.log.memory_bytes > 320 * KIB)
        assert not producer.done()
        hog.unlink()
        await producer  # nobody reads, nobody appends: only the writer's own clock can help
        assert await recorded.read_all(frozen) == []


RLIMIT_SCRIPT = """
import asyncio, resource, sys
from pathlib import Path
from tests.integration.rooms.test_log_disk import Recorded, segments

async def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    now_s = 0.0
    recorded = Recorded(Path(sys.argv[1]), memory_bytes=64 << 10, monotonic=lambda: now_s)
    async with recorded.log.watch(0) as watcher:
        async with asyncio.timeout(10):
            while len(segments(Path(sys.argv[1]))) < 3:
                await recorded.produce(5)
                assert await recorded.read_all(watcher) == []
                now_s += 100.0
    assert max(file.stat().st_size for file in segments(Path(sys.argv[1]))) <= 1 << 20
    assert "File too large" in recorded.errors()[0]
    await recorded.log.aclose(delete=True)

asyncio.run(main())
"""


def test_a_limit_on_the_size_of_files_costs_nothing_but_a_new_segment(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-W", "error", "-c", RLIMIT_SCRIPT, tmp_path / "log"],
        check=True, timeout=DEADLINE_S, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip


async def test_a_directory_that_cannot_be_made_leaves_memory(tmp_path: Path, make_log: MakeLog) -> None:
    (tmp_path / "file").write_text("in the way")
    recorded = make_log(tmp_path / "file" / "log", memory_bytes=64 * KIB)
    await recorded.produce(50)
    await until(recorded.errors)
    assert "Not a directory" in recorded.errors()[0]
    assert len(await recorded.resume(0)) == 1


async def test_another_logs_files_are_left_alone(tmp_path: Path, make_log: MakeLog) -> None:
    path = tmp_path / "log"
    first = make_log(path, memory_bytes=64 * KIB)
    await first.produce(50)
    await first.log.aclose()
    files = {file: file.read_bytes() for file in segments(path)}
    second = make_log(path, memory_bytes=64 * KIB)
    await second.produce(50)
    await until(second.errors)
    assert "another log" in second.errors()[0]
    await second.log.aclose(delete=True)
    assert {file: file.read_bytes() for file in segments(path)} == files


# The end.


async def test_a_log_that_is_kept_can_be_replayed(tmp_path: Path, make_log: MakeLog) -> None:
    path = tmp_path / "log"
    recorded = make_log(path)
    await recorded.produce(300)
    recorded.log.append(run_ended())
    await recorded.log.aclose()
    assert recorded.model.check(0, replay(path)) == recorded.log.last
    assert await recorded.resume(777) == []


async def test_a_small_log_that_is_kept_is_written_at_the_end(tmp_path: Path, make_log: MakeLog) -> None:
    path = tmp_path / "log"
    recorded = make_log(path)
    await recorded.produce(1)
    recorded.log.append(run_ended())
    await recorded.log.aclose()
    await recorded.log.aclose()
    assert recorded.model.check(0, replay(path)) == recorded.log.last == 2 * CHUNK_LINES + 2


async def test_a_torn_end_is_left_out_of_a_replay(
    tmp_path: Path, make_log: MakeLog, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log"
    recorded = make_log(path)
    await recorded.produce(300)
    await recorded.log.aclose()
    newest = segments(path)[-1]
    os.truncate(newest, newest.stat().st_size - 1)
    position = recorded.model.check(0, replay(path))
    assert 0 < position < recorded.log.last
    assert "damaged" in caplog.text


async def test_deleting_waits_for_a_write_that_is_under_way(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    path = tmp_path / "log"
    threads.held = "append"
    recorded = make_log(path, memory_bytes=64 * KIB, executor=threads)
    await recorded.produce(20)
    await until(lambda: "append" in threads.calls)
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(recorded.log.aclose(delete=True))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert not closing.done()
        threads.go_on.set()
    assert not path.exists()


async def test_closing_that_was_cancelled_can_be_done_again(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    path = tmp_path / "log"
    threads.held = "append"
    recorded = make_log(path, memory_bytes=64 * KIB, executor=threads)
    await recorded.produce(20)
    await until(lambda: "append" in threads.calls)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await recorded.log.aclose(delete=True)
    threads.go_on.set()
    await recorded.log.aclose(delete=True)
    assert not path.exists()


async def test_a_reader_still_there_when_the_files_go_is_told_what_it_missed(
    tmp_path: Path, make_log: MakeLog
) -> None:
    recorded = make_log(tmp_path / "log", memory_bytes=64 * KIB)
    await recorded.produce(100)
    async with recorded.log.watch(0) as watcher:
        position = recorded.model.check(0, await watcher.read(1))
        await recorded.log.aclose(delete=True, linger_s=0.01)
        while items := await watcher.read():
            position = recorded.model.check(position, items)
        assert position == recorded.log.last
        assert isinstance(items, list)
