"""What the members of a room are told of it, on a real server with a real sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable

from embedenv_jupyter.rooms.room_events import TELL_EVERY_S
from tests.integration.conftest import Dial, Served
from tests.integration.kernels.conftest import Api
from tests.integration.watching.conftest import Browser, KeyFor, Open, Watch


async def test_hello_answers_with_the_room_as_it_is(watch: Watch, open_room: Open) -> None:
    room = await open_room(name="lesson")
    events = await watch(f"rooms/{room['id']}/events")
    hello = await events.hello(user="Ann", color="#ff0000")
    assert set(hello) == {"type", "member", "token", "number", "room"}
    member = hello["member"]
    assert {**member, "id": ""} == {"id": "", "user": "Ann", "color": "#ff0000", "role": "own"}
    assert hello["room"]["members"] == [member]
    assert {**hello["room"], "members": [], "idle_stop_at": 0} == {
        **{name: room[name] for name in hello["room"]}, "members": [], "idle_stop_at": 0,
    }  # fmt: skip
    assert hello["room"]["idle_stop_at"] is None, "somebody is here"
    assert room["idle_stop_at"] - time.time() > 3000
    await events.send("ping", id={"any": [1, None]})
    assert await events.receive() == {"type": "pong", "id": {"any": [1, None]}}


async def test_a_run_is_told_from_its_beginning_to_its_end(
    served: Served, watch: Watch, open_room: Open, dial: Dial
) -> None:
    room = await open_room()
    events = await watch(f"rooms/{room['id']}/events")
    number = (await events.hello())["number"]
    peer = await dial()
    await peer.send(type="join", join=room["join"], user="Bob")
    assert (await peer.receive())["type"] == "join"
    await peer.shell("echo one; read -p name: answer; exit 3")
    started = await events.until(event="run-started")
    assert (started["command"], started["user"], started["kind"]) == (
        "echo one; read -p name: answer; exit 3",
        "Bob",
        "shell",
    )
    await events.until(event="prompt")
    (running,) = served.gateway.rooms.find(room["id"]).started  # type: ignore[union-attr]
    assert running.run == started["run"]
    await peer.shell("x")
    ended = await events.until(event="run-ended")
    assert (ended["run"], ended["code"], ended["signal"], ended["kind"]) == (started["run"], 3, None, "shell")
    told = [frame for frame in events.seen if "event" in frame]
    assert "".join(frame["text"] for frame in told if frame["event"] == "output") == "one\nname:"
    numbers = [frame["n"] for frame in told]
    assert numbers == sorted(set(numbers)) and numbers[0] > number
    joined = next(frame for frame in told if frame["event"] == "member-joined")
    assert joined["user"] == "Bob" and abs(joined["at"] - time.time()) < 60


async def test_usage_comes_at_once_and_again(watch: Watch, open_room: Open) -> None:
    room = await open_room()
    events = await watch(f"rooms/{room['id']}/events")
    await events.hello()
    first, second = await events.usage(), await events.usage()
    for frame in (first, second):
        assert set(frame) == {"type", "usage", "limits"}
        assert set(frame["usage"]) == {"cpu_s", "memory_bytes", "memory_peak_bytes", "pids", "disk_bytes"}
        assert frame["limits"] == room["limits"]


async def test_others_see_what_a_member_looks_at(
    watch: Watch, open_room: Open, key_for: KeyFor, browser: Callable[..., Browser]
) -> None:
    room = await open_room()
    guest = browser()
    await guest.join(await key_for(room, "view"), user="Bob")
    owner, bob = await watch(f"rooms/{room['id']}/events"), await watch(f"rooms/{room['id']}/events", guest)
    await owner.hello()
    member = (await bob.hello())["member"]
    assert (member["user"], member["role"]) == ("Bob", "view")
    where = {"kind": "file", "path": "src/a.py"}
    await bob.send("presence", where=where)
    told = await owner.until(type="presence")
    assert told == {"type": "presence", "member": member["id"], "where": where}
    third = await watch(f"rooms/{room['id']}/events")
    (seen,) = [found for found in (await third.hello())["room"]["members"] if found["id"] == member["id"]]
    assert seen["where"] == where
    await bob.send("presence", where=None)
    assert (await owner.until(type="presence"))["where"] is None


async def test_who_looks_here_and_there_is_told_of_at_a_pace(
    watch: Watch, open_room: Open, key_for: KeyFor
) -> None:
    room = await open_room()
    path = f"rooms/{room['id']}/events"
    owner = await watch(path)
    await owner.hello()
    bob = await watch(path, None, await key_for(room, "view"))
    await bob.hello(user="Bob")
    began_s = time.monotonic()
    for number in range(1, 501):
        await bob.send("presence", where={"kind": "preview", "path": str(number)})
    told: list[str] = []
    while told[-1:] != ["500"]:
        told.append((await owner.until(type="presence"))["where"]["path"])
    lasted_s = time.monotonic() - began_s
    assert len(told) <= 2 + lasted_s / TELL_EVERY_S
    assert sorted(told, key=int) == told


async def test_the_list_of_rooms_follows_what_happens(watch: Watch, open_room: Open, api: Api) -> None:
    rooms = await watch("rooms/events")
    assert await rooms.receive() == {"type": "rooms", "rooms": []}
    room = await open_room(name="one")
    shown = await rooms.until(type="rooms")
    assert [found["id"] for found in shown["rooms"]] == [room["id"]]
    await api("PATCH", f"api/rooms/{room['id']}", {"name": "two"})
    while shown["rooms"][0]["name"] != "two":
        shown = await rooms.until(type="rooms")
    await api("DELETE", f"api/rooms/{room['id']}")
    ended = await rooms.until(type="ended")
    assert (ended["room"]["id"], ended["room"]["reason"]) == (room["id"], "stopped")
    assert await rooms.receive() == {"type": "rooms", "rooms": []}, "only after the end of what it lacks"
    await rooms.send("hello")
    assert (await rooms.receive())["type"] == "error"
    await rooms.send("ping", id=1)
    assert await rooms.receive() == {"type": "pong", "id": 1}
