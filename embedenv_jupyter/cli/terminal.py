"""Our own standard streams, for commands that stand between a person and a program elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator

import click

COPY_BYTES = 64 << 10
ENDS = (signal.SIGTERM, signal.SIGHUP)


def say(text: str) -> None:
    """Tell the user something that is not the program's output."""
    click.echo(f"embedenv: {text}", err=True)


async def write_out(fd: int, data: bytes) -> None:
    """Write to one of our own streams; whoever reads it may be slow, so a thread writes.

    Raises:
        BrokenPipeError: nobody reads it any more.
    """
    await asyncio.to_thread(_write_all, fd, data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


async def own_input() -> AsyncIterator[bytes]:
    """Yield what comes on our standard input, until its end.

    The reading thread may stay behind in a read, so it is a daemon.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(4)

    def read() -> None:
        data = b"-"
        while data:
            try:
                data = os.read(sys.stdin.fileno(), COPY_BYTES)
            except (OSError, ValueError):
                data = b""
            try:
                asyncio.run_coroutine_threadsafe(queue.put(data), loop).result()
            except (RuntimeError, asyncio.CancelledError):
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while data := await queue.get():
        yield data


@contextlib.asynccontextmanager
async def on_interrupt(press: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Call ``press`` for each of our own Ctrl+C, one after another, while the body runs."""
    loop = asyncio.get_running_loop()
    pressed = asyncio.Event()

    async def serve() -> None:
        while True:
            await pressed.wait()
            pressed.clear()
            await press()

    loop.add_signal_handler(signal.SIGINT, pressed.set)
    serving = asyncio.create_task(serve(), name="Ctrl+C")
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def until_told_to_end(work: Coroutine[None, None, int]) -> int:
    """Do work that returns an exit code; at SIGTERM or SIGHUP cancel it, once, so that it leaves nothing."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(work, name="command")
    told: list[int] = []

    def end(signum: int) -> None:
        if not told:  # a second one must not cut the clearing up short
            told.append(signum)
            task.cancel()

    for signum in ENDS:
        loop.add_signal_handler(signum, end, signum)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        return 128 + told[0]
    finally:
        for signum in ENDS:
            loop.remove_signal_handler(signum)


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Leave line editing, echo and Ctrl+C to the terminal at the other end while the body runs."""
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def explained(code: int, status: str) -> int:
    """Say what ended the program where its exit code alone would not; return the code."""
    if code > 128 and code != 128 + signal.SIGINT and status.startswith("signal"):
        say(f"the program was ended by {status}")
    return code
