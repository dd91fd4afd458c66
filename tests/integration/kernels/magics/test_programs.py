"""``%%lang``: a cell as a program of another language."""

from __future__ import annotations

import asyncio
import dataclasses
import re

import pytest

from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.rooms.events import RunEnded, RunStarted, StopStep
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import DEADLINE_S, OpenRoom, text_of
from tests.integration.kernels.magics.conftest import Enter
from tests.integration.kernels.magics.shown import events, found, types


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
    text = ""
    while text != "first\n":  # in one piece or in several
        (*_, piece) = await peer.until("stream", id)
        assert piece.content["name"] == "stdout"
        text += piece.content["text"]
    async with asyncio.timeout(DEADLINE_S):  # what it is and what it prints come in no order
        while (await room.api("GET", f"{room.path}/kernels/{room.kernel}")).body["execution_state"] != "busy":
            await asyncio.sleep(0.01)
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
    for prompt, is_secret, answer in (("name? ", False, "ann"), ("password: ", True, "x")):
        (*_, question) = await peer.until("input_request", id)
        assert question.content == {"prompt": prompt, "password": is_secret}
        await peer.send("stdin", "input_reply", {"value": answer, "status": "ok"}, question.header)
    assert text_of(await peer.answers(id)) == "hello ann\nx\n"


async def test_member_answers_the_question_of_a_program(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    id = await peer.execute("%%lang python\nprint('hello', input('name? '))")
    await peer.until("input_request", id)
    (prompt,) = (await room.api("GET", f"{room.path}/prompts")).body
    answer = await room.api("POST", f"{room.path}/prompts/{prompt['id']}", {"value": "bob"})
    assert answer.status == 204
    assert "hello bob" in text_of(await peer.answers(id))


async def test_program_that_asks_without_a_word_gets_an_answer(enter: Enter, room: OpenRoom) -> None:
    peer = await enter(room)
    id = await peer.execute("%%lang bash\necho name:\nread name\necho hello $name")
    (*_, question) = await peer.until("input_request", id)
    assert question.content["prompt"] == ""
    await peer.send("stdin", "input_reply", {"value": "ann", "status": "ok"})
    assert text_of(await peer.answers(id)) == "name:\nhello ann\n"


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
