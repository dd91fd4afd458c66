from __future__ import annotations

import asyncio

import pytest

from embedenv_jupyter.client.dialect import Dialect
from embedenv_jupyter.client.events import Event, Missed, Notice, State, StateChange
from embedenv_jupyter.client.hub import MAX_UNREAD_EVENTS, Hub
from embedenv_jupyter.errors import RoomClosedError


def no_dialect() -> Dialect:
    raise AssertionError("no frame is given to this hub")


async def drained(events: object) -> list[Event]:
    async with asyncio.timeout(5):
        return [event async for event in events]  # type: ignore[attr-defined]


async def test_every_subscriber_gets_every_event_from_its_beginning() -> None:
    hub = Hub(no_dialect)
    first = hub.subscribe()
    hub.publish(Notice("a"))
    second = hub.subscribe()
    hub.publish(Notice("b"))
    hub.ended(RoomClosedError("idle"))
    end = StateChange(State.CLOSED, "This room has ended: idle.")
    assert await drained(first) == [Notice("a"), Notice("b"), end]
    assert await drained(second) == [Notice("b"), end]


async def test_a_slow_subscriber_is_told_what_it_missed() -> None:
    hub = Hub(no_dialect)
    slow = hub.subscribe()
    for number in range(MAX_UNREAD_EVENTS + 5):
        hub.publish(Notice(str(number)))
    assert await anext(slow) == Missed(5)
    assert await anext(slow) == Notice("5")
    slow.close()
    hub.publish(Notice("not for it"))
    assert len(await drained(slow)) == MAX_UNREAD_EVENTS - 1


async def test_the_first_end_counts() -> None:
    hub = Hub(no_dialect)
    hub.ended(RoomClosedError("idle"))
    hub.ended(RuntimeError("later"))
    assert str(hub.failure) == "This room has ended: idle."
    assert hub.state is State.CLOSED
    assert await drained(hub.subscribe()) == []


async def test_a_subscriber_may_be_cancelled() -> None:
    hub = Hub(no_dialect)
    events = hub.subscribe()
    reading = asyncio.create_task(anext(events))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    hub.publish(Notice("a"))
    assert await anext(events) == Notice("a")
