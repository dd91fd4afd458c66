"""Rooms as a whole by REST: limits, names, pauses, forks, snapshots, restarts, and how they ended."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError

from embedenv_jupyter.errors import CloseCode, SandboxGoneError
from embedenv_jupyter.handlers import room_actions
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB
from tests.integration.conftest import Dial, Peer, Served
from tests.integration.kernels.conftest import DEADLINE_S, Api
from tests.integration.watching.conftest import KeyFor, Open, Watch


def room_of(served: Served, room: dict[str, Any]) -> Room:
    found = served.gateway.rooms.find(room["id"])
    assert found is not None
    return found


async def shell_in(dial: Dial, key: str) -> Peer:
    peer = await dial()
    await peer.send(type="join", join=key, user="Bob")
    await peer.receive()
    return peer


async def write(served: Served, room: dict[str, Any], path: str, content: bytes) -> None:
    await room_of(served, room).sandbox.files.write(path, content)


async def read(served: Served, room: dict[str, Any], path: str) -> bytes:
    return await room_of(served, room).sandbox.files.read(path)


# Limits.


async def test_a_room_has_the_limits_that_were_asked_for(served: Served, open_room: Open, dial: Dial) -> None:
    limits = {"memory_bytes": 200 * MIB, "cpu_cores": 0.5, "pids": 50, "workspace_bytes": 10 * MIB}
    room = await open_room(limits=limits)
    assert room["limits"] == limits
    peer = await shell_in(dial, room["join"])
    assert "disk is full" in await peer.output("head -c 20M /dev/zero > big || echo disk is full")
    defaults = (await open_room(limits={"pids": 60}))["limits"]
    assert defaults == {"memory_bytes": 512 * MIB, "cpu_cores": 1.0, "pids": 60, "workspace_bytes": 256 * MIB}


@pytest.mark.parametrize(
    ("limits", "reason", "says"),
    [
        ({"memory_bytes": 513 * MIB}, "LimitError", f"memory_bytes up to {512 * MIB}, not {513 * MIB}"),
        ({"cpu_cores": 1.5}, "LimitError", "cpu_cores up to 1, not 1.5"),
        ({"pids": 129}, "LimitError", "pids up to 128, not 129"),
        ({"workspace_bytes": 257 * MIB}, "LimitError", "workspace_bytes up to"),
        ({"memory_bytes": 1}, "BadRequest", "$.limits.memory_bytes"),
        ({"pids": -1}, "BadRequest", "$.limits.pids"),
        ({"cpu_cores": "2"}, "BadRequest", "$.limits.cpu_cores"),
        ({"disk": 1}, "BadRequest", "unknown field `disk`"),
        ([], "BadRequest", "$.limits"),
    ],
)
async def test_limits_beyond_the_operators_are_refused_and_nothing_is_opened(
    served: Served, api: Api, limits: Any, reason: str, says: str
) -> None:
    answer = await api("POST", "api/rooms", {"limits": limits})
    assert (answer.status, answer.body["reason"]) == (400, reason)
    assert says in answer.body["message"]
    assert len(served.gateway.rooms) == 0


async def test_a_network_is_given_only_where_the_operator_has_one(api: Api, open_room: Open) -> None:
    answer = await api("POST", "api/rooms", {"network": True})
    assert (answer.status, answer.body["reason"]) == (400, "NoNetwork")
    await open_room(network=False)


# Names, and what only some may do.


async def test_a_room_is_named_by_its_owner(api: Api, open_room: Open, key_for: KeyFor) -> None:
    room = await open_room()
    assert room["name"] == room["id"]
    path = f"api/rooms/{room['id']}"
    assert (await api("PATCH", path, {"name": " Übung 1 "})).body["name"] == "Übung 1"
    assert (await api("GET", path)).body["name"] == "Übung 1"
    assert (await api("PATCH", path, {"name": "x" * 65})).status == 400
    assert (await api("PATCH", path, {})).status == 400
    editor = api.with_key(await key_for(room, "edit"))
    assert (await editor("PATCH", path, {"name": "x"})).body["reason"] == "RoleError"
    assert (await api("PATCH", path, {"name": ""})).body["name"] == room["id"]


async def test_only_the_owner_does_what_concerns_the_whole(
    api: Api, open_room: Open, key_for: KeyFor
) -> None:
    room = await open_room()
    path = f"api/rooms/{room['id']}"
    editor, viewer = api.with_key(await key_for(room, "edit")), api.with_key(await key_for(room, "view"))
    for method, what in [
        ("POST", "pause"), ("POST", "resume"), ("POST", "fork"), ("POST", "restart"), ("GET", "snapshot"),
        ("GET", "keys"), ("POST", f"keys/{room['join']}/rotate"), ("PATCH", "members/00"),
    ]:  # fmt: skip
        answer = await editor(method, f"{path}/{what}", {"role": "view"} if method == "PATCH" else None)
        assert (answer.status, answer.body["reason"]) == (403, "RoleError"), what
    assert (await viewer("POST", f"{path}/keep", {"seconds": 5})).status == 403
    assert (await editor("POST", f"{path}/keep", {"seconds": 5})).status == 200
    for what in ("pause", "fork", "keep"):
        assert (await api("POST", f"api/rooms/0123456789abcdef/{what}", {"seconds": 1})).status == 404


async def test_a_room_that_is_kept_ends_later(api: Api, open_room: Open) -> None:
    room = await open_room()
    kept = (await api("POST", f"api/rooms/{room['id']}/keep", {"seconds": 86_400})).body
    assert abs(kept["idle_stop_at"] - room["idle_stop_at"] - 86_400) < 60
    for seconds in (0, -1, 8 * 86_400, "1", None):
        assert (await api("POST", f"api/rooms/{room['id']}/keep", {"seconds": seconds})).status == 400


# Pausing.


async def test_a_paused_room_stands_still_until_it_is_resumed(
    served: Served, api: Api, open_room: Open, dial: Dial, watch: Watch
) -> None:
    room = await open_room()
    path = f"api/rooms/{room['id']}"
    peer = await shell_in(dial, room["join"])
    rooms = await watch("rooms/events")
    await peer.shell("while :; do echo 1 > now; done")
    while not (await rooms.until(type="rooms"))["rooms"][0]["running"]:
        pass
    assert (await api("POST", f"{path}/pause")).body["is_paused"] is True
    assert (await api("POST", f"{path}/pause")).body["is_paused"] is True
    while not (await rooms.until(type="rooms"))["rooms"][0]["is_paused"]:
        pass
    usage = [(await api("GET", path)).body["usage"]["cpu_s"] for _ in range(2)]
    assert usage[0] == usage[1], "nothing runs"
    for method, what in (("POST", "fork"), ("GET", "snapshot"), ("POST", "restart")):
        refused = await api(method, f"{path}/{what}")
        assert (refused.status, refused.body["reason"]) == (409, "RoomPausedError"), what
    assert (await api("POST", f"{path}/resume")).body["is_paused"] is False
    await peer.shell("Ctrl+C")
    await peer.until("terminal-data-end")
    assert await peer.output("echo runs again") == "runs again\n"
    assert await read(served, room, "now") in (b"1\n", b"")


async def test_a_paused_room_takes_no_shell_line_and_ends_at_once(
    served: Served, api: Api, open_room: Open, dial: Dial
) -> None:
    room = await open_room()
    peer = await shell_in(dial, room["join"])
    await api("POST", f"api/rooms/{room['id']}/pause")
    await peer.shell("echo x")
    (*_, refused) = await peer.until("error")
    assert "paused" in json_text(refused)
    began_s = time.monotonic()
    assert (await api("DELETE", f"api/rooms/{room['id']}")).status == 204
    assert time.monotonic() - began_s < 8, "what stands still is not asked to stop in vain"


def json_text(frame: dict[str, Any]) -> str:
    return " ".join(str(value) for value in frame.values())


# Files of the whole room.


async def test_a_fork_has_the_files_and_the_limits_and_is_a_room_of_its_own(
    served: Served, api: Api, open_room: Open
) -> None:
    room = await open_room(limits={"pids": 60, "workspace_bytes": 20 * MIB})
    content = bytes(range(256)) * 20_000
    await write(served, room, "a/deep/ä.bin", content)
    answer = await api("POST", f"api/rooms/{room['id']}/fork", {"name": "copy"})
    assert answer.status == 201, answer
    fork = answer.body
    assert fork["id"] != room["id"] and fork["join"] != room["join"]
    assert (fork["name"], fork["limits"], fork["role"]) == ("copy", room["limits"], "own")
    assert await read(served, fork, "a/deep/ä.bin") == content
    await write(served, fork, "a/deep/ä.bin", b"other")
    assert await read(served, room, "a/deep/ä.bin") == content
    assert {found["id"] for found in (await api("GET", "api/rooms")).body} == {room["id"], fork["id"]}


async def test_a_fork_costs_what_a_room_costs_and_a_failed_one_nothing(
    served: Served, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer = api.with_key(f"{served.public_key}:{served.secret_key}")
    room = (await payer("POST", "api/rooms", {})).body
    assert room["remaining_credits"] == 999
    assert (await payer("POST", f"api/rooms/{room['id']}/fork")).body["remaining_credits"] == 998
    account = (await payer("GET", "api/account")).body
    assert account["credits"] == 998

    async def fails(*_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("embedenv_jupyter.rooms.manager.copy_workspace", fails)
    assert (await payer("POST", f"api/rooms/{room['id']}/fork")).status == 500
    assert (await payer("GET", "api/account")).body["credits"] == 998
    ended = {end["reason"] for end in (await payer("GET", "api/ended-rooms")).body}
    assert ended <= {"called off"}
    assert (await api("GET", "api/ended-rooms")).body == [], "of another account"


async def test_a_snapshot_is_a_tar_of_all_files(served: Served, api: Api, open_room: Open) -> None:
    room = await open_room(name='a b"ä')
    content = bytes(3 * MIB)
    await write(served, room, "sub/zeros", content)
    request = HTTPRequest(
        f"{served.http_url}embedenv/api/rooms/{room['id']}/snapshot",
        headers={"Authorization": api.authorization}, request_timeout=DEADLINE_S,
    )  # fmt: skip
    response = await AsyncHTTPClient().fetch(request)
    assert response.headers["Content-Type"] == "application/x-tar"
    assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20b%22%C3%A4.tar"
    with tarfile.open(fileobj=io.BytesIO(response.body)) as archive:
        (name,) = [found.name for found in archive if found.isfile()]
        file = archive.extractfile(name)
        assert name.endswith("sub/zeros") and file is not None and file.read() == content


async def test_a_restart_keeps_files_name_and_keys_and_gives_other_limits(
    served: Served, api: Api, open_room: Open, key_for: KeyFor, watch: Watch
) -> None:
    room = await open_room(name="lesson", limits={"memory_bytes": 100 * MIB, "pids": 60})
    viewer = await key_for(room, "view")
    await write(served, room, "kept", b"here")
    events = await watch(f"rooms/{room['id']}/events", key=viewer)
    await events.hello()
    answer = await api("POST", f"api/rooms/{room['id']}/restart", {"limits": {"memory_bytes": 300 * MIB}})
    assert answer.status == 201, answer
    new = answer.body
    assert (new["name"], new["join"]) == ("lesson", room["join"]) and new["id"] != room["id"]
    assert (new["limits"]["memory_bytes"], new["limits"]["pids"]) == (300 * MIB, 60)
    assert await read(served, new, "kept") == b"here"
    assert (await events.parted())[0] == CloseCode.NORMAL
    (died,) = [frame for frame in events.seen if frame.get("event") == "post-mortem"]
    assert died["reason"] == "restarted"
    joined = await api("POST", "api/join", {"join": viewer})
    assert (joined.body["id"], joined.body["role"]) == (new["id"], "view")
    too_much = await api("POST", f"api/rooms/{new['id']}/restart", {"limits": {"pids": 1000}})
    assert (too_much.status, too_much.body["reason"]) == (400, "LimitError")


async def test_files_that_do_not_fit_are_not_taken_along_and_the_room_stays(
    served: Served, api: Api, open_room: Open
) -> None:
    room = await open_room()
    await write(served, room, "big", bytes(3 * MIB))
    answer = await api("POST", f"api/rooms/{room['id']}/restart", {"limits": {"workspace_bytes": MIB}})
    assert (answer.status, answer.body["reason"]) == (422, "WorkspaceError")
    assert "No space left" in answer.body["message"]
    assert len(await read(served, room, "big")) == 3 * MIB
    (left,) = [found for found in (await api("GET", "api/rooms")).body if found["id"] == room["id"]]
    assert left["limits"] == room["limits"]


async def test_a_fork_says_which_files_it_does_not_have(api: Api, open_room: Open, dial: Dial) -> None:
    room = await open_room()
    peer = await shell_in(dial, room["join"])
    await peer.output("mkdir locked; touch locked/x read; chmod 000 locked")
    answer = await api("POST", f"api/rooms/{room['id']}/fork")
    await peer.output("chmod 700 locked")
    assert answer.status == 201, answer
    (line,) = answer.body["left_out"]
    assert "locked" in line and "ermission denied" in line
    assert (await api("POST", f"api/rooms/{room['id']}/fork")).body["left_out"] == []


async def test_a_snapshot_that_breaks_off_does_not_look_whole(
    served: Served, api: Api, open_room: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await open_room()

    async def breaks(_: Sandbox) -> AsyncGenerator[bytes, None]:
        yield b"the beginning"
        raise SandboxGoneError("oom")

    monkeypatch.setattr(room_actions, "packed", breaks)
    request = HTTPRequest(
        f"{served.http_url}embedenv/api/rooms/{room['id']}/snapshot",
        headers={"Authorization": api.authorization}, request_timeout=DEADLINE_S,
    )  # fmt: skip
    with pytest.raises((HTTPStreamClosedError, HTTPClientError)):
        await AsyncHTTPClient().fetch(request)


# Ends.


async def test_how_a_room_ended_is_told_and_kept(
    served: Served, api: Api, open_room: Open, watch: Watch, browser: Any
) -> None:
    room, guest = await open_room(name="over"), browser()
    await guest.join(room["join"])
    path = f"rooms/{room['id']}/events"
    events = await watch(path)
    await events.hello()
    assert (await api("DELETE", f"api/rooms/{room['id']}")).status == 204
    assert await events.parted() == (CloseCode.NORMAL, "the room has ended: stopped")
    died = events.seen[-2]
    assert (died["event"], died["reason"], died["cause"]) == ("post-mortem", "stopped", None)
    (ended,) = (await api("GET", "api/ended-rooms")).body
    assert (ended["id"], ended["name"], ended["reason"]) == (room["id"], "over", "stopped")
    assert ended["limits"] == room["limits"] and abs(ended["ended_at"] - time.time()) < 60
    assert {name: ended[name] for name in ("code", "signal", "breaches", "duration_s", "cpu_s")} == {
        name: died[name] for name in ("code", "signal", "breaches", "duration_s", "cpu_s")
    }
    for who in ({}, {"browser": guest}):
        assert await (await watch(path, **who)).parted() == (CloseCode.NORMAL, "the room has ended: stopped")
    assert (await api("GET", f"api/rooms/{room['id']}")).status == 404
    gone = await api("POST", f"api/rooms/{room['id']}/restart")
    assert (gone.status, gone.body["reason"]) == (409, "WorkspaceGone")
    assert (await api("POST", "api/rooms/0123456789abcdef/restart")).status == 404


async def test_a_killed_room_says_what_it_died_of(
    served: Served, api: Api, open_room: Open, watch: Watch
) -> None:
    room = await open_room()
    events = await watch(f"rooms/{room['id']}/events")
    await events.hello()
    room_of(served, room).sandbox.keeper.kill()
    died = await events.until(event="post-mortem")
    assert died["signal"] == "SIGKILL" and died["code"] is None and "SIGKILL" in died["cause"]
    assert (await events.parted())[0] == CloseCode.NORMAL
    (ended,) = (await api("GET", "api/ended-rooms")).body
    assert (ended["signal"], ended["cause"]) == ("SIGKILL", died["cause"])


async def test_the_last_fifty_ends_are_kept_the_newest_first(
    served: Served, api: Api, open_room: Open
) -> None:
    rooms = served.gateway.rooms
    room = room_of(served, await open_room())
    for number in range(60):
        room.name = str(number)
        rooms.endings.add(room)
    names = [end["name"] for end in (await api("GET", "api/ended-rooms")).body]
    assert names == [str(number) for number in range(59, 9, -1)]


async def test_rooms_that_serve_the_engine_are_in_nobodys_list(served: Served, api: Api) -> None:
    ticket = (await api("POST", "api/tickets")).body["ticket"]
    wanted = {"language": "python", "code": "print(6 * 7)"}
    ran = await api.with_key(ticket)("POST", "api/v1/execute", wanted)
    assert ran.status == 200 and "42" in str(ran.body), ran.body
    assert (await api("GET", "api/rooms")).body == []
    assert (await api("GET", "api/ended-rooms")).body == []


async def test_the_account_says_what_it_has_and_what_things_cost(served: Served, api: Api) -> None:
    account = (await api("GET", "api/account")).body
    assert account["credits"] is None and account["tier"] == served.gateway.tier.name
    assert account["costs"] == {"room": 1, "free": 0, "standard": 1, "heavy": 5}
    assert account["limits"] == {
        "memory_bytes": 512 * MIB, "pids": 128, "cpu_cores": 1.0, "workspace_bytes": 256 * MIB,
        "network": False,
    }  # fmt: skip
    payer = api.with_key(f"{served.public_key}:{served.secret_key}")
    paid = (await payer("GET", "api/account")).body
    assert (paid["name"], paid["credits"]) == ("tests", 1000)
    assert (await api.with_key("nonsense")("GET", "api/account")).status == 401
