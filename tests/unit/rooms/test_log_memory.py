"""A log in memory: reading, waiting, being slow, and holding producers only when nobody keeps up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

from embedenv_jupyter.errors import RoomClosedError, RoomError, UnknownNumberError
from embedenv_jupyter.rooms.log import Gap, Log, Record, Watcher
from embedenv_jupyter.rooms.log.records import RECORD_WEIGHT
from tests.unit.rooms.log_model import Model, lines, run_ended

T = TypeVar("T")

DEADLINE_S = 5.0
TURNS = 20
LINE = lines("a\n")
WEIGHT = RECORD_WEIGHT + 2


async def within_deadline(work: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(DEADLINE_S):
        return await work


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def is_held(log: Log) -> bool:
    """Tell whether a producer would have to wait."""
    try:
        async with asyncio.timeout(0):
            await log.writable()
    except TimeoutError:
        return True
    return False


def log_of(records: int, *, unwritten: int = 10) -> Log:
    """Make a log in memory with room for so many short lines, and for so many more that wait."""
    return Log(None, memory_bytes=records * WEIGHT, unwritten_bytes=unwritten * WEIGHT)


@contextlib.asynccontextmanager
async def reading(watcher: Watcher) -> AsyncIterator[asyncio.Task[list[Record | Gap]]]:
    """A read that goes on in the background."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watcher.read())
        await turns()
        yield task


# Reading.


async def test_a_reader_gets_everything_after_its_number() -> None:
    log, model = log_of(100), Model()
    for event in (LINE, run_ended(), lines("a\n", "b\n", "c"), LINE):
        model.append(event)
        log.append(event)
    assert log.last == model.last == 11
    for after in range(11):
        async with log.watch(after) as watcher:
            assert model.check(after, await watcher.read()) == 11
            assert watcher.position == 11


async def test_a_resume_in_the_middle_of_a_record_says_what_to_skip() -> None:
    log = log_of(100)
    first = log.append(lines("a\n", "b\n"))
    second = log.append(LINE)
    async with log.watch(3) as watcher:
        rest, next_one = await watcher.read()
        assert isinstance(rest, Record)
        assert (rest.first, rest.skip, rest.event) == (1, 3, first.event)
        assert next_one is second


async def test_a_read_waits_for_the_next_append() -> None:
    log = log_of(100)
    async with log.watch(0) as watcher, reading(watcher) as read:
        assert not read.done()
        record = log.append(LINE)
        assert await read == [record]


async def test_appends_of_one_turn_are_read_together() -> None:
    log = log_of(100)
    async with log.watch(0) as watcher, reading(watcher) as read:
        records = [log.append(LINE) for _ in range(5)]
        assert await read == records


async def test_fifty_watchers_get_the_same_records() -> None:
    log = log_of(100)
    watchers = [log.watch(0) for _ in range(50)]
    async with contextlib.AsyncExitStack() as stack:
        for watcher in watchers:
            await stack.enter_async_context(watcher)
        assert set(log.watchers) == set(watchers)
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(watcher.read()) for watcher in watchers]
            await turns()
            record = log.append(LINE)
        assert all(read.result()[0] is record for read in reads)
    assert log.watchers == ()


async def test_a_read_is_limited_in_records_and_in_bytes() -> None:
    log = Log(None, memory_bytes=10 << 20)
    large = lines("x" * (100 << 10))
    for event in [LINE] * 5 + [large] * 5:
        log.append(event)
    async with log.watch(0) as watcher:
        assert len(await watcher.read(limit=3)) == 3
        assert len(await watcher.read()) == 4
        assert len(await watcher.read()) == 2
        with pytest.raises(ValueError, match="at least 1"):
            await watcher.read(limit=0)


async def test_a_cancelled_read_has_taken_nothing() -> None:
    log = log_of(100)
    async with log.watch(0) as watcher:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await watcher.read()
        record = log.append(LINE)
        assert await watcher.read() == [record]


async def test_a_number_from_the_future_is_from_another_room() -> None:
    log = log_of(100)
    with pytest.raises(UnknownNumberError, match="no events yet; the number 1 comes"):
        log.watch(1)
    log.append(LINE)
    with pytest.raises(UnknownNumberError, match="1 to 2; the number 3 comes from another") as caught:
        log.watch(3)
    assert (caught.value.asked, caught.value.last) == (3, 2)
    assert isinstance(caught.value, RoomError)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(UnknownNumberError):
        log.watch(-1)


