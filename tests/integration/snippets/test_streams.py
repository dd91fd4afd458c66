"""Streams: output as it is produced, input while it runs, signals, and coming back after a cut."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.integration.conftest import DEADLINE_S
from tests.integration.snippets.conftest import Dial, EnginePeer, Streamed

ECHO = "name = input('name> ')\nprint(f'got: {name}')"
ON_A_TERMINAL = """
import os, signal

def tell(*_):
    print(os.get_terminal_size(), flush=True)
    os._exit(0)

signal.signal(signal.SIGWINCH, tell)
print(os.isatty(0), os.get_terminal_size(), flush=True)
while True:
    signal.pause()
"""
WAITING = "import time\nprint('on', flush=True)\nwhile True:\n    time.sleep(0.1)"


def kinds(run: Streamed) -> list[str]:
    return [frame["type"] for frame in run.frames]


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_prompt_is_there_before_its_answer(peer: EnginePeer, *, fresh: bool) -> None:
    id = await peer.begin(ECHO, fresh=fresh)
    asked = await peer.until(id, "stdout", "name> ")
    assert kinds(asked)[:2] == ["accepted", "stage"]
    await peer.send("stdin", id=id, data="Ada\n")
    rest = await peer.until(id, "result")
    assert rest.text() == "got: Ada\n"
    assert rest.end["exit_code"] == 0


async def test_a_cell_says_that_it_asks_and_whether_it_is_a_secret(peer: EnginePeer) -> None:
    id = await peer.begin("from getpass import getpass\nprint(input('a? ') + getpass('b? '))")
    asked = await peer.until(id, "prompt")
    assert asked.end == {"type": "prompt", "id": id, "n": asked.end["n"], "text": "a? "}
    await peer.send("stdin", id=id, data="1\n2\n")
    rest = await peer.until(id, "result")
    assert rest.text().endswith("12\n")


async def test_the_end_of_the_input(peer: EnginePeer) -> None:
    id = await peer.begin("import sys\nprint(repr(sys.stdin.read()))", fresh=True)
    await peer.send("stdin", id=id, data="a\nb")
    await peer.send("eof", id=id)
    assert (await peer.until(id, "result")).text() == "'a\\nb'\n"
    await peer.send("stdin", id=id, data="more")
    refused = await peer.of(id)
    assert (refused["type"], refused["error"]) == ("error", "busy")


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_signal_ends_a_run(peer: EnginePeer, *, fresh: bool) -> None:
    id = await peer.begin(WAITING, fresh=fresh)
    await peer.until(id, "stdout", "on\n")
    await peer.send("signal", id=id)
    end = (await peer.until(id, "result")).end
    assert (end["exit_code"], end["signal"], "state" in end) == (128 + signal.SIGINT, "SIGINT", False)
    assert (await peer.ask("print('alive')", fresh=fresh))["stdout"] == "alive\n"


async def test_unknown_signals_and_runs_are_named(peer: EnginePeer) -> None:
    id = await peer.begin(WAITING, fresh=True)
    await peer.until(id, "stdout", "on\n")
    await peer.send("signal", id=id, signal="NONE")
    assert "'NONE' is no signal" in (await peer.of(id))["message"]
    await peer.send("signal", id="other")
    assert "No run 'other'" in (await peer.of("other"))["message"]
    await peer.send("signal", id=id, signal=signal.SIGKILL)
    assert (await peer.until(id, "result")).end["signal"] == "SIGKILL"


async def test_several_runs_at_once_on_one_socket(peer: EnginePeer) -> None:
    """A run that waits for input keeps no other one waiting, nor a ping."""
    waiting = [await peer.begin(ECHO, fresh=True, id=f"w{number}") for number in range(3)]
    for id in waiting:
        await peer.until(id, "stdout", "name> ")
    assert (await peer.ask("print(1)", fresh=True))["stdout"] == "1\n"
    await peer.send("ping", id="p")
    assert await peer.of("p") == {"type": "pong", "id": "p"}
    for id in reversed(waiting):
        await peer.send("stdin", id=id, data=f"{id}\n")
        assert (await peer.until(id, "result")).text() == f"got: {id}\n"


async def test_runs_of_a_session_take_turns(peer: EnginePeer) -> None:
    ids = [await peer.begin(f"order = [*globals().get('order', []), {n}]\nprint(order)") for n in range(5)]
    texts = [(await peer.until(id, "result")).text() for id in ids]
    assert texts == [f"{list(range(n + 1))}\n" for n in range(5)]


async def test_a_run_whose_turn_has_not_come_can_be_called_off(peer: EnginePeer) -> None:
    first = await peer.begin(ECHO)
    await peer.until(first, "prompt")
    second = await peer.begin("print('never')")
    await peer.send("signal", id=second)
    assert (await peer.of(second))["ended_by"] == "stopped"
    await peer.send("stdin", id=first, data="x\n")
    assert (await peer.until(first, "result")).end["exit_code"] == 0


async def test_unnamed_requests_are_answered_in_their_order(peer: EnginePeer) -> None:
    for code in ("import time\ntime.sleep(0.2)\nprint(1)", "print(2)", "print(3)"):
        await peer.send("execute", language="python", code=code, api_key=peer.key)
    await peer.send("execute", language="klingon", code="4", api_key=peer.key)
    answers = [await peer.receive() for _ in range(4)]
    assert [answer.get("stdout") for answer in answers] == ["1\n", "2\n", "3\n", ""]
    assert answers[3]["error"] == "unknown_language"


async def test_a_terminal_can_be_resized(peer: EnginePeer) -> None:
    id = await peer.begin(ON_A_TERMINAL, pty={"rows": 30, "cols": 90})
    assert "True os.terminal_size(columns=90, lines=30)" in (await peer.until(id, "stdout", ")")).text()
    await peer.send("resize", id=id, rows=40, cols=120)
    assert "columns=120, lines=40" in (await peer.until(id, "result")).text()


async def test_pictures_and_tables_come_as_they_are_shown(peer: EnginePeer) -> None:
    run = await peer.stream("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))\n7")
    (shown,) = [frame for frame in run.frames if frame["type"] == "display"]
    assert shown["data"]["text/html"] == "<b>x</b>"
    assert run.text() == "<IPython.core.display.HTML object>\n7\n"


async def test_a_client_that_was_cut_off_gets_what_it_missed(dial_engine: Dial) -> None:
    """Every line once, in order, across many cuts of the connection."""
    count = 3000
    code = f"import time\nfor n in range({count}):\n    print(n, flush=True)\n    time.sleep(0.0005)"
    peer = await dial_engine()
    id = await peer.begin(code, session="lesson")
    text, last, cuts = "", 0, 0
    while True:
        frame = await peer.receive()
        if "n" in frame:
            assert frame["n"] == last + 1, (frame, last)
            last = frame["n"]
        if frame["type"] == "stdout":
            text += frame["data"]
            if cuts < 8 and len(text) > 800 * (cuts + 1):
                cuts += 1
                peer.socket.transport.abort()
                peer = await dial_engine()
                await peer.send("resume", session="lesson", after=last, api_key=peer.key)
                resumed = await peer.receive()
                assert (resumed["type"], resumed["n"] >= last) == ("resumed", True)
        if frame["type"] == "result":
            assert (frame["id"], frame["exit_code"]) == (id, 0)
            break
    assert (text, cuts) == ("".join(f"{n}\n" for n in range(count)), 8)


async def test_a_run_goes_on_while_nobody_is_there_and_can_be_answered_by_whoever_comes(
    dial_engine: Dial,
) -> None:
    first = await dial_engine()
    id = await first.begin(ECHO, session="lesson")
    last = (await first.until(id, "prompt")).end["n"]
    await first.socket.close()
    second = await dial_engine()
    await second.send("resume", session="lesson", after=last, api_key=second.key)
    assert (await second.receive())["running"] == [id]
    await second.send("stdin", id=id, data="Ben\n")
    assert (await second.until(id, "result")).text() == "got: Ben\n"


async def test_a_number_that_is_not_there_yet_is_refused(dial_engine: Dial) -> None:
    peer = await dial_engine()
    await peer.ask("1", session="lesson")
    await peer.send("resume", session="lesson", after=10_000)
    assert (await peer.receive())["error"] == "unknown_number"
    assert (await peer.ask("2", session="lesson"))["stdout"] == "2\n"


@pytest.mark.parametrize("embedenv_config", [{"log_disk_mib": 0}])
async def test_what_is_kept_no_more_is_counted(dial_engine: Dial) -> None:
    """Without a disk the log keeps a MiB; who comes back after more is told how many frames are gone."""
    first, second = await dial_engine(), await dial_engine()
    id = await first.begin("for n in range(300): print('x' * 20_000, flush=True)", session="lesson")
    last = (await first.until(id, "result")).end["n"]
    await second.send("resume", session="lesson", after=0, api_key=second.key)
    await second.receive()
    seen, told = [], 0
    while told < last:
        seen.append(await second.receive())
        told = seen[-1]["n"]
    gaps = [frame for frame in seen if frame["type"] == "gap"]
    assert sum(frame["missing"] for frame in gaps) + len(seen) - len(gaps) == last
    assert gaps and seen[-1]["type"] == "result"


async def test_megabytes_arrive_whole_and_in_order(peer: EnginePeer) -> None:
    code = "for n in range(400_000):\n    print(n)"
    for fresh in (True, False):
        run = await peer.stream(code, fresh=fresh)
        assert run.text() == "".join(f"{n}\n" for n in range(400_000))


async def test_a_peer_that_reads_slowly_slows_nobody(dial_engine: Dial) -> None:
    slow, quick = await dial_engine(max_queue=1), await dial_engine()
    await slow.begin("while True: print('x' * 1000)", fresh=True, timeout=20)
    async with asyncio.timeout(DEADLINE_S):
        for n in range(20):
            assert (await quick.ask(f"print({n})"))["stdout"] == f"{n}\n"
