"""The queue between a program and its reader: in order, bounded, and never in the way of an end."""

from __future__ import annotations

import asyncio

import pytest

from embedenv_jupyter.engine.events import Event, Outcome, Output, Reason, Stage, StageBegan, Stream
from embedenv_jupyter.engine.pace import EventQueue
from embedenv_jupyter.sandbox.spec import ExitStatus

OUTCOME = Outcome(Stage.RUN, ExitStatus(code=0), Reason.EXIT, 1.0, None, None)


def output(data: bytes) -> Output:
    return Output(Stage.RUN, Stream.STDOUT, data)


async def read(queue: EventQueue) -> list[Event]:
    return [event async for event in queue.events()]


async def test_events_come_in_order_up_to_the_outcome() -> None:
    queue = EventQueue()
    told: list[Event] = [StageBegan(Stage.RUN), output(b"a"), output(b"b"), OUTCOME]
    for event in told:
        await queue.put(event)
    assert await read(queue) == told


async def test_a_reader_may_be_there_first() -> None:
    queue = EventQueue()
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read(queue))
        await asyncio.sleep(0)
        await queue.put(output(b"a"))
        await queue.put(OUTCOME)
    assert reading.result() == [output(b"a"), OUTCOME]


async def test_output_waits_while_too_much_is_unread_and_other_events_do_not() -> None:
    queue = EventQueue(limit_bytes=10)
    await queue.put(output(bytes(10)))
    waiting = asyncio.create_task(queue.put(output(b"late")))
    await queue.put(StageBegan(Stage.RUN))
    await asyncio.sleep(0)
    assert not waiting.done()
    events = queue.events()
    assert await anext(events) == output(bytes(10))
    await waiting
    assert await anext(events) == StageBegan(Stage.RUN)
    assert await anext(events) == output(b"late")
    await events.aclose()  # type: ignore[attr-defined]


async def test_nobody_waits_for_what_is_discarded() -> None:
    queue = EventQueue(limit_bytes=1)
    await queue.put(output(b"ab"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(queue.put(output(b"late")))
        await asyncio.sleep(0)
        queue.discard()
        queue.discard()
    await queue.put(output(b"later"))
    assert await read(queue) == []


async def test_a_fault_of_ours_is_met_after_what_was_told() -> None:
    queue = EventQueue()
    await queue.put(output(b"a"))
    queue.fail(RuntimeError("bug"))
    events = queue.events()
    assert await anext(events) == output(b"a")
    with pytest.raises(RuntimeError, match="bug"):
        await anext(events)
