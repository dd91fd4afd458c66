"""``%embedenv`` on a real server: the room of a notebook, other rooms, and the keys to them."""

from __future__ import annotations

import re

from tests.integration.conftest import Served
from tests.integration.kernels.conftest import Api, OpenRoom
from tests.integration.kernels.magics.conftest import Enter, OpenAnother
from tests.integration.kernels.magics.shown import found, table, types, value
from tests.integration.kernels.peers import key_of


async def test_room_is_shown_as_a_kernel_would_show_it(enter: Enter, room: OpenRoom, served: Served) -> None:
    peer = await enter(room)
    await peer.run("1")
    _, reply, messages = await peer.run("%embedenv")
    assert types(messages) == ["busy", "execute_input", "display_data", "execute_reply", "idle"]
    assert reply["status"] == "ok"
    assert reply["execution_count"] == messages[1].content["execution_count"] == 2
    text = table(messages)
    assert value(text, "room") == f"lesson ({room.id})"
    assert value(text, "isolated by") == served.gateway.tier.name
    assert "(own)" in value(text, "members")
    assert value(text, "credits") == "no limit"
    assert value(text, "memory limit") == "512 MiB"
    assert re.match(r"\d", value(text, "memory used")) or value(text, "memory used").startswith("not known")
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert (receipt["room"], receipt["status"], receipt["cost"]) == (room.id, "ok", 0)
    _, reply, _ = await peer.run("2")
    assert reply["execution_count"] == 2


async def test_names_are_escaped_in_html(enter: Enter, room: OpenRoom, served: Served) -> None:
    served.gateway.rooms.rename(found(served, room), "<script>alert(1)</script>")
    _, _, messages = await (await enter(room)).run("%embedenv")
    (shown,) = (message for message in messages if message.type == "display_data")
    assert "<script>" not in shown.content["data"]["text/html"]
    assert "&lt;script&gt;" in shown.content["data"]["text/html"]


async def test_new_room_takes_the_cells_until_home(enter: Enter, room: OpenRoom, served: Served) -> None:
    peer = await enter(room)
    await peer.run("where = 'home'")
    _, reply, messages = await peer.run("%embedenv new --name other --memory 256")
    assert reply["status"] == "ok", reply
    text = table(messages)
    joined, _ = served.gateway.rooms.redeem(value(text, "join key (role edit)"))
    assert (joined.name, joined.account) == ("other", found(served, room).account)
    assert joined.sandbox.spec.limits.memory_bytes == 256 << 20
    _, reply, _ = await peer.run("where")
    assert reply["ename"] == "NameError"
    text, _, messages = await peer.run("where = 'away'\nprint(where)")
    assert text == "away\n"
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert receipt["room"] == joined.id
    assert value(table((await peer.run("%embedenv"))[2]), "room") == f"other ({joined.id})"
    assert (await peer.run("%embedenv home"))[1]["status"] == "ok"
    assert (await peer.run("print(where)"))[0] == "home\n"
    assert (await peer.run("%%room other\nprint(where)"))[0] == "away\n"


async def test_owner_who_comes_back_is_where_the_cells_went(enter: Enter, api: Api, served: Served) -> None:
    """A page that is loaded again is another client; a guest's is on its own, whatever its name."""
    keys = await served.gateway.accounts.create_key("carol", credits=50)
    theirs = api.with_key(keys.api_key)
    answer = await theirs("POST", "api/rooms", {"name": "first", "kernel": True})
    room = OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], theirs)
    guest = await enter(room, await key_of(room, "run"))
    await (await enter(room)).run("%embedenv new --name second")
    _, _, messages = await (await enter(room)).run("print(1)")
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert receipt["room"] != room.id
    _, _, messages = await guest.run("print(1)")
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert receipt["room"] == room.id


