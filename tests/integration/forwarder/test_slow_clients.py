"""Clients that read slowly, or not at all: paced, and in the end left out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import zmq

from embedenv_jupyter.forwarder import publisher as module
from embedenv_jupyter.forwarder.publisher import Publisher

HIGH_WATER = 10


Socket = zmq.Socket[bytes]


class Opened:
    """The two ends of an iopub inside one process."""

    def __init__(self) -> None:
        self._context: zmq.Context[Socket] = zmq.Context()
        self._sockets: list[Socket] = []

    def bound(self) -> Socket:
        socket = self._context.socket(zmq.XPUB)
        self._sockets.append(socket)
        socket.sndhwm = HIGH_WATER
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        socket.bind("inproc://iopub")
        return socket

    def subscribed(self) -> Socket:
        socket = self._context.socket(zmq.SUB)
        self._sockets.append(socket)
        socket.rcvhwm = HIGH_WATER
        socket.connect("inproc://iopub")
        socket.subscribe(b"")
        return socket

    def close(self) -> None:
        for socket in self._sockets:
            socket.close(linger=0)
        self._context.term()


@pytest.fixture
def opened() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    opened.close()


def made(socket: Socket, patience_s: float) -> Publisher:
    return Publisher(socket, welcome=lambda topic: [b"welcome", topic], patience_s=patience_s)


async def received(socket: Socket) -> list[bytes]:
    async with asyncio.timeout(20):
        while not socket.poll(0):
            await asyncio.sleep(0.005)
    return socket.recv_multipart()


async def test_slow_client_is_waited_for(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_BYTES", 1000)
    publisher = made(opened.bound(), patience_s=60)
    slow = opened.subscribed()
    running = asyncio.create_task(publisher.run())
    assert await received(slow) == [b"welcome", b""]
    published = 0

    async def publish() -> None:
        nonlocal published
        for number in range(2000):
            await publisher.publish([b"%d" % number, bytes(100)])
            published += 1

    publishing = asyncio.create_task(publish())
    got = []
    for number in range(2000):
        got.append((await received(slow))[0])
        # What is under way: both ends of the pipe, and the queue.
        assert published <= number + 2 * HIGH_WATER + 1000 // 100 + 5
    assert got == [b"%d" % number for number in range(2000)]
    await publishing
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_client_that_reads_nothing_holds_nobody_up_for_ever(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_BYTES", 1000)
    publisher = made(opened.bound(), patience_s=0.1)
    deaf, awake = opened.subscribed(), opened.subscribed()
    running = asyncio.create_task(publisher.run())
    assert await received(awake) == [b"welcome", b""]
    assert await received(awake) == [b"welcome", b""]
    got: list[bytes] = []

    async def read() -> None:
        while len(got) < 500:
            got.append((await received(awake))[0])

    reading = asyncio.create_task(read())
    async with asyncio.timeout(20):
        for number in range(500):
            await publisher.publish([b"%d" % number, bytes(100)])
        await reading
    assert got == [b"%d" % number for number in range(500)], "who reads misses nothing"
    heard = [await received(deaf)]
    while deaf.poll(0):
        heard.append(deaf.recv_multipart())
    assert len(heard) < 100
    await publisher.publish([b"later"])
    assert (await received(deaf))[0] == b"later", "who reads again hears again"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
