"""Our side of ZMTP against sockets of libzmq itself, as a kernel has them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import zmq

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.kernels import channels
from embedenv_jupyter.kernels.channels import Channel

DEADLINE_S = 20.0

MakeSocket = Callable[[int], "zmq.Socket[bytes]"]


@pytest.fixture
def zmq_socket() -> Iterator[MakeSocket]:
    """Make sockets, which all are closed after the test."""
    owner = zmq.Context()
    made: list[zmq.Socket[bytes]] = []

    def make(kind: int) -> zmq.Socket[bytes]:
        made.append(owner.socket(kind))
        return made[-1]

    yield make
    owner.destroy(linger=0)


@contextlib.asynccontextmanager
async def connected(path: Path, socket_type: str, identity: bytes = b"") -> AsyncIterator[Channel]:
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW)
    try:
        channel = await Channel.connect(fd, socket_type, identity)
    finally:
        os.close(fd)
    try:
        yield channel
    finally:
        await channel.aclose()


async def test_a_dealer_asks_a_router_and_is_answered(zmq_socket: MakeSocket, tmp_path: Path) -> None:
    router = zmq_socket(zmq.ROUTER)
    router.bind(f"ipc://{tmp_path}/s-1")
    async with asyncio.timeout(DEADLINE_S), connected(tmp_path / "s-1", "DEALER", b"client-1") as channel:
        parts = [b"<IDS|MSG>", b"", b"x" * 255, b"y" * 256, b"z" * 5_000_000]
        await channel.send(parts)
        assert await asyncio.to_thread(router.recv_multipart) == [b"client-1", *parts]
        for number in range(100):
            router.send_multipart([b"client-1", b"%d" % number, b"", b"w" * 70_000])
        got: list[tuple[bytes, ...]] = []
        async for batch in channel.messages():
            got += batch
            if len(got) == 100:
                break
        assert got == [(b"%d" % number, b"", b"w" * 70_000) for number in range(100)]


async def test_a_subscriber_hears_all_that_a_publisher_says_after_its_welcome(
    zmq_socket: MakeSocket, tmp_path: Path
) -> None:
    publisher = zmq_socket(zmq.XPUB)
    publisher.setsockopt(zmq.XPUB_WELCOME_MSG, b"welcome")
    publisher.setsockopt(zmq.XPUB_NODROP, 1)
    publisher.bind(f"ipc://{tmp_path}/s-2")
    async with asyncio.timeout(DEADLINE_S), connected(tmp_path / "s-2", "SUB") as channel:
        batches = channel.messages()
        assert await asyncio.to_thread(publisher.recv) == b"\x01"
        assert await anext(batches) == [(b"welcome",)]
        got: list[tuple[bytes, ...]] = []

        def publish() -> None:
            for number in range(5_000):
                publisher.send_multipart([b"topic", b"%d" % number])

        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(publish))
            while len(got) < 5_000:
                got += await anext(batches)
        assert got == [(b"topic", b"%d" % number) for number in range(5_000)]


async def test_a_reader_that_waits_holds_the_writer(zmq_socket: MakeSocket, tmp_path: Path) -> None:
    """What a kernel says piles up on its own side, and there it blocks: not in our memory."""
    router = zmq_socket(zmq.ROUTER)
    router.sndhwm, router.sndtimeo, router.router_mandatory = 10, 1000, 1
    router.bind(f"ipc://{tmp_path}/s-3")
    async with asyncio.timeout(DEADLINE_S), connected(tmp_path / "s-3", "DEALER", b"me") as channel:
        await channel.send([b"hello"])
        await asyncio.to_thread(router.recv_multipart)
        sent = await asyncio.to_thread(_send_while_it_is_taken, router)
        assert sent < 1_000
        assert len(channel._reader._buffer) <= 4 * channels.READ_BYTES  # type: ignore[attr-defined]


async def test_a_socket_that_never_greets_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "CONNECT_TIMEOUT_S", 0.05)
    server = await asyncio.start_unix_server(lambda reader, writer: None, tmp_path / "s-4")
    async with asyncio.timeout(DEADLINE_S), server:
        with pytest.raises(TimeoutError):
            async with connected(tmp_path / "s-4", "DEALER"):
                pass


@pytest.mark.parametrize("said", [b"HTTP/1.1 200 OK\r\n" * 10, b"", b"\xff" * 70])
async def test_a_socket_of_another_kind_is_refused(tmp_path: Path, said: bytes) -> None:
    def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        writer.close()

    server = await asyncio.start_unix_server(talk, tmp_path / "s-5")
    async with asyncio.timeout(DEADLINE_S), server:
        with pytest.raises((RemoteProtocolError, ConnectionError)):
            async with connected(tmp_path / "s-5", "DEALER"):
                pass


async def test_closing_does_not_wait_for_who_does_not_read(zmq_socket: MakeSocket, tmp_path: Path) -> None:
    router = zmq_socket(zmq.ROUTER)
    router.rcvhwm = 1
    router.bind(f"ipc://{tmp_path}/s-6")
    async with asyncio.timeout(DEADLINE_S), connected(tmp_path / "s-6", "DEALER", b"me") as channel:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                for _ in range(1_000):
                    await channel.send([b"x" * 1_000_000])
        assert channel._writer.transport.get_write_buffer_size()
        await channel.aclose()


def _send_while_it_is_taken(router: zmq.Socket[bytes]) -> int:
    for number in range(1_000):
        try:
            router.send_multipart([b"me", b"x" * 100_000])
        except zmq.Again:
            return number
    return 1_000
