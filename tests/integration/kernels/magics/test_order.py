"""Which cells are magics, and that they take their turn among the others."""

from __future__ import annotations

import pytest

from embedenv_jupyter.protocols import kernels as protocol
from tests.integration.kernels.conftest import OpenRoom, text_of
from tests.integration.kernels.magics.conftest import Enter, OpenAnother
from tests.integration.kernels.peers import execute


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


@pytest.mark.parametrize("cell", ["%%room there\nprint('once')", "%%lang bash\necho once"])
async def test_magic_that_is_sent_twice_is_done_once(
    enter: Enter, room: OpenRoom, open_another: OpenAnother, cell: str
) -> None:
    await open_another("there")
    peer = await enter(room)
    parts = execute(cell)
    for _ in range(2):
        await peer.socket.send(protocol.encode(protocol.Message("shell", parts)))
    await peer.run("print('next')")
    assert text_of(peer.waiting) == "once\n"


async def test_magics_take_their_turn_among_cells(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    ids = [
        await peer.execute("import time; time.sleep(0.3); open('order', 'w').write('1')"),
        await peer.execute("%%lang bash\ncd; cat order; echo 2 >> order"),
        await peer.execute("print(open('order').read(), end='')"),
    ]
    assert [text_of(await peer.answers(id)) for id in ids] == ["", "1", "12\n"]


@pytest.mark.parametrize("first", ["1 / 0", "%%lang bash\nexit 3", "%embedenv dance"])
async def test_cells_behind_an_error_are_aborted(enter: Enter, room: OpenRoom, first: str) -> None:
    peer = await enter(room)
    await peer.execute("import time; time.sleep(0.5)")
    await peer.execute(first)
    behind = [await peer.execute("%%lang bash\necho no"), await peer.execute("print('no')")]
    for id in behind:
        messages = await peer.answers(id)
        (reply,) = (message for message in messages if message.type == "execute_reply")
        assert reply.content["status"] == "aborted"
        assert text_of(messages) == ""
    text, content, _ = await peer.run("print('on')")
    while content["status"] == "aborted":  # a kernel aborts what comes within a tenth of a second of an error
        text, content, _ = await peer.run("print('on')")
    assert text == "on\n"