async def test_completion_asks_where_the_cells_go(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    await peer.run("%embedenv new")
    await peer.run("unmistakable_name = 1")
    id = await peer.send("shell", "complete_request", {"code": "unmistak", "cursor_pos": 8})
    (*_, reply) = await peer.until("complete_reply", id)
    assert "unmistakable_name" in reply.content["matches"]


async def test_tiers_that_this_gateway_lacks_are_named(enter: Enter, room: OpenRoom, served: Served) -> None:
    peer = await enter(room)
    tier = served.gateway.tier.name
    other = "docker" if tier != "docker" else "ns"
    _, reply, _ = await peer.run(f"%embedenv new --backend {other}")
    assert repr(tier) in reply["evalue"]
    assert repr(other) in reply["evalue"]
    _, reply, _ = await peer.run("%embedenv new --backend moon")
    assert "landlock" in reply["evalue"]
    _, reply, _ = await peer.run("%embedenv new --memory 99999")
    assert "--memory 512" in reply["evalue"]
    assert len(served.gateway.rooms) == 1


async def test_keys_are_issued_by_the_owner_and_shown_to_nobody_else(
    enter: Enter, room: OpenRoom, served: Served
) -> None:
    owner, watcher = await enter(room), await enter(room, await key_of(room, "view"))
    _, _, messages = await owner.run("%embedenv keys --role edit --expires 1h")
    key = value(table(messages), "join key")
    _, issued = served.gateway.rooms.redeem(key)
    assert (issued.role.word, issued.expires_at is not None) == ("edit", True)
    id = await owner.execute("print('end', flush=True)")
    seen = await watcher.until("stream", id)
    assert all(key not in str(message) for message in [*seen, *watcher.waiting])
    runner = await enter(room, await key_of(room, "run"))
    _, reply, _ = await runner.run("%embedenv keys")
    assert (reply["ename"], "'own'" in reply["evalue"]) == ("RoleError", True)


async def test_guest_opens_no_rooms_for_the_owner(enter: Enter, room: OpenRoom, served: Served) -> None:
    guest = await enter(room, await key_of(room, "edit"))
    _, reply, _ = await guest.run("%embedenv new")
    assert reply["ename"] == "RoleError"
    assert value(table((await guest.run("%embedenv"))[2]), "credits") == "shown to the owner of the room"
    assert len(served.gateway.rooms) == 1


async def test_join_ends_when_the_key_is_revoked(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, served: Served
) -> None:
    there = await open_another("there")
    key = await key_of(there, "run")
    peer, watcher = await enter(room), await enter(room)
    assert (await peer.run(f"%embedenv join {key}"))[1]["status"] == "ok"
    assert (await peer.run("print('there')"))[0] == "there\n"
    assert all(key not in str(message) for message in await watcher.until("stream"))
    found(served, there).people.revoke(key)
    _, reply, _ = await peer.run("print('lost')")
    assert "not valid any more" in reply["evalue"]
    assert "not run" in reply["evalue"]
    assert (await peer.run("print('home')"))[0] == "home\n"


async def test_completion_does_not_bring_a_client_home_unnoticed(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, served: Served
) -> None:
    """The next cell was written for the other room."""
    there = await open_another("there")
    key = await key_of(there, "run")
    peer = await enter(room)
    await peer.run(f"%embedenv join {key}")
    found(served, there).people.revoke(key)
    id = await peer.send("shell", "complete_request", {"code": "pri", "cursor_pos": 3})
    await peer.until("complete_reply", id)
    text, reply, _ = await peer.run("print('lost')")
    assert (text, "not run" in reply["evalue"]) == ("", True), reply


async def test_magic_that_is_written_wrongly_says_how(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    for code, words in (
        ("%embedenv dance", "%embedenv new"),
        ("%embedenv\nprint(1)", "a cell of its own"),
        ("%embedenv new --color red", "--backend"),
        ("%%room", "%%room KEY"),
        ("%%lang c", "nothing below"),
        ("%embedenv 'open", "cannot be read"),
    ):
        _, reply, messages = await peer.run(code)
        assert (reply["ename"], words in reply["evalue"]) == ("MagicError", True), (code, reply)
        assert "error" in types(messages)
