"""Who comes back gets the rest once, or is told how much is lost; who reads slowly holds nobody up."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.rooms.events import Output
from embedenv_jupyter.rooms.room import Room
from tests.integration.conftest import Served
from tests.integration.watching.conftest import Open, Watch, Watcher, rest_of

LINES = 1000


@pytest.fixture
def embedenv_config() -> dict[str, Any]:
    return {"kernel_pool_size": 0, "log_disk_mib": 1, "send_timeout_s": 1.0, "hello_timeout_s": 3.0}


def room_of(served: Served, room: dict[str, Any]) -> Room:
    found = served.gateway.rooms.find(room["id"])
    assert found is not None
    return found


def write(room: Room, first: int, last: int) -> None:
    for number in range(first, last):
        room.log.append(Output(run="r1", text=f"{number}\n", at=time.time()))


def texts(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["text"] for frame in frames if frame.get("event") == "output"]


async def read_to(watcher: Watcher, text: str) -> int:
    """Read up to the output ``text``, and return its number."""
    return int((await watcher.until(event="output", text=text))["n"])


async def test_who_comes_back_gets_the_rest_once_and_is_the_same_member(
    served: Served, watch: Watch, open_room: Open
) -> None:
    opened = await open_room()
    room = room_of(served, opened)
    path = f"rooms/{opened['id']}/events"
    owner = await watch(path)
    await owner.hello(user="Ann")
    key = opened["join"]
    first = await watch(path, key=key)
    hello = await first.hello(user="Bob")
    write(room, 0, 5)
    number = await read_to(first, "3\n")
    await first.socket.close()
    await owner.until(event="member-left")
    write(room, 5, 10)
    second = await watch(path, key=key)
    again = await second.hello(token=hello["token"], resume=number)
    assert again["member"] == hello["member"] and again["token"] == hello["token"]
    write(room, 10, 12)
    await read_to(second, "11\n")
    assert texts(second.seen) == [f"{n}\n" for n in range(4, 12)]
    numbers = [frame["n"] for frame in second.seen if "event" in frame]
    assert numbers == sorted(set(numbers)) and numbers[0] > number


async def test_resume_from_the_beginning_tells_everything(
    served: Served, watch: Watch, open_room: Open
) -> None:
    opened = await open_room()
    write(room_of(served, opened), 0, 3)
    events = await watch(f"rooms/{opened['id']}/events")
    hello = await events.hello(resume=0)
    await events.until(event="member-joined", member=hello["member"]["id"])
    assert texts(events.seen) == ["0\n", "1\n", "2\n"]
    assert events.seen[-1]["n"] == hello["number"]


async def test_what_is_lost_is_told_with_its_size(served: Served, watch: Watch, open_room: Open) -> None:
    opened = await open_room()
    room = room_of(served, opened)
    text = "x" * 19_999 + "\n"
    for _ in range(LINES):  # 20 MB, of which the log keeps 2, and 4 more that wait to be written
        room.log.append(Output(run="r1", text=text, at=time.time()))
        await room.log.writable()
    events = await watch(f"rooms/{opened['id']}/events")
    await events.hello(resume=0)
    gap = await events.until(type="gap")
    assert gap["from"] == 1 and gap["count"] > 0 and gap["bytes"] % len(text) == 0
    last = await events.until(event="member-joined")
    kept = texts(events.seen)
    assert len(kept) < LINES and gap["count"] == 2 * (LINES - len(kept))
    assert gap["bytes"] == (LINES - len(kept)) * len(text)
    assert last["n"] == 2 * LINES + 1


async def test_a_number_that_the_log_has_not_come_to_is_refused(watch: Watch, open_room: Open) -> None:
    opened = await open_room()
    events = await watch(f"rooms/{opened['id']}/events")
    await events.send("hello", resume=1 << 40)
    error = await events.receive()
    assert (error["type"], error["reason"]) == ("error", "UnknownNumberError")
    assert "comes from another room" in error["message"]
    assert (await events.parted())[0] == CloseCode.POLICY_VIOLATION


async def test_who_reads_slowly_is_cut_off_and_the_others_are_not_held_up(
    served: Served, watch: Watch, open_room: Open
) -> None:
    opened = await open_room()
    room = room_of(served, opened)
    path = f"rooms/{opened['id']}/events"
    slow = await watch(path, max_queue=1)
    slow_member = (await slow.hello(user="Slow"))["member"]["id"]
    quick = await watch(path)
    await quick.hello(user="Quick")
    text = "x" * 99_999 + "\n"

    async def flood() -> None:
        for _ in range(300):
            room.log.append(Output(run="r1", text=text, at=time.time()))
            await room.log.writable()

    async with asyncio.TaskGroup() as tasks:
        flooding = tasks.create_task(flood())
        left = tasks.create_task(quick.until(event="member-left", member=slow_member))
    assert flooding.done() and (await left)["user"] == "Slow"
    assert len(await rest_of(slow.socket)) < 300
    assert slow.socket.close_code == CloseCode.TOO_SLOW
    assert "come back and resume" in str(slow.socket.close_reason)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ("no JSON", "not JSON"),
        ('{"type":"shell","command":"id"}', "allowed: hello, ping, presence"),
        ('{"type":"presence","where":{"kind":"file","path":3}}', "'where.path'"),
        ('{"type":"hello"}', "you have said hello already"),
        (b"\x00\x01", "frames are text"),
        ('{"type":"ping","id":"' + "x" * (16 << 10) + '"}', "at most 16384 are allowed"),
    ],
)
async def test_a_bad_frame_is_answered_and_the_connection_lives(
    watch: Watch, open_room: Open, frame: str | bytes, says: str
) -> None:
    opened = await open_room()
    events = await watch(f"rooms/{opened['id']}/events")
    await events.hello()
    await events.socket.send(frame)
    error = await events.receive()
    assert error["type"] == "error" and says in error["message"]
    await events.send("ping", id=1)
    assert await events.receive() == {"type": "pong", "id": 1}


async def test_whoever_says_something_else_first_is_sent_away(watch: Watch, open_room: Open) -> None:
    opened = await open_room()
    events = await watch(f"rooms/{opened['id']}/events")
    await events.send("ping")
    assert await events.parted() == (CloseCode.PROTOCOL_ERROR, "say hello first")
    room = await watch("rooms/events")
    shown = await room.until(type="rooms")
    assert shown["rooms"][0]["members"] == []


async def test_whoever_says_nothing_is_sent_away_but_need_not_speak_to_the_list(
    watch: Watch, open_room: Open
) -> None:
    opened = await open_room()
    rooms, events = await watch("rooms/events"), await watch(f"rooms/{opened['id']}/events")
    assert (await events.closed())[0] == CloseCode.HELLO_TIMEOUT
    await rooms.send("ping")
    assert await rooms.until(type="pong") == {"type": "pong"}


async def test_a_hello_to_a_room_that_ends_is_told_so(served: Served, watch: Watch, open_room: Open) -> None:
    opened = await open_room()
    events = await watch(f"rooms/{opened['id']}/events")
    closing = room_of(served, opened).begin_close("stopped")
    await events.send("hello")
    assert await events.parted() == (CloseCode.NORMAL, "the room has ended: stopped")
    await closing
