"""Gateways that misbehave or go away: the notebook says what to do, and the next cell works."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.integration.forwarder.engine.conftest import DEADLINE_S, StartKernel
from tests.integration.forwarder.engine_peer import Conduct, EnginePeer

FRAME_LIMIT = 32 << 20


def sends(*frames: object) -> Conduct:
    """Answer with these frames: text and bytes as they are, anything else as JSON."""

    async def conduct(socket: ServerConnection, _request: dict[str, Any]) -> None:
        for frame in frames:
            await socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    return conduct


def closes(code: int, reason: str = "") -> Conduct:
    async def conduct(socket: ServerConnection, _request: dict[str, Any]) -> None:
        await socket.close(code, reason)

    return conduct


async def cuts(socket: ServerConnection, _request: dict[str, Any]) -> None:
    socket.transport.abort()


async def sends_no_frame(socket: ServerConnection, _request: dict[str, Any]) -> None:
    socket.transport.write(b"\xff\xff\xff\xff not a frame")


async def says_nothing(socket: ServerConnection, _request: dict[str, Any]) -> None:
    await socket.wait_closed()


ANSWER = {"stdout": "right\n", "execution_time": 1}


@pytest.mark.parametrize(
    ("conduct", "told"),
    [
        (sends({"type": "error", "message": "no credits"}), "The gateway refused: no credits."),
        (sends({"error": "rate limit"}), "The gateway refused: rate limit."),
        (sends({"error": {"code": 7, "message": "deep"}}), "The gateway refused: deep."),
        (sends({"type": "error"}), "The gateway refused: no reason given."),
        (sends({"execution_time": 3}), "missing required field `stdout`"),
        (sends({"stdout": 5}), "Expected `str`, got `int` - at `$.stdout`"),
        (sends({"stdout": None}), "Expected `str`, got `null` - at `$.stdout`"),
        (sends({**ANSWER, "stderr": ["x"]}), "at `$.stderr`"),
        (sends({**ANSWER, "exit_code": "0"}), "at `$.exit_code`"),
        (sends({**ANSWER, "exit_code": 2**70}), "at `$.exit_code`"),
        (sends({**ANSWER, "execution_time": {}}), "at `$.execution_time`"),
        (sends({"stdout": "x" * FRAME_LIMIT}), "The answer is larger than 32 MiB, and was not read."),
        (sends(*["junk"] * 1500), "more than 1000 frames answer nothing, at last 'junk'"),
        (closes(1000), "The gateway closed the connection with code 1000 before it answered."),
        (closes(1011, "out of disk"), "with code 1011 (out of disk) before it answered."),
        (closes(1008, "unknown key"), "GatewayRefusedError: The gateway closed"),
        (cuts, "The connection was cut before the answer came."),
        (sends_no_frame, "The gateway broke the WebSocket protocol"),
        (says_nothing, "The gateway has not answered within 2 s."),
        (sends("hello"), "it sent 1 frames that answer nothing, at last 'hello'."),
    ],
)
async def test_what_is_no_answer_becomes_an_error_and_the_next_cell_runs(
    start_kernel: StartKernel, peer: EnginePeer, conduct: Conduct, told: str
) -> None:
    front = await start_kernel(EMBEDENV_ANSWER_TIMEOUT_S="2")
    peer.conduct = conduct
    error = (await front.run("print('asked')")).error
    assert told in error
    assert "cell" in error or "EMBEDENV_" in error, "it says nothing about what to do"
    peer.conduct = None
    assert (await front.run("print('next')")).stdout == "next\n"


@pytest.mark.parametrize(
    "junk",
    ["", "hello", "[1, 2]", "null", '{"type": "welcome", "ready": true}', b"\x00\xff", "{" * 5000,
     '{"type": "ack"}', "[" * 100_000, '"stdout"', '{"error": null}'],
)  # fmt: skip
async def test_junk_before_the_answer_is_passed_over(
    start_kernel: StartKernel, peer: EnginePeer, junk: str | bytes
) -> None:
    front = await start_kernel()
    peer.conduct = sends(junk, junk, ANSWER)
    assert (await front.run("x")).stdout == "right\n"


async def test_what_comes_when_nothing_was_asked_answers_no_later_cell(
    start_kernel: StartKernel, peer: EnginePeer
) -> None:
    front = await start_kernel()
    second = asyncio.Event()

    async def twice(socket: ServerConnection, request: dict[str, Any]) -> None:
        for text in (request["code"], "doubled"):
            await socket.send(json.dumps({"stdout": text, "execution_time": 1}))
        await (await socket.ping())  # the client has both
        second.set()

    peer.conduct = twice
    for code in ("one", "two", "three"):
        second.clear()
        assert (await front.run(code)).stdout == code
        async with asyncio.timeout(DEADLINE_S):
            await second.wait()
    assert peer.connections == 1


async def test_a_greeting_answers_no_cell(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    peer.greeting = [json.dumps({"type": "hello", "languages": 34}), "welcome"]
    assert (await front.run("print(1)")).stdout == "1\n"


async def test_half_characters_are_shown_mended(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    peer.conduct = sends('{"stdout": "a\\ud800b \\ud83d\\ude00", "execution_time": "87ms"}')
    outcome = await front.run("x")
    assert outcome.stdout == "a�b 😀"
    assert outcome.metadata["embedenv"]["execution_time_ms"] == 87


async def test_much_output_arrives_whole(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    outcome = await front.run("print('0123456789' * 2_000_000, end='')")
    assert outcome.stdout == "0123456789" * 2_000_000


async def test_a_refusal_keeps_what_was_written_before(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    peer.conduct = sends({"stdout": "partial", "stderr": "late", "error": "time limit"})
    outcome = await front.run("x")
    assert (outcome.stdout, outcome.stderr) == ("partial", "late")
    assert "The gateway refused: time limit." in outcome.error


async def test_a_cell_that_is_too_long_is_not_sent(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    assert "Split the cell; nothing was run." in (await front.run("#" * (9 << 20))).error
    assert peer.requests == []


async def test_a_peer_that_vanishes_and_comes_back_is_found_again(
    start_kernel: StartKernel, peer: EnginePeer
) -> None:
    front = await start_kernel()
    assert (await front.run("print(1)")).stdout == "1\n"
    await peer.vanish()
    request = front.client.execute("print(2)")
    await until_said(front.client.get_iopub_msg, "is not there; trying again for 30 s")
    await peer.appear()
    outcome = await front.outcome(request)
    assert outcome.stdout == "2\n"
    assert "connected anew; what earlier cells defined is gone" in outcome.stderr
    assert (await front.run("print(3)")).stderr == ""
    assert [request["code"] for request in peer.requests] == ["print(1)", "print(2)", "print(3)"]


async def test_waiting_for_a_peer_can_be_interrupted(start_kernel: StartKernel, peer: EnginePeer) -> None:
    front = await start_kernel()
    await peer.vanish()
    request = front.client.execute("print(2)")
    await until_said(front.client.get_iopub_msg, "is not there; trying again for 10 s")
    await front.manager.interrupt_kernel()
    assert "KeyboardInterrupt" in (await front.outcome(request)).error


async def until_said(receive: Callable[..., Any], text: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            message = await receive(timeout=DEADLINE_S)
            if message["msg_type"] == "stream" and text in message["content"]["text"]:
                return
