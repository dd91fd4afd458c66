"""The magics on a real server: rooms, roles, credits, languages, and what a client sees of them."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import websockets

from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.rooms.events import MemberJoined, RunEnded, RunStarted, StopStep
from embedenv_jupyter.rooms.room import Room
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import DEADLINE_S, Api, KernelPeer, OpenRoom, Received


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


OpenAnother = Callable[..., Awaitable[OpenRoom]]


@pytest.fixture
def open_another(api: Api) -> OpenAnother:
    """Open rooms, by default for the account of the first one."""

    async def open(name: str, by: Api = api) -> OpenRoom:
        answer = await by("POST", "api/rooms", {"name": name, "kernel": True})
        assert answer.status == 201, answer
        return OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], by)

    return open


Enter = Callable[..., Awaitable[KernelPeer]]


@pytest.fixture
async def enter(served: Served) -> AsyncIterator[Enter]:
    """Become a client of a room's kernel, as its owner or with a key."""
    async with AsyncExitStack() as stack:

        async def enter(room: OpenRoom, key: str | None = None, **query: str) -> KernelPeer:
            words = "&".join(f"{name}={value}" for name, value in query.items())
            base = f"ws://{served.host}{served.base_url}embedenv/{room.path}"
            connection = websockets.connect(
                f"{base}/kernels/{room.kernel}/channels?{words}",
                subprotocols=[websockets.Subprotocol(protocol.V1)], max_size=None,
                additional_headers={"Authorization": f"Bearer {key}" if key else room.api.authorization},
            )  # fmt: skip
            return KernelPeer(await stack.enter_async_context(connection))

        yield enter


async def key_of(room: OpenRoom, role: str) -> str:
    answer = await room.api("POST", f"api/rooms/{room.id}/keys", {"role": role})
    assert answer.status == 201, answer
    return str(answer.body["join"])


def found(served: Served, room: OpenRoom) -> Room:
    room_found = served.gateway.rooms.find(room.id)
    assert room_found is not None
    return room_found


async def events(room: Room, kind: type) -> list[Any]:
    """Return what the room's log holds of one kind."""
    last = room.log.last
    held: list[Any] = []
    async with room.log.watch(0) as watcher:
        while watcher.position < last:
            held += [record.event for record in await watcher.read()]  # type: ignore[union-attr]
    return [event for event in held if isinstance(event, kind)]


def table(messages: list[Received]) -> str:
    """Return the text of the one table that a magic shows; its HTML says the same."""
    (shown,) = (message for message in messages if message.type == "display_data")
    data = shown.content["data"]
    assert set(data) == {"text/plain", "text/html"}
    return str(data["text/plain"])


def value(text: str, name: str) -> str:
    match = re.search(rf"^  {re.escape(name)} +(.*)$", text, re.MULTILINE)
    assert match is not None, (name, text)
    return match[1]


def types(messages: list[Received]) -> list[str]:
    return [message.content.get("execution_state") or message.type for message in messages]


async def answers(peer: KernelPeer, id: str) -> list[Received]:
    """Receive all that answers one cell."""
    seen: list[Received] = []
    missing = {"execute_reply", "idle"}
    while missing:
        message = await peer.receive()
        if message.parent == id:
            seen.append(message)
            missing -= {message.type, message.content.get("execution_state")}
    return seen


def text_of(messages: list[Received]) -> str:
    return "".join(message.content["text"] for message in messages if message.type == "stream")


# %embedenv


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
    assert all(key not in str(message) for message in seen)
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
    found(served, there).revoke(key)
    _, reply, _ = await peer.run("print('lost')")
    assert "not valid any more" in reply["evalue"]
    assert "not run" in reply["evalue"]
    assert (await peer.run("print('home')"))[0] == "home\n"


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


# Not a magic


