"""A kernel's output thread, as it is set up in rooms: nothing is lost, whoever writes too much is held."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from ipykernel.iostream import IOPubThread, OutStream
from jupyter_client.session import Session

from embedenv_jupyter.sandbox import pacing
from tests.integration.sandbox.programs import DEADLINE_S


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The thread; what is ``written`` on it goes out as the text of a cell does."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    session = Session(key=b"")
    found: Any = IOPubThread(context.socket(zmq.XPUB), session=session)  # type: ignore[no-untyped-call]
    found.start()
    with monkeypatch.context() as patch:
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, OutStream(session, found, name, watchfd=False))  # type: ignore[no-untyped-call]
        pacing.pace(SimpleNamespace(iopub_thread=found))
        found.written = sys.stdout
    yield found
    _end_collector(found)
    found.stop()
    found.close()
    context.term()


def _end_collector(found: Any) -> None:
    """End its task that looks for dead threads; ipykernel only cancels it, and closes the loop under it."""
    ended = threading.Event()
    task = found._event_pipe_gc_task

    def cancel() -> None:
        task.add_done_callback(lambda _: ended.set())
        task.cancel()

    found.io_loop.add_callback(cancel)
    assert ended.wait(DEADLINE_S)


def run_all(*bodies: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=body) for body in bodies]
    for started in threads:
        started.start()
    return threads


def test_events_of_many_threads_happen_once_and_in_order(thread: Any) -> None:
    happened: list[tuple[int, int]] = []

    def produce(which: int) -> None:
        for number in range(3000):
            thread.schedule(partial(happened.append, (which, number)))

    producers = run_all(*(partial(produce, which) for which in range(4)))
    for producer in producers:
        producer.join(DEADLINE_S)
    done = threading.Event()
    thread.schedule(done.set)
    assert done.wait(DEADLINE_S)
    for which in range(4):
        assert [number for found, number in happened if found == which] == list(range(3000))


def test_thread_that_writes_faster_than_is_sent_is_held(thread: Any) -> None:
    gate, is_blocked = threading.Event(), threading.Event()
    counted: list[int] = []

    def block() -> None:
        is_blocked.set()
        gate.wait(DEADLINE_S)

    thread.schedule(block)
    assert is_blocked.wait(DEADLINE_S)

    def produce() -> None:
        for number in range(5000):
            thread.schedule(partial(counted.append, number))

    (producer,) = run_all(produce)
    while len(thread._events) < 1000 and producer.is_alive():
        producer.join(0.01)
    producer.join(0.2)
    assert producer.is_alive()
    assert len(thread._events) <= 1001
    gate.set()
    producer.join(DEADLINE_S)
    done = threading.Event()
    thread.schedule(done.set)
    assert done.wait(DEADLINE_S)
    assert len(counted) == 5000


def test_flush_waits_for_text_and_for_nothing_else(thread: Any) -> None:
    sent: list[Any] = []
    thread._really_send = lambda message, *_, **__: sent.append(message)
    thread.written.write("text")
    thread.written.flush()
    gate, is_sent = threading.Event(), threading.Event()
    thread.schedule(is_sent.set)
    assert is_sent.wait(DEADLINE_S)
    assert len(sent) == 1
    thread.schedule(lambda: gate.wait(DEADLINE_S))
    thread.written.flush()  # returns, though the thread does nothing now
    gate.set()


def test_subscriber_that_comes_while_a_message_is_sent_gets_its_welcome(thread: Any) -> None:
    """ZMQ tells of news at a socket once; the message that is sent in that moment must not take it away."""
    publisher = thread.socket
    pacing._in_thread(thread, lambda: publisher.bind("tcp://127.0.0.1:*"))
    address = publisher.getsockopt(zmq.LAST_ENDPOINT)
    busy, connected = threading.Event(), threading.Event()

    def send_when_connected() -> None:
        busy.set()
        connected.wait(DEADLINE_S)
        deadline = time.monotonic() + DEADLINE_S
        while not publisher.events & zmq.POLLIN and time.monotonic() < deadline:
            publisher.send_multipart([b"a message of a cell"])

    thread.schedule(send_when_connected)
    assert busy.wait(DEADLINE_S)
    with publisher.context.socket(zmq.SUB) as subscriber:
        subscriber.linger = 0
        subscriber.subscribe(b"")
        subscriber.connect(address)
        connected.set()
        heard = b""
        while b"iopub_welcome" not in heard:
            assert subscriber.poll(1000 * DEADLINE_S), "no welcome came"
            heard = b"".join(subscriber.recv_multipart())
