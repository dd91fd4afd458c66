"""Every command, sent by every role: allowed, or refused by name, on each frame anew."""

from __future__ import annotations

import json
from typing import Any

import pytest

from embedenv_jupyter.rooms.members import Role
from embedenv_jupyter.rooms.room import Room
from tests.integration.conftest import Dial, Served, text_of
from tests.integration.spaces.peers import Asking, Frame

TREE = json.dumps({"name": "project", "type": "folder", "children": []})
SERVER = "exec python3 -u -m http.server 3000 --bind 127.0.0.1"

COMMANDS: dict[str, tuple[Role, dict[str, Any], dict[str, Any]]] = {
    "read": (Role.VIEW, {}, {"path": "file"}),
    "list": (Role.VIEW, {}, {"path": "."}),
    "shell": (Role.RUN, {"command": "typed"}, {}),
    "stdin": (Role.RUN, {"data": "typed\n"}, {}),
    "eof": (Role.RUN, {}, {}),
    "signal": (Role.RUN, {"signal": "CONT"}, {}),
    "curl": (Role.RUN, {}, {"url": "http://localhost:3000/"}),
    "keep": (Role.RUN, {"seconds": 1}, {}),
    "project": (Role.EDIT, {}, {"file_structure": TREE}),
    "create": (Role.EDIT, {"item": "folder", "path": "made"}, {}),
    "write": (Role.EDIT, {}, {"path": "written", "content": "x"}),
    "rename": (Role.EDIT, {}, {"path": "written", "name": "renamed"}),
    "delete": (Role.EDIT, {}, {"path": "made"}),
}
"""Command → the role that it needs, and its fields inside and beside. ``stop`` has a test of its own."""


@pytest.fixture
def room(served: Served, member: Asking) -> Room:
    found, _ = served.gateway.rooms.redeem(member.join_key)
    return found


async def join_as(room: Room, role: Role, dial: Dial) -> Asking:
    return await Asking.join(dial, room.people.keys.issue(role).key)


async def outcome(peer: Asking, kind: str, inside: Frame, beside: Frame) -> Frame:
    """Send a command; return the first frame of its answer."""
    answer = await peer.ask(kind, inside, **beside)
    if kind in ("read", "curl") and answer["type"] != "end":
        await peer.until(type="end", id=answer["id"])
    return answer


async def test_every_command_by_every_role(member: Asking, room: Room, dial: Dial) -> None:
    await member.command("write", path="file", content="content")
    await member.shell(SERVER)
    await member.until(type="terminal-newline")
    for role in Role:
        peer = await join_as(room, role, dial)
        assert peer.role == role.word
        before = room.log.last
        for kind, (needed, inside, beside) in COMMANDS.items():
            answer = await outcome(peer, kind, inside, beside)
            case = (role.word, kind, answer)
            if role >= needed:
                assert answer["type"] != "error", case
            else:
                assert answer["type"] == "error", case
                assert repr(needed.word) in answer["message"] and repr(role.word) in answer["message"], case
        if role is Role.VIEW:
            assert room.log.last == before, "a refused command leaves no trace"
        await member.command("delete", path="renamed")
        await peer.peer.socket.close()


async def test_only_owners_stop_the_room_and_interrupts_need_run(
    member: Asking, room: Room, dial: Dial
) -> None:
    await member.shell("echo ready; sleep 1000")
    await member.until(type="terminal-data", data="ready")
    viewer = await join_as(room, Role.VIEW, dial)
    answer = await viewer.answer(await viewer.shell("Ctrl+C"))
    assert "'run'" in answer["message"] and "interrupt" in answer["message"]
    for role in (Role.VIEW, Role.RUN, Role.EDIT):
        peer = await join_as(room, role, dial)
        answer = await peer.ask("stop")
        assert answer["type"] == "error" and "'own'" in answer["message"]
    assert room.end_reason is None
    runner = await join_as(room, Role.RUN, dial)
    assert (await runner.answer(await runner.shell("Ctrl+C")))["type"] == "done"
    await member.until(type="exit")
    owner = await join_as(room, Role.OWN, dial)
    assert (await owner.ask("stop"))["type"] == "done"
    await viewer.until(event="post-mortem")


async def test_a_published_client_that_may_only_watch_sees_all_and_waits_for_no_end(
    member: Asking, room: Room, dial: Dial
) -> None:
    peer = await dial()
    await peer.send(type="join", join=room.people.keys.issue(Role.VIEW).key, user="viewer", color="#fff")
    await peer.receive()
    await peer.shell("echo mine")
    assert [frame["type"] for frame in await peer.until("terminal-data-end")] == [
        "error",
        "terminal-data-end",
    ]
    await member.run("echo theirs")
    assert text_of(await peer.until("terminal-data-end")) == "theirs\n"


async def test_a_changed_role_counts_from_the_next_frame_on(member: Asking, room: Room, dial: Dial) -> None:
    peer = await join_as(room, Role.EDIT, dial)
    (found,) = (found for found in room.members.present if found.token == peer.token)
    assert (await peer.ask("write", path="a", content=""))["type"] == "done"
    found.role = Role.VIEW
    assert (await peer.ask("write", path="a", content=""))["type"] == "error"
    assert (await peer.ask("list", path="."))["type"] == "listing"
    again = await peer.again(dial, 0)
    assert again.role == "view", "coming back with the old key does not bring the old role back"
    found.role = Role.RUN
    assert (await again.run("echo may run"))[0] == "may run\n"
    assert (await again.ask("write", path="a", content=""))["type"] == "error"


async def test_revoked_and_expired_keys_open_nothing(member: Asking, room: Room, dial: Dial) -> None:
    revoked, expired = room.people.keys.issue(Role.EDIT), room.people.keys.issue(Role.EDIT, expires_at=1.0)
    room.people.keys.revoke(revoked.key)
    for key in (revoked.key, expired.key, "", "x" * 257, member.token):
        peer = await dial()
        await peer.send(type="join", join=key, user="a", color="#fff", resume=0, member=member.token)
        assert (await peer.receive())["type"] == "error"
        assert await peer.closed() == 1008