async def test_magics_elsewhere_in_a_cell_say_where_they_belong(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    for code in (
        "x = 1\n%embedenv new",
        "%%time\n%embedenv",
        "get_ipython().run_line_magic('embedenv', 'new')",
    ):
        _, reply, messages = await peer.run(code)
        said = text_of(messages) + str(reply)
        assert "must be the first line of a cell" in said, (code, said)


async def test_help_and_completion_are_the_kernels(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    _, reply, _ = await peer.run("%embedenv?")
    assert "%embedenv join KEY" in reply["payload"][0]["data"]["text/plain"]
    for code, expected in (
        ("%emb", "%embedenv"), ("%%ro", "%%room"), ("%%la", "%%lang"), ("%%lang ja", "java"),
        ("%%lang ", "rust"), ("%embedenv ", "join"), ("%embedenv ke", "keys"),
        ("%embedenv new --me", "--memory"),
    ):  # fmt: skip
        id = await peer.send("shell", "complete_request", {"code": code, "cursor_pos": len(code)})
        (*_, answer) = await peer.until("complete_reply", id)
        assert expected in answer.content["matches"], (code, answer.content["matches"])
    content = {"code": "%%lang", "cursor_pos": 6, "detail_level": 0}
    id = await peer.send("shell", "inspect_request", content)
    (*_, answer) = await peer.until("inspect_reply", id)
    assert "another language" in answer.content["data"]["text/plain"]


# The order of cells


async def test_magics_take_their_turn_among_cells(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    ids = [
        await peer.execute("import time; time.sleep(0.3); open('order', 'w').write('1')"),
        await peer.execute("%%lang bash\ncd; cat order; echo 2 >> order"),
        await peer.execute("print(open('order').read(), end='')"),
    ]
    seen: list[Received] = []
    while not any(message.type == "execute_reply" and message.parent == ids[2] for message in seen):
        seen.append(await peer.receive())
    assert text_of([message for message in seen if message.parent == ids[1]]) == "1"
    assert text_of([message for message in seen if message.parent == ids[2]]) == "12\n"


@pytest.mark.parametrize("first", ["1 / 0", "%%lang bash\nexit 3", "%embedenv dance"])
async def test_cells_behind_an_error_are_aborted(enter: Enter, room: OpenRoom, first: str) -> None:
    peer = await enter(room)
    await peer.execute("import time; time.sleep(0.5)")
    await peer.execute(first)
    behind = [await peer.execute("%%lang bash\necho no"), await peer.execute("print('no')")]
    for id in behind:
        messages = await answers(peer, id)
        (reply,) = (message for message in messages if message.type == "execute_reply")
        assert reply.content["status"] == "aborted"
        assert text_of(messages) == ""
    text, content, _ = await peer.run("print('on')")
    while content["status"] == "aborted":  # a kernel aborts what comes within a tenth of a second of an error
        text, content, _ = await peer.run("print('on')")
    assert text == "on\n"


# %%room


async def test_cell_runs_in_another_room_and_all_of_it_comes_back(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, served: Served
) -> None:
    there = await open_another("there")
    peer = await enter(room)
    await peer.run("x = 'home'")
    code = (
        "import sys\nx = 'there'\nprint(x)\nprint('oops', file=sys.stderr)\n"
        "open('made', 'w').write(x)\n{'a': 1}"
    )
    id = await peer.execute(f"%%room {there.join}\n{code}")
    messages = await answers(peer, id)
    assert {m.content["text"] for m in messages if m.type == "stream"} == {"there\n", "oops\n"}
    assert types(messages)[:2] == ["busy", "execute_input"]
    (result,) = (message for message in messages if message.type == "execute_result")
    assert result.content["data"]["text/plain"] == "{'a': 1}"
    (reply,) = (message for message in messages if message.type == "execute_reply")
    assert reply.metadata["embedenv"]["room"] == there.id
    assert (await peer.run(f"%%room {there.join}\nprint(x)"))[0] == "there\n"
    assert (await peer.run("print(x)"))[0] == "home\n"
    assert await found(served, there).sandbox.read_file("made") == b"there"
    runs = await events(found(served, there), RunStarted)
    assert [run.command for run in runs] == [code, "print(x)"]
    assert not any("room" in run.command for run in await events(found(served, room), RunStarted))
    ends = await events(found(served, there), RunEnded)
    assert [(end.code, end.user) for end in ends] == [(0, runs[0].user), (0, runs[0].user)]


async def test_key_of_a_cell_is_masked_for_others(
    enter: Enter, room: OpenRoom, open_another: OpenAnother
) -> None:
    there = await open_another("there")
    peer, watcher = await enter(room), await enter(room)
    id = await peer.execute(f"%%room {there.join}\nprint('x', flush=True)")
    assert all(there.join not in str(message) for message in await watcher.until("stream", id))
    for cell in ("%%room a-key-with-typing-errors\nprint('x')", "%embedenv jion a-key-with-typing-errors"):
        id = await peer.execute(cell)
        seen = await watcher.until("error", id)
        assert "execute_input" in [message.type for message in seen]
        assert not any("typing-errors" in str(message) for message in seen)


async def test_revoked_key_ends_the_cell_that_it_brought(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, served: Served
) -> None:
    there = await open_another("there")
    key = await key_of(there, "run")
    peer = await enter(room)
    id = await peer.execute(f"%%room {key}\nprint('on', flush=True)\nimport time\ntime.sleep(600)")
    await peer.until("stream", id)
    found(served, there).revoke(key)
    (*_, reply) = await peer.until("execute_reply", id)
    assert "revoked" in reply.content["evalue"]
    _, content, _ = await peer.run(f"%%room {key}\nprint('no')")
    assert content["status"] == "error"


async def test_error_of_another_room_is_an_error_here(
    enter: Enter, room: OpenRoom, open_another: OpenAnother
) -> None:
    await open_another("there")
    peer = await enter(room)
    _, reply, messages = await peer.run("%%room there\n1 / 0")
    assert reply["ename"] == "ZeroDivisionError"
    assert any(
        "ZeroDivisionError" in line for m in messages if m.type == "error" for line in m.content["traceback"]
    )


async def test_question_of_another_room_is_answered_here(
    enter: Enter, room: OpenRoom, open_another: OpenAnother
) -> None:
    there = await open_another("there")
    peer = await enter(room)
    id = await peer.execute("%%room there\nprint('hello', input('name? '))")
    (*_, question) = await peer.until("input_request", id)
    assert question.content["prompt"] == "name? "
    for place in (room, there):
        (prompt,) = (await place.api("GET", f"{place.path}/prompts")).body
        assert prompt["text"] == "name? "
    await peer.send("stdin", "input_reply", {"value": "ann", "status": "ok"}, question.header)
    assert "hello ann" in text_of(await answers(peer, id))
    for place in (room, there):
        assert (await place.api("GET", f"{place.path}/prompts")).body == []


async def test_interrupt_reaches_the_other_room(
    enter: Enter, room: OpenRoom, open_another: OpenAnother
) -> None:
    await open_another("there")
    peer = await enter(room)
    id = await peer.execute(
        "%%room there\nimport time\nprint('on', flush=True)\nwhile True: time.sleep(0.01)"
    )
    await peer.until("stream", id)
    assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/interrupt", {})).status == 204
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["ename"] == "KeyboardInterrupt"
    id = await peer.execute("%%room there\nprint('on', flush=True)\nwhile True: time.sleep(0.01)")
    await peer.until("stream", id)
    asked = await peer.send("control", "interrupt_request", {})
    seen = await peer.until("execute_reply", id)
    assert seen[-1].content["ename"] == "KeyboardInterrupt"
    if not any(message.type == "interrupt_reply" for message in seen):
        await peer.until("interrupt_reply", asked)


@pytest.mark.parametrize("role", ["view", "wrong"])
async def test_key_that_allows_too_little_is_refused(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, served: Served, role: str
) -> None:
    there = await open_another("there")
    key = await key_of(there, "view") if role == "view" else "no-such-key"
    peer = await enter(room, await key_of(room, "run"))
    _, reply, messages = await peer.run(f"%%room {key}\nprint('no')")
    assert reply["ename"] == ("RoleError" if role == "view" else "UnknownKeyError")
    assert "%embedenv keys" in reply["evalue"]
    assert text_of(messages) == ""
    assert await events(found(served, there), RunStarted) == []
    assert await events(found(served, there), MemberJoined) == []


async def test_guest_names_no_room(enter: Enter, room: OpenRoom, open_another: OpenAnother) -> None:
    there = await open_another("there")
    guest = await enter(room, await key_of(room, "edit"))
    for name in ("there", there.id):
        _, reply, _ = await guest.run(f"%%room {name}\nprint('no')")
        assert reply["ename"] == "UnknownKeyError"
    assert (await guest.run(f"%%room {await key_of(there, 'run')}\nprint('yes')"))[0] == "yes\n"


async def test_rooms_of_other_accounts_have_no_names(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, served: Served
) -> None:
    keys = await served.gateway.accounts.create_key("bob", credits=50)
    theirs = await open_another("theirs", room.api.with_key(keys.api_key))
    peer = await enter(room)
    for name in ("theirs", theirs.id):
        _, reply, _ = await peer.run(f"%%room {name}\nprint('no')")
        assert "No open room" in reply["evalue"]
        assert theirs.id not in reply["evalue"].replace(name, "")
    assert (await peer.run(f"%%room {theirs.join}\nprint('yes')"))[0] == "yes\n"
    balance = await served.gateway.accounts.balance(found(served, theirs).account)
    assert balance.total == 48


async def test_room_that_ends_while_its_cell_runs_says_so(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, served: Served
) -> None:
    there = await open_another("there")
    peer = await enter(room)
    id = await peer.execute("%%room there\nprint('on', flush=True)\nimport time\ntime.sleep(600)")
    await peer.until("stream", id)
    assert (await room.api("DELETE", f"api/rooms/{there.id}")).status == 204
    messages = await answers(peer, id)
    (reply,) = (message for message in messages if message.type == "execute_reply")
    assert (reply.content["status"], "ended" in reply.content["evalue"]) == ("error", True)
    assert (await peer.run("print('home')"))[0] == "home\n"


async def test_home_room_that_ends_takes_its_outposts_with_it(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, served: Served
) -> None:
    there = await open_another("there")
    peer = await enter(room)
    id = await peer.execute("%%room there\nprint('on', flush=True)\nimport time\ntime.sleep(600)")
    await peer.until("stream", id)
    kernels = served.gateway.kernels.of_id(there.id)
    assert len(kernels) == 2
    assert (await room.api("DELETE", f"api/rooms/{room.id}")).status == 204
    assert [kernel.id for kernel in kernels] == [there.kernel]
    ends = await events(found(served, there), RunEnded)
    assert [end.code for end in ends] == [1]


async def test_restart_ends_a_cell_in_another_room(
    enter: Enter, room: OpenRoom, open_another: OpenAnother
) -> None:
    await open_another("there")
    peer = await enter(room)
    id = await peer.execute("%%room there\nx = 1\nprint('on', flush=True)\nimport time\ntime.sleep(600)")
    await peer.until("stream", id)
    waiting = await peer.execute("print('no')")
    assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/restart", {})).status == 200
    for cell in (id, waiting):
        (*_, last) = await peer.until("execute_reply", cell)
        assert last.content["ename"] == "KernelRestarted"
    _, reply, _ = await peer.run("%%room there\nx")
    assert reply["ename"] == "NameError"


async def test_cell_that_names_its_own_room_runs_in_its_own_kernel(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    await peer.run("x = 'here'")
    assert (await peer.run("%%room lesson\nprint(x)"))[0] == "here\n"
    assert (await peer.run("%%room lesson\n%%lang bash\necho $((6 * 7))"))[0] == "42\n"


async def test_widget_of_another_room_is_said_not_to_work(
    enter: Enter, room: OpenRoom, open_another: OpenAnother
) -> None:
    await open_another("there")
    peer = await enter(room)
    code = "from comm import create_comm\nfor i in range(2): create_comm('a.target', data={'i': i}).send({})"
    text, reply, messages = await peer.run(f"%%room there\n{code}")
    assert reply["status"] == "ok"
    assert text.count("Widgets do not work across rooms") == 1
    assert not any(message.type.startswith("comm_") for message in messages)
    view = "{'application/vnd.jupyter.widget-view+json': {'model_id': 'x'}, 'text/plain': 'Slider'}"
    _, _, messages = await peer.run(f"%%room there\ndisplay({view}, raw=True)")
    (shown,) = (message for message in messages if message.type == "display_data")
    assert shown.content["data"] == {"text/plain": "Slider"}


async def test_magic_of_a_cell_that_came_over_goes_no_further(
    enter: Enter, room: OpenRoom, open_another: OpenAnother
) -> None:
    await open_another("there")
    peer = await enter(room)
    for magic in ("%embedenv new", "%%room lesson\nprint(1)"):
        _, reply, _ = await peer.run(f"%%room there\n{magic}")
        assert "notebook's own room" in reply["evalue"]
    assert (await peer.run("%%room there\n%%lang bash\necho there"))[0] == "there\n"


async def test_flood_from_another_room_comes_in_order(
    enter: Enter, room: OpenRoom, open_another: OpenAnother
) -> None:
    await open_another("there")
    peer = await enter(room)
    text, _, _ = await peer.run("%%room there\nfor i in range(20): print(f'{i:02}' * 250_000)")
    assert text == "".join(f"{i:02}" * 250_000 + "\n" for i in range(20))


# %%lang


async def test_shell_streams_and_is_a_run_of_the_room(enter: Enter, room: OpenRoom, served: Served) -> None:
    peer = await enter(room)
    source = "echo one; echo two >&2; printf three"
    text, reply, messages = await peer.run(f"%%lang bash\n{source}")
    assert (text, reply["status"]) == ("one\ntwo\nthree", "ok")
    assert types(messages)[:2] == ["busy", "execute_input"]
    (started,) = await events(found(served, room), RunStarted)
    (ended,) = await events(found(served, room), RunEnded)
    assert (started.kind, source in started.command, ended.code) == ("cell", True, 0)
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert (receipt["run"], receipt["cost"]) == (started.run, 1)


async def test_output_comes_while_the_program_runs(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    id = await peer.execute("%%lang bash\ncd\necho first\nwhile :; do sleep 0.01; done")
    (*_, first) = await peer.until("stream", id)
    assert first.content == {"name": "stdout", "text": "first\n"}
    shown = await room.api("GET", f"{room.path}/kernels/{room.kernel}")
    assert shown.body["execution_state"] == "busy"
    await peer.send("control", "interrupt_request", {})
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["ename"] == "KeyboardInterrupt"


async def test_c_is_compiled_and_reads_the_workspace(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    source = '#include <stdio.h>\nint main(int c, char **v) { printf("%s %d\\n", v[1], c); return 3; }'
    text, reply, _ = await peer.run(f"%%lang c 'a b'\n{source}")
    assert text == "a b 2\n"
    assert (reply["ename"], reply["evalue"]) == ("ExitCode", "The program ended with exit code 3.")
    text, reply, _ = await peer.run("%%lang c\nint main() { return x; }")
    assert "x" in text
    assert (reply["ename"], "compiler" in reply["evalue"]) == ("ExitCode", True)
    _, reply, _ = await peer.run("%%lang c\n#include <signal.h>\nint main() { raise(SIGSEGV); }")
    assert (reply["ename"], "SIGSEGV" in reply["evalue"]) == ("Signal", True)


async def test_python_asks_through_the_notebook(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    id = await peer.execute("%%lang python\nprint('hello', input('name? '))\nprint(input('password: '))")
    said = ""
    for prompt, is_secret, answer in (("name? ", False, "ann"), ("password: ", True, "x")):
        (*before, question) = await peer.until("input_request", id)
        said += text_of(before)
        assert question.content == {"prompt": prompt, "password": is_secret}
        await peer.send("stdin", "input_reply", {"value": answer, "status": "ok"}, question.header)
    said += text_of(await answers(peer, id))
    assert said == "hello ann\nx\n"


async def test_member_answers_the_question_of_a_program(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    id = await peer.execute("%%lang python\nprint('hello', input('name? '))")
    await peer.until("input_request", id)
    (prompt,) = (await room.api("GET", f"{room.path}/prompts")).body
    answer = await room.api("POST", f"{room.path}/prompts/{prompt['id']}", {"value": "bob"})
    assert answer.status == 204
    assert "hello bob" in text_of(await answers(peer, id))


async def test_program_that_asks_without_a_word_gets_an_answer(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    id = await peer.execute("%%lang bash\necho name:\nread name\necho hello $name")
    (*_, question) = await peer.until("input_request", id)
    assert question.content["prompt"] == ""
    await peer.send("stdin", "input_reply", {"value": "ann", "status": "ok"})
    assert text_of(await answers(peer, id)) == "hello ann\n"


async def test_program_of_a_client_without_input_gets_its_end(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    text, reply, _ = await peer.run("%%lang bash\nread x || echo none", allow_stdin=False)
    assert "none" in text
    assert reply["status"] == "ok"


async def test_interrupt_walks_the_ladder(enter: Enter, room: OpenRoom, served: Served) -> None:
    peer = await enter(room)
    id = await peer.execute("%%lang bash\ntrap '' INT\necho on\nwhile :; do sleep 0.05; done")
    await peer.until("stream", id)
    assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/interrupt", {})).status == 204
    (*_, reply) = await peer.until("execute_reply", id)
    assert (reply.content["ename"], "INT, then TERM" in reply.content["evalue"]) == (
        "KeyboardInterrupt",
        True,
    )
    assert [step.step for step in await events(found(served, room), StopStep)] == ["INT", "TERM"]
    id = await peer.execute("%%lang bash\ntrap '' INT TERM\necho on\nwhile :; do sleep 0.05; done")
    await peer.until("stream", id)
    await room.api("POST", f"{room.path}/kernels/{room.kernel}/interrupt", {})
    (*_, reply) = await peer.until("execute_reply", id)
    assert "INT, then TERM, then KILL" in reply.content["evalue"]
    assert "SIGKILL" in reply.content["evalue"]


async def test_restart_kills_a_program(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    id = await peer.execute("%%lang bash\ntrap '' INT TERM\necho on\nwhile :; do sleep 0.05; done")
    await peer.until("stream", id)
    assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/restart", {})).status == 200
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["ename"] == "KernelRestarted"
    text, _, _ = await peer.run(
        "import os\nprint(sum(1 for p in os.listdir('/proc') if p.isdigit() and "
        "b'main.sh' in open(f'/proc/{p}/cmdline', 'rb').read()))"
    )
    assert text == "0\n"


async def test_unknown_language_names_those_that_there_are(enter: Enter, room: OpenRoom) -> None:
    _, reply, _ = await (await enter(room)).run("%%lang klingon\nqapla")
    assert reply["ename"] == "MagicError"
    assert "'klingon'" in reply["evalue"]
    assert {"bash", "python", "c"} <= set(re.findall(r"[\w]+", reply["evalue"].partition("can run:")[2]))


async def test_missing_toolchain_is_named_with_its_packages(
    enter: Enter, room: OpenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = dataclasses.replace(Languages.shipped().named("rust"), needs=("no-such-compiler",))
    monkeypatch.setattr(Languages, "named", lambda languages, name: lacking)
    peer = await enter(room)
    _, reply, _ = await peer.run("%%lang rust\nfn main() {}")
    assert "no no-such-compiler" in reply["evalue"]
    assert "rustc-web" in reply["evalue"]
    assert "bash" in reply["evalue"].partition("can run:")[2]


async def test_program_that_takes_too_much_memory_is_told_of_it(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    _, reply, _ = await peer.run("%%lang python\nx = []\nwhile True: x.append(b'1' * (16 << 20))")
    assert reply["ename"] in ("MemoryError", "ExitCode", "Signal")  # as the tier limits memory
    assert "ended" in reply["evalue"]


async def test_background_work_still_prints_under_its_cell(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    code = "(cd; until [ -e go ]; do sleep 0.01; done; echo late) &\necho now"
    text, _, messages = await peer.run(f"%%lang bash\n{code}")
    assert text == "now\n"
    await peer.execute("open('go', 'w').close()")
    (*_, late) = await peer.until("stream", messages[0].parent)
    assert late.content["text"] == "late\n"


async def test_work_that_a_program_left_behind_ends_with_the_kernel(
    enter: Enter, room: OpenRoom, served: Served
) -> None:
    peer = await enter(room)
    _, reply, _ = await peer.run("%%lang bash\nsleep 600 &")
    assert reply["status"] == "ok"
    assert found(served, room).is_busy
    async with asyncio.timeout(DEADLINE_S):
        assert (await room.api("DELETE", f"{room.path}/kernels/{room.kernel}")).status == 204


# Credits


async def test_account_without_credits_is_refused(enter: Enter, api: Api, served: Served) -> None:
    keys = await served.gateway.accounts.create_key("poor", credits=2)
    theirs = api.with_key(keys.api_key)
    answer = await theirs("POST", "api/rooms", {"name": "poor", "kernel": True})
    room = OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], theirs)
    peer = await enter(room)
    assert (await peer.run("%%lang bash\necho paid"))[0] == "paid\n"
    for code in ("%embedenv new", "%%lang bash\necho no", "%%room poor\nprint('no')"):
        text, reply, _ = await peer.run(code)
        assert (text, reply["ename"]) == ("", "InsufficientCreditsError"), (code, reply)
        assert "1 credits and 0 are left" in reply["evalue"]
    assert value(table((await peer.run("%embedenv"))[2]), "credits") == "0"
    (entry,) = [room for room in served.gateway.rooms if room.account == keys.account.id]
    assert entry.id == room.id


async def test_heavy_lines_of_a_shell_cell_cost_what_they_cost_in_a_shell(
    enter: Enter, room: OpenRoom
) -> None:
    peer = await enter(room)
    _, _, messages = await peer.run("%%lang bash\nfalse && pip install nothing\ntrue")
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert receipt["cost"] == 5
