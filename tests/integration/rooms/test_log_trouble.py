"""The log on disks that are full, damaged or not there: nothing is lost silently, nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedenv_jupyter.rooms.log import Gap
from tests.integration.rooms.recorded_log import DEADLINE_S, KIB, MIB, MakeLog, Threads, segments, until

# Reading.


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


# Writing.


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
    await recorded.spilled()
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
        on_disk = sum(file.stat().st_size for file in segments(small_disk / "log"))
        assert on_disk == recorded.log.disk_bytes, "what was written in part is cut off again"
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
from tests.integration.rooms.recorded_log import Recorded, segments

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
