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


def made(socket: Socket, patience_s: float, settle_s: float = 0.0) -> Publisher:
    return Publisher(
        socket, welcome=lambda topic: [b"welcome", topic], patience_s=patience_s, settle_s=settle_s
    )


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


@pytest.mark.parametrize("settle_s", [0.0, 0.2])
async def test_first_words_wait_for_who_comes_to_hear_them(opened: Opened, settle_s: float) -> None:
    publisher = made(opened.bound(), patience_s=60, settle_s=settle_s)
    publisher.put([b"first"])
    running = asyncio.create_task(publisher.run())
    await asyncio.sleep(0)
    one = opened.subscribed()
    assert await received(one) == [b"welcome", b""]
    assert await received(one) == [b"first"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_after_a_restart_all_clients_have_time_to_come_back(opened: Opened) -> None:
    publisher = made(opened.bound(), patience_s=60, settle_s=0.5)
    publisher.put([b"first"])
    running = asyncio.create_task(publisher.run())
    one = opened.subscribed()
    await asyncio.sleep(0.05)
    two = opened.subscribed()
    for socket in (one, two):
        heard = [await received(socket)]
        while heard[-1] != [b"first"]:
            heard.append(await received(socket))
        assert heard[0] == [b"welcome", b""]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_nobody_who_hears_holds_up_nobody(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARD_WITHIN_S", 0.05)
    monkeypatch.setattr(module, "QUEUE_BYTES", 100)
    publisher = made(opened.bound(), patience_s=60)
    running = asyncio.create_task(publisher.run())
    async with asyncio.timeout(10):
        for _ in range(100):
            await publisher.publish([bytes(50)])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
