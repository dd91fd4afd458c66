"""Idle rooms: counted down, called off, put off, and never while something goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from embedenv_jupyter.rooms import idle
from embedenv_jupyter.rooms.events import IdleCountdown, PostMortem
from embedenv_jupyter.rooms.log import Record
from embedenv_jupyter.rooms.room import Room
from tests.integration.conftest import DEADLINE_S, Dial, Served
from tests.integration.spaces.peers import Asking, events_of

pytestmark = [
    pytest.mark.usefixtures("quick_looks"),
    pytest.mark.parametrize("embedenv_config", [{"idle_s": 0.6}]),
]


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(idle, "COUNTDOWN_STEPS_S", (0.5, 0.2))


@pytest.fixture
def room(served: Served, member: Asking) -> Room:
    found, _ = served.gateway.rooms.redeem(member.join_key)
    return found


async def happenings(room: Room) -> AsyncIterator[Any]:
    """Yield the events of a room as they come, to its end."""
    async with asyncio.timeout(DEADLINE_S), room.log.watch(0) as watcher:
        async for batch in watcher:
            for item in batch:
                assert isinstance(item, Record)
                yield item.event


async def test_the_countdown_is_told_in_steps_and_then_the_room_ends(member: Asking, room: Room) -> None:
    await member.peer.socket.close()
    events = [event async for event in happenings(room)]
    seconds = [event.seconds for event in events if isinstance(event, IdleCountdown)]
    first, second = (left for left in seconds if left is not None)
    assert 0.5 >= first > 0.2 >= second > 0
    last = events[-1]
    assert isinstance(last, PostMortem)
    assert (last.reason, last.cause, last.breaches) == ("idle", None, ())
    assert last.duration_s is not None and last.duration_s >= 0.6


async def test_a_new_member_calls_it_off_and_reads_that(member: Asking, room: Room, dial: Dial) -> None:
    await member.peer.socket.close()
    async for event in happenings(room):
        if isinstance(event, IdleCountdown):
            break
    guest = await Asking.join(dial, member.join_key)
    frames = await guest.until(event="idle", seconds=None)
    assert [event["seconds"] is None for event in events_of(frames, "idle")] in (
        [False, True],
        [False, False, True],
    )
    assert (await guest.run("echo alive"))[0] == "alive\n"
    await guest.peer.socket.close()
    reasons = [event.reason async for event in happenings(room) if isinstance(event, PostMortem)]
    assert reasons == ["idle"], "it begins anew when the last one has left"


async def test_keep_puts_it_off(member: Asking, room: Room, dial: Dial) -> None:
    assert (await member.ask("keep", {"seconds": 1000.0}))["type"] == "done"
    await member.peer.socket.close()
    async with asyncio.timeout(DEADLINE_S):
        while room.members.present:
            await asyncio.sleep(0.01)
    left_s = room.last_active_s - asyncio.get_running_loop().time()
    assert 900 < left_s <= 1000
    again = await member.again(dial, member.newest)
    assert (await again.run("echo alive"))[0] == "alive\n"
    answer = await again.ask("keep", {"seconds": 1e9})
    assert answer["type"] == "error" and "604800" in answer["message"]


async def test_work_in_the_background_is_no_idleness(member: Asking, room: Room) -> None:
    await member.shell("(until [ -e go ]; do sleep 0.01; done) & echo started")
    await member.until(type="exit")
    await member.peer.socket.close()
    looked = 0
    async with asyncio.timeout(DEADLINE_S):
        while looked < 100:  # a hundred looks are more than the idle time
            await asyncio.sleep(0.01)
            looked += 1
    assert room.end_reason is None
    await room.sandbox.files.write("go", b"")
    async with asyncio.timeout(DEADLINE_S):
        await room.ended.wait()
    assert room.end_reason == "idle"
