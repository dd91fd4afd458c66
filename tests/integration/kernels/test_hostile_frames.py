"""Frames that no client should send: each is a clear close, and the kernel and its other clients live."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
from websockets.exceptions import ConnectionClosed

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.kernels.messages import MAX_HEADER_BYTES
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.protocols.kernels import Message
from tests.integration.kernels.conftest import KernelPeer, OpenRoom, text_of
from tests.integration.kernels.peers import closed, execute, request, socket_to

DEEP = b'{"msg_id":' + b"[" * 30_000
GOOD = request("kernel_info_request")


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


@pytest.fixture
async def bystander(room: OpenRoom) -> AsyncIterator[KernelPeer]:
    """Another client, which notices nothing."""
    async with socket_to(room, session_id="bystander") as socket:
        peer = KernelPeer(socket)
        await peer.run("alive = 'alive'")
        yield peer
        text, _, _ = await peer.run("print(alive)")
        assert text == "alive\n"


def frame(channel: str = "shell", parts: tuple[bytes, ...] = GOOD) -> bytes:
    return protocol.encode(Message(channel, parts))


FRAMES: dict[str, tuple[str | bytes, CloseCode, str]] = {
    "text": ('{"channel":"shell"}', CloseCode.UNSUPPORTED_DATA, "kernel messages are binary"),
    "empty": (b"", CloseCode.PROTOCOL_ERROR, "no table of offsets"),
    "unknown channel": (frame("heartbeat"), CloseCode.PROTOCOL_ERROR, "the channel is one of"),
    "the server's channel": (frame("iopub"), CloseCode.PROTOCOL_ERROR, "the channel is one of"),
    "bad offsets": (frame()[:-1], CloseCode.PROTOCOL_ERROR, "do not cover it"),
    "too many offsets": (b"\xff" * 64, CloseCode.PROTOCOL_ERROR, "offsets, not"),
    "a header that is no JSON": (frame(parts=(b"x", *GOOD[1:])), CloseCode.PROTOCOL_ERROR, "is not right"),
    "a header of no UTF-8": (
        frame(parts=(b'{"msg_id":"\xff"}', *GOOD[1:])), CloseCode.PROTOCOL_ERROR, "is not right",
    ),
    "a header without an end": (frame(parts=(DEEP, *GOOD[1:])), CloseCode.PROTOCOL_ERROR, "is not right"),
    "a huge header": (
        frame(parts=(b" " * (MAX_HEADER_BYTES + 1) + GOOD[0], *GOOD[1:])), CloseCode.PROTOCOL_ERROR,
        "65536 are allowed",
    ),
    "code that is none": (
        frame(parts=(*execute("1")[:3], b'{"code":1}')), CloseCode.PROTOCOL_ERROR, "execute_request",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FRAMES)
async def test_a_bad_frame_closes_its_own_connection(
    room: OpenRoom, bystander: KernelPeer, name: str
) -> None:
    data, code, reason = FRAMES[name]
    async with socket_to(room) as socket:
        await socket.send(data)
        got, said = await closed(socket)
        assert got == code
        assert said is not None and reason in said


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("hello", CloseCode.UNSUPPORTED_DATA), (b"\1\0\0", CloseCode.PROTOCOL_ERROR),
        (protocol.encode_numbered(7, Message("shell", GOOD)), CloseCode.POLICY_VIOLATION),
        (b"\xff" * 8 + frame(), CloseCode.POLICY_VIOLATION), (frame(), CloseCode.PROTOCOL_ERROR),
    ],
)  # fmt: skip
async def test_a_bad_numbered_frame_closes_its_own_connection(
    room: OpenRoom, bystander: KernelPeer, data: str | bytes, code: CloseCode
) -> None:
    async with socket_to(room, protocol.RESUMABLE) as socket:
        await socket.recv()
        await socket.send(data)
        assert (await closed(socket))[0] == code


async def test_a_message_over_the_limit_is_not_read(room: OpenRoom, bystander: KernelPeer) -> None:
    async with socket_to(room) as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(frame(parts=(*GOOD, bytes(65 << 20))))
        assert (await closed(socket))[0] == CloseCode.TOO_BIG


async def test_a_large_message_within_the_limit_arrives(room: OpenRoom) -> None:
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        await peer.run(
            "get_ipython().kernel.comm_manager.register_target('t', lambda comm, opened: "
            "print(len(opened['buffers'][0]), flush=True))"
        )
        content = {"comm_id": "1", "target_name": "t", "data": {}}
        await peer.send("shell", "comm_open", content, buffers=(bytes(60 << 20),))
        (*_, printed) = await peer.until("stream")
        assert printed.content["text"] == f"{60 << 20}\n"


async def test_a_client_that_is_refused_often_pushes_nothing_out_of_the_log(
    room: OpenRoom, bystander: KernelPeer
) -> None:
    """Cells that nobody can read, in numbers: the kernel answers them all, in order."""
    async with socket_to(room) as socket:
        for number in range(300):
            await socket.send(frame(parts=request("no_such_request", {"n": number}, msg_id=str(number))))
        await socket.send(frame(parts=execute("print('after all')")))
        (*_, printed) = await KernelPeer(socket).until("stream")
        assert printed.content["text"] == "after all\n"


async def test_a_cell_that_comes_twice_is_run_once(room: OpenRoom) -> None:
    """A kernel drops it; the room would be busy with the second run for ever."""
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        parts = execute("print('once')")
        for _ in range(2):
            await socket.send(frame(parts=parts))
        _, reply, _ = await peer.run("print('next')")
        assert reply["execution_count"] == 2
        await socket.send(frame(parts=parts))
        _, reply, _ = await peer.run("print('next')")
        assert reply["execution_count"] == 3
        assert text_of(peer.waiting) == "once\n"


async def test_an_id_of_somebody_elses_cell_is_refused(room: OpenRoom, bystander: KernelPeer) -> None:
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        id = await bystander.execute("input()")
        (*_, question) = await bystander.until("input_request", id)
        parts = request("execute_request", {"code": "1"}, msg_id=id)
        await socket.send(frame(parts=parts))
        (*_, reply) = await peer.until("execute_reply", id)
        assert "Another client's cell" in reply.content["evalue"]
        await bystander.send("stdin", "input_reply", {"value": ""}, parent=question.header)
        (*_, reply) = await bystander.until("execute_reply", id)
        assert reply.content["status"] == "ok"
