from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from embedenv_jupyter.client.flow import Buffering, Gate
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.client.refusal import StalledError
from embedenv_jupyter.errors import BusyError

T = TypeVar("T")
SMALL = Buffering(soft_bytes=10, hard_bytes=100, stall_s=0.05)


async def soon(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(5):
        return await awaitable


async def test_the_gate_shuts_at_the_soft_bound_and_opens_below_it() -> None:
    gate = Gate(SMALL)
    await soon(gate.passage())
    gate.put(10)
    assert not gate.is_open
    async with asyncio.TaskGroup() as group:
        passage = group.create_task(gate.passage())
        await asyncio.sleep(0)
        assert not passage.done()
        gate.take(1)
        await soon(passage)


async def test_a_call_that_waits_keeps_the_gate_open_up_to_the_hard_bound() -> None:
    gate = Gate(SMALL)
    gate.put(50)
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(gate.demand(future))
        await soon(gate.passage())
        gate.put(50)
        assert not gate.is_open
        future.set_result("answer")
        assert await soon(waiting) == "answer"
    gate.take(60)
    assert not gate.is_open


async def test_who_waits_behind_output_that_nobody_reads_is_told() -> None:
    gate = Gate(SMALL)
    gate.put(100)
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        passage = group.create_task(gate.passage())
        with pytest.raises(StalledError, match="100 bytes"):
            await soon(gate.demand(future))
        gate.take(100)
        await soon(passage)


async def test_a_slow_reader_is_no_stall() -> None:
    gate = Gate(Buffering(soft_bytes=10, hard_bytes=100, stall_s=1.0))
    gate.put(500)
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        passage = group.create_task(gate.passage())
        waiting = group.create_task(gate.demand(future))
        for _ in range(5):
            # Time is what is tested here: together longer than the stall, each step well within it.
            await asyncio.sleep(0.25)
            gate.take(100)
        await soon(passage)
        assert not waiting.done()
        future.set_result("answer")


async def test_a_cancelled_call_is_no_demand() -> None:
    gate = Gate(SMALL)
    gate.put(50)
    waiting = asyncio.create_task(gate.demand(asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    assert gate.is_open
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not gate.is_open


async def test_a_mailbox_counts_what_waits_in_it() -> None:
    gate = Gate(SMALL)
    box: Mailbox[str] = Mailbox(gate, len)
    box.put("abc")
    box.put("de")
    assert gate.unread_bytes == 5
    assert await soon(box.take()) == "abc"
    assert gate.unread_bytes == 2
    box.put_back(["abc"])
    assert gate.unread_bytes == 5
    assert await soon(box.take()) == "abc"
    box.drop_all()
    assert gate.unread_bytes == 0


async def test_a_mailbox_ends_after_what_is_in_it() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.end()
    box.put(2)
    box.end(RuntimeError("later"))
    assert [await soon(box.take()), await soon(box.take()), await soon(box.take())] == [1, None, None]


async def test_a_mailbox_fails_after_what_is_in_it() -> None:
    box: Mailbox[int] = Mailbox()
    box.put(1)
    box.end(RuntimeError("cut"))
    assert await soon(box.take()) == 1
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cut"):
            await box.take()


async def test_an_item_wakes_the_reader() -> None:
    box: Mailbox[int] = Mailbox()
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(box.take())
        await asyncio.sleep(0)
        box.put(1)
        box.put(2)
        assert await soon(taking) == 1
    assert len(box) == 1


async def test_cancelling_a_reader_loses_nothing() -> None:
    box: Mailbox[int] = Mailbox()
    for item in range(20):
        taking = asyncio.create_task(box.take())
        await asyncio.sleep(0)
        box.put(item)
        taking.cancel()
        await asyncio.wait([taking])
        assert taking.cancelled()
        assert await soon(box.take()) == item


async def test_a_mailbox_has_one_reader() -> None:
    box: Mailbox[int] = Mailbox()
    taking = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await box.take()
    box.end()
    assert await soon(taking) is None
