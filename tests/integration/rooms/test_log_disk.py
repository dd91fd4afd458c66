"""The log on a real disk, in real threads: moved out of memory, read back, shared, held, kept and deleted."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from embedenv_jupyter.rooms.log import Gap, replay
from tests.integration.rooms.recorded_log import (
    CHUNK_LINES,
    KIB,
    MIB,
    MakeLog,
    Recorded,
    Threads,
    chunk,
    segments,
    until,
)
from tests.unit.rooms.log_model import run_ended

TURNS = 20


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
        await recorded.spilled()
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


async def test_nothing_is_done_while_everybody_waits_for_a_reader(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    recorded = make_log(
        tmp_path / "log",
        disk_bytes=256 * KIB,
        memory_bytes=64 * KIB,
        unwritten_bytes=256 * KIB,
        executor=threads,
    )
    async with recorded.log.watch(0) as watcher, asyncio.TaskGroup() as group:
        producer = group.create_task(recorded.produce(60))
        await until(lambda: watcher.lag_bytes > 330 * KIB)
        await asyncio.sleep(0.05)
        done = len(threads.calls)
        await asyncio.sleep(0.05)
        assert len(threads.calls) == done
        assert not producer.done()
        while not producer.done():
            assert await recorded.read_all(watcher) == []
            await asyncio.sleep(0)


async def test_who_comes_while_the_oldest_is_about_to_go_still_gets_it(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    threads.held = "survey"
    recorded = make_log(
        tmp_path / "log", disk_bytes=256 * KIB, memory_bytes=64 * KIB, unwritten_bytes=MIB, executor=threads
    )
    await recorded.produce(30)
    await until(lambda: "survey" in threads.calls)
    async with recorded.log.watch(0) as watcher:
        threads.go_on.set()
        await asyncio.sleep(0.05)
        assert await recorded.read_all(watcher) == []


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


async def test_what_was_read_ahead_is_not_lost_when_its_file_goes(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    recorded = make_log(tmp_path / "log", disk_bytes=4 * MIB, executor=threads)
    await recorded.produce(240)
    await recorded.spilled()
    async with recorded.log.watch(0) as slow, recorded.log.watch(recorded.log.last) as fast:
        position = recorded.model.check(0, await slow.read())
        while not recorded.log.disk_bytes > 3.5 * MIB or (await recorded.resume(0)) == []:
            await recorded.produce(20)
            await recorded.read_all(fast)
            await recorded.spilled()
        ahead = await slow.read()
        assert not any(isinstance(item, Gap) for item in ahead)
        assert recorded.model.check(position, ahead) > position


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


async def test_closing_waits_for_a_read_that_nobody_wants_any_more(
    tmp_path: Path, make_log: MakeLog, threads: Threads
) -> None:
    recorded = make_log(tmp_path / "log", memory_bytes=64 * KIB, executor=threads)
    await recorded.produce(20)
    await recorded.spilled()
    threads.held = "read_block"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await recorded.resume(0)
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(recorded.log.aclose(delete=True))
        await asyncio.sleep(0.01)
        assert not closing.done()
        threads.go_on.set()


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
