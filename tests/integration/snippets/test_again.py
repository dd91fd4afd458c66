"""What is sent again after a cut: nothing is run, typed or signalled twice."""

from __future__ import annotations

from typing import Any

from tests.integration.snippets.conftest import Dial, EnginePeer

COUNTING = "count = globals().get('count', 0) + 1\nprint(count)"
READING = "import sys\nfor line in sys.stdin:\n    print('got', line, end='', flush=True)"


async def cut(peer: EnginePeer) -> None:
    peer.socket.transport.abort()
    await peer.socket.wait_closed()


async def test_a_request_whose_run_has_ended_is_answered_from_memory(dial_engine: Dial) -> None:
    first = await dial_engine()
    run = await first.stream(COUNTING, session="s", id="once")
    assert run.text() == "1\n"
    await cut(first)
    second = await dial_engine()
    id = await second.begin(COUNTING, session="s", id="once")
    told = await second.of(id)
    assert (told["type"], told["exit_code"]) == ("result", run.end["exit_code"])
    assert "n" not in told  # its place in the log is where it was
    assert (await second.ask("count", session="s"))["stdout"] == "1\n"


async def test_an_id_is_free_for_another_request_and_for_who_saw_the_end(dial_engine: Dial) -> None:
    first = await dial_engine()
    assert (await first.stream(COUNTING, session="s", id="1")).text() == "1\n"
    assert (await first.stream(COUNTING, session="s", id="1")).text() == "2\n"
    second = await dial_engine()
    assert (await second.stream("print(count)", session="s", id="1")).text() == "2\n"


async def test_numbered_input_is_acknowledged_and_taken_once(dial_engine: Dial) -> None:
    first = await dial_engine()
    id = await first.begin(READING, session="s", fresh=True)
    await first.until(id, "accepted")
    await first.send("stdin", id=id, data="a\n", input=1)
    taken = {"type": "ack", "id": id, "input": 1}
    frames = [await first.of(id)]
    while taken not in frames:
        frames.append(await first.of(id))
    await cut(first)

    second = await dial_engine()
    await second.send("resume", session="s", after=0, api_key=second.key)
    for input, data in ((1, "a\n"), (2, "b\n"), (2, "b\n"), (1, "a\n")):
        await second.send("stdin", id=id, data=data, input=input)
    await second.send("stdin", id=id, data="c\n", input=1, client="another")
    await second.send("eof", id=id, input=3)
    frames = []
    acknowledged: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] != "result":
        frame = await second.of(id)
        (acknowledged if frame["type"] == "ack" else frames).append(frame)
    printed = "".join(frame["data"] for frame in frames if frame["type"] == "stdout")
    assert printed == "got a\ngot b\ngot c\n"
    assert [frame["input"] for frame in acknowledged] == [1, 2, 2, 1, 1, 3]


async def test_a_refusal_has_the_number_of_its_input_and_stays(peer: EnginePeer) -> None:
    id = await peer.begin("input()", stdin="", session="s", fresh=True)
    await peer.until(id, "accepted")
    await peer.send("signal", id=id, signal="NOSUCH", input=1)
    await peer.send("signal", id=id, signal="NOSUCH", input=1)
    refusals: list[dict[str, Any]] = []
    while len(refusals) < 2:
        frame = await peer.of(id)
        if frame["type"] == "error":
            refusals.append(frame)
    assert refusals[0] == refusals[1]
    # it may have ended meanwhile; then that is what is said, with the number all the same
    assert (refusals[0]["input"], refusals[0]["error"] in ("bad_request", "busy")) == (1, True)


async def test_input_of_a_run_that_is_not_there_is_refused_by_its_number(peer: EnginePeer) -> None:
    await peer.send("eof", id="nobody", input=7)
    refused = await peer.of("nobody")
    assert (refused["type"], refused["error"], refused["input"]) == ("error", "busy", 7)