async def test_a_watcher_is_read_inside_its_context_and_by_one_task() -> None:
    log = log_of(100)
    watcher = log.watch(0)
    with pytest.raises(RuntimeError, match="is new"):
        await watcher.read()
    async with watcher:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(watcher.read())
            await turns()
            with pytest.raises(RuntimeError, match="being read already"):
                await watcher.read()
            log.append(LINE)
        assert len(first.result()) == 1
    with pytest.raises(RuntimeError, match="is detached"):
        await watcher.read()
    with pytest.raises(RuntimeError, match="once"):
        await watcher.__aenter__()


async def test_a_read_that_waits_fails_when_the_watcher_is_detached() -> None:
    log = log_of(100)
    watcher = log.watch(0)

    async def read() -> None:
        async with watcher:
            with pytest.raises(RuntimeError, match="is detached"):
                await watcher.read()

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        await turns()
        watcher.detach()


# Gaps.


async def test_without_watchers_nothing_is_held_and_the_oldest_go() -> None:
    log, model = log_of(10), Model()
    for _ in range(1_000):
        model.append(LINE)
        log.append(LINE)
        assert not await is_held(log)
    assert log.memory_bytes <= 10 * WEIGHT
    for after in (0, 1, 2, 999, 1_500, 1_979, 1_980, 1_981, 1_999):
        async with log.watch(after) as watcher:
            position = model.check(after, await watcher.read())
            while position < log.last:
                position = model.check(position, await watcher.read())


async def test_a_gap_tells_its_numbers_and_the_output_lost() -> None:
    log = log_of(2)
    for _ in range(10):
        log.append(lines("é\n"))
    async with log.watch(0) as watcher:
        gap, *others = await watcher.read()
        assert gap == Gap(first=1, last=18, bytes=27)
        assert isinstance(gap, Gap)
        assert gap.events == 18
        assert not others


async def test_a_record_that_the_reader_has_in_part_counts_whole() -> None:
    log = log_of(1)
    log.append(lines("aa\n", "b\n"))
    log.append(LINE)
    async with log.watch(3) as watcher:
        assert (await watcher.read())[0] == Gap(first=4, last=4, bytes=5)


# Back-pressure.


async def test_the_only_watcher_is_the_pace_when_it_would_lose_something() -> None:
    log = log_of(10, unwritten=4)
    async with log.watch(0) as watcher:
        for _ in range(14):
            assert not await is_held(log)
            log.append(LINE)
        assert not await is_held(log)
        log.append(LINE)
        assert await is_held(log)
        async with asyncio.TaskGroup() as group:
            producer = group.create_task(log.writable())
            await turns()
            assert not producer.done()
            items = await watcher.read(2)
            await turns()
            assert not producer.done(), "the valve opens at half of the bound"
            items += await watcher.read(1)
            async with asyncio.timeout(DEADLINE_S):
                await producer
        assert [item.first for item in items] == [1, 3, 5]


async def test_the_fastest_watcher_is_the_pace_and_the_slow_one_gets_a_gap() -> None:
    log, model = log_of(10, unwritten=4), Model()
    async with log.watch(0) as slow, log.watch(0) as fast:
        position = 0
        for _ in range(100):
            assert not await is_held(log)
            model.append(LINE)
            log.append(LINE)
            position = model.check(position, await fast.read())
        assert position == 200
        assert log.memory_bytes <= 10 * WEIGHT
        (gap,) = await slow.read()
        assert isinstance(gap, Gap)
        model.check(0, [gap])


async def test_a_watcher_that_leaves_holds_nobody() -> None:
    log = log_of(10, unwritten=4)
    async with log.watch(0):
        for _ in range(15):
            log.append(LINE)
        assert await is_held(log)
    assert not await is_held(log)
    assert log.memory_bytes <= 10 * WEIGHT


async def test_somebody_who_comes_in_at_the_end_sets_the_pace_free() -> None:
    log = log_of(10, unwritten=4)
    async with log.watch(0):
        for _ in range(15):
            log.append(LINE)
        assert await is_held(log)
        async with log.watch(log.last):
            log.append(LINE)
            assert not await is_held(log)


