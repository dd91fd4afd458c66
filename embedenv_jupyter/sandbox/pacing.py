"""Makes a kernel wait for those who read its output, and not for anything else.

ipykernel sends from a thread of its own. What it has not sent yet would be thrown
away beyond a thousand messages (its socket) or kept without a bound (its streams);
here the cell that writes is held instead. On the other hand ipykernel wakes that
thread, and waits for it, several times for each message, most of them for nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

_FLUSH_CHARS = 1 << 20
"""What a kernel may print before it waits until that has been sent."""

_WAIT_S = 3600.0
"""How long it waits for that: as long as those who read take, if somebody reads at all."""

_POLLIN = 1
"""Something can be received: ZMQ_POLLIN, zmq_poll(3)."""

_MAX_EVENTS = 1000
"""What may wait for the sending thread before those who write wait too: what a ZMQ socket holds."""


def pace(app: Any) -> None:
    """Set up the output of a kernel that was initialized and has not run anything yet."""
    thread = app.iopub_thread
    _in_thread(thread, lambda: setattr(thread.socket, "xpub_nodrop", True))
    _wake_once(thread)
    for stream in (sys.stdout, sys.stderr):
        _flush_what_there_is(stream)
        _hold_back(stream)


def _wake_once(thread: Any) -> None:
    """Wake the sending thread when there is something new to do, once until it has come.

    ipykernel sends it a message for each message. Those filled a socket when it was slow,
    which held whoever wrote; counting does that here.
    """
    events, handle = thread._events, thread._handle_event
    is_called = False

    def schedule(event: Callable[[], Any]) -> None:
        nonlocal is_called
        if not thread.thread.is_alive():  # it was stopped, or this is a fork of the kernel
            event()
            return
        events.append(event)
        if not is_called:
            is_called = True
            thread._event_pipe.send(b"")
        if len(events) >= _MAX_EVENTS and threading.current_thread() is not thread.thread:
            sent = threading.Event()
            events.append(sent.set)
            sent.wait(_WAIT_S)

    def come(message: Any) -> None:
        nonlocal is_called
        is_called = False  # before it looks: what is appended from now on is seen, or calls again
        handle(message)
        _hear_subscribers(thread)

    _in_thread(thread, lambda: thread._event_puller.on_recv(come))
    thread.schedule = schedule


def _hear_subscribers(thread: Any) -> None:
    """Look whether somebody has subscribed, after messages were sent.

    ZMQ tells of news at a socket once (zmq_getsockopt(3), ZMQ_FD), and ipykernel sends past the stream that
    waits for it: a subscriber that came in that moment would never get its welcome.
    """
    stream = getattr(thread, "_xpub_stream", None)
    if stream is not None and not thread.closed and thread.socket.events & _POLLIN:
        stream.flush(_POLLIN)


def _in_thread(thread: Any, action: Callable[[], Any]) -> None:
    """Let the sending thread do something, and wait for that."""
    done = threading.Event()
    thread.schedule(action)
    thread.schedule(done.set)
    done.wait(_WAIT_S)


def _flush_what_there_is(stream: Any) -> None:
    """Let a flush of a stream without anything in it be none: each ``display`` flushes both streams."""
    flush = stream.flush

    def flush_if_needed() -> None:
        if stream._flush_pending or stream._subprocess_flush_pending:
            flush()

    stream.flush = flush_if_needed


def _hold_back(stream: Any) -> None:
    """Flush a stream of ipykernel, and wait for that, after each ``_FLUSH_CHARS``."""
    write, waiting = stream.write, 0
    stream.flush_timeout = _WAIT_S

    def held(text: Any) -> Any:
        nonlocal waiting
        if isinstance(text, str) and len(text) > _FLUSH_CHARS:  # one message has a largest size
            for begin in range(0, len(text), _FLUSH_CHARS):
                held(text[begin : begin + _FLUSH_CHARS])
            return len(text)
        written = write(text)
        waiting += len(text)
        if waiting >= _FLUSH_CHARS:
            waiting = 0
            stream.flush()
        return written

    stream.write = held
