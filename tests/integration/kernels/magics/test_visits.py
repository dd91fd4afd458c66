"""``%%room``: a cell runs in another room, and all of it comes back."""

from __future__ import annotations

import pytest

from embedenv_jupyter.rooms.events import MemberJoined, RunEnded, RunStarted
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import OpenRoom, text_of
from tests.integration.kernels.magics.conftest import Enter, OpenAnother
from tests.integration.kernels.magics.shown import events, found, types
from tests.integration.kernels.peers import key_of


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
    messages = await peer.answers(id)
    assert {m.content["text"] for m in messages if m.type == "stream"} == {"there\n", "oops\n"}
    told = [message for message in messages if message.channel == "iopub"]
    assert types(told)[:2] == ["busy", "execute_input"]
    (result,) = (message for message in messages if message.type == "execute_result")
    assert result.content["data"]["text/plain"] == "{'a': 1}"
    (reply,) = (message for message in messages if message.type == "execute_reply")
    assert reply.metadata["embedenv"]["room"] == there.id
    assert (await peer.run(f"%%room {there.join}\nprint(x)"))[0] == "there\n"
    assert (await peer.run("print(x)"))[0] == "home\n"
    assert await found(served, there).sandbox.files.read("made") == b"there"
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
    found(served, there).people.revoke(key)
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
    assert "hello ann" in text_of(await peer.answers(id))
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
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["ename"] == "KeyboardInterrupt"
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
    messages = await peer.answers(id)
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
    await peer.taken()
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
    _, _, messages = await peer.run(
        f"%%room there\ndisplay({view} | dict.fromkeys(map(str, range(200_001)), 1), raw=True)"
    )
    (shown,) = (message for message in messages if message.type == "display_data")
    assert "more than 200000 entries in its objects" in shown.content["data"].pop("text/plain")
    assert shown.content["data"] == {}, "what is not looked at is not passed on with a widget in it"


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