async def test_memory_stays_bounded_against_those_who_do_not_ask() -> None:
    log, model = log_of(10, unwritten=4), Model()
    async with log.watch(0) as watcher:
        for _ in range(1_000):
            model.append(LINE)
            log.append(LINE)
            assert log.memory_bytes <= (10 + 2 * 4) * WEIGHT
        position = 0
        while position < log.last:
            position = model.check(position, await watcher.read())


@pytest.mark.parametrize("watched", [True, False])
async def test_a_record_larger_than_all_bounds_reaches_those_who_wait_for_it(watched: bool) -> None:
    log = log_of(2, unwritten=2)
    giant = lines("x" * 100_000)
    if not watched:
        log.append(giant)
        assert log.memory_bytes == 0
        return
    async with log.watch(0) as watcher, reading(watcher) as read:
        record = log.append(giant)
        assert await is_held(log)
        assert await read == [record]
        assert not await is_held(log)


async def test_a_frozen_watcher_shows_how_far_behind_it_is_and_for_how_long() -> None:
    now_s = 100.0
    log = Log(None, monotonic=lambda: now_s)
    async with log.watch(0) as watcher:
        now_s += 5
        assert (watcher.lag_events, watcher.lag_bytes, watcher.stalled_s) == (0, 0, 0)
        log.append(lines("abc\n"))
        log.append(lines("é\n"))
        assert (watcher.lag_events, watcher.lag_bytes, watcher.stalled_s) == (4, 7, 5.0)
        await watcher.read(1)
        assert (watcher.lag_events, watcher.lag_bytes, watcher.stalled_s) == (2, 3, 0)
        now_s += 3
        assert watcher.stalled_s == 3
        await watcher.read()
        async with asyncio.TaskGroup() as group:
            read = group.create_task(watcher.read())
            await turns()
            now_s += 7
            log.append(LINE)
            assert watcher.stalled_s == 0, "it waits in a read: the delay is ours"
        assert len(read.result()) == 1


# The end.


async def test_the_end_of_a_finished_log_is_an_empty_read() -> None:
    log = log_of(100)
    record = log.append(LINE)
    async with log.watch(0) as watcher:
        log.finish()
        assert await watcher.read() == [record]
        assert await watcher.read() == []
    async with log.watch(1) as watcher:
        assert [[item.skip for item in batch if isinstance(item, Record)] async for batch in watcher] == [[1]]


async def test_finishing_wakes_readers_and_producers() -> None:
    log = log_of(1, unwritten=1)
    async with log.watch(0) as frozen, log.watch(0) as waiting:
        for _ in range(2):
            log.append(LINE)
        await waiting.read()
        async with asyncio.TaskGroup() as group:
            read = group.create_task(waiting.read())
            await turns()
            log.finish()
        assert read.result() == []
        assert frozen.lag_events == 4
    assert not await is_held(log)
    assert log.is_finished
    with pytest.raises(RoomClosedError):
        log.append(LINE)


async def test_closing_lets_readers_come_to_the_end() -> None:
    log, model = log_of(100), Model()
    for _ in range(50):
        model.append(LINE)
        log.append(LINE)

    async def read_slowly(watcher: Watcher) -> int:
        position = 0
        async with watcher:
            while items := await watcher.read(limit=1):
                position = model.check(position, items)
                await turns()
        return position

    async with asyncio.TaskGroup() as group:
        reads = [group.create_task(read_slowly(log.watch(0))) for _ in range(3)]
        await asyncio.sleep(0)
        await within_deadline(log.aclose(delete=True))
    assert [read.result() for read in reads] == [100] * 3


async def test_closing_does_not_wait_for_a_frozen_reader_which_is_told_what_it_missed() -> None:
    log, model = log_of(100), Model()
    for _ in range(5):
        model.append(LINE)
        log.append(LINE)
    async with log.watch(0) as frozen:
        model.check(0, await frozen.read(1))
        await within_deadline(log.aclose(delete=True, linger_s=0.01))
        await log.aclose(delete=True)
        (gap,) = await frozen.read()
        assert gap == Gap(first=3, last=10, bytes=8)
        assert await frozen.read() == []


@pytest.mark.parametrize(
    "bounds", [{"memory_bytes": 0}, {"unwritten_bytes": -1}, {"segment_bytes": 0}, {"disk_bytes": -1}]
)
async def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bounds))):
        Log(None, **bounds)  # type: ignore[arg-type]
