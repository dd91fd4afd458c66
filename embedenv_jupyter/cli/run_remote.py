"""``embedenv run --url``: the same through a gateway, with the published protocol and its client.

The program writes to a terminal there, so what it writes to its two outputs arrives
as one, and what is not UTF-8 arrives as U+FFFD. Its input is that terminal where a
person types here, and otherwise a pipe (:mod:`embedenv_jupyter.cli.piped_input`).
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

from embedenv_jupyter.cli import piped_input
from embedenv_jupyter.cli.terminal import explained, on_interrupt, own_input, say, write_out
from embedenv_jupyter.client import PlainServerError, RefusedError, Room, Run, connect
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.languages.registry import FOLDER, Language

DECODER = ".embedenv-input.py"
"""Beside the project's folder, not in it."""
STOP_S = 10.0
FULL_S = 60.0
"""How long a program may take no input, while as much waits for it as the gateway holds (1 MiB)."""
AGAIN_S = (0.05, 1.0)
"""When input that was refused is sent again, at first and at last."""
SEND_BYTES = 48 << 10

Feed = Callable[[Run], Awaitable[None]]


async def run(
    url: str, file: Path, language: Language, arguments: tuple[str, ...], timeout_s: float | None
) -> int:
    """Run a file in a new room of the gateway at ``url``; return its exit code as a shell has it."""
    async with _room(url) as room:
        source = await asyncio.to_thread(file.read_bytes)
        await room.files.write(f"{FOLDER}/{language.source}", source)
        if language.compile:
            compiling = await room.shell(_line(language, language.compile))
            if code := await _follow(compiling, timeout_s, sys.stderr.fileno(), None):
                return code
        program = f"{language.run} {shlex.join(arguments)}"
        feed = feed_typed
        if not (sys.stdin.isatty() or room.is_plain):
            await room.files.write(f"/{DECODER}", await asyncio.to_thread(_source_of_decoder))
            program = f"python3 -I ../{DECODER} {program}"
            feed = feed_piped
        started = await room.shell(_line(language, f"exec {program}"))
        return await _follow(started, timeout_s, sys.stdout.fileno(), feed)


@contextlib.asynccontextmanager
async def _room(url: str) -> AsyncIterator[Room]:
    """Open a room that ends with the body: a run that waits for input would keep it for ever."""
    async with connect(url) as room:
        try:
            yield room
        finally:
            with contextlib.suppress(EmbedEnvError, TimeoutError):
                async with deadline(STOP_S):
                    await room.stop()


def _source_of_decoder() -> bytes:
    return Path(piped_input.__file__).read_bytes()


def _line(language: Language, line: str) -> str:
    exports = "".join(f"export {name}={shlex.quote(value)}; " for name, value in language.env.items())
    return f"cd {FOLDER} && {exports}{line}"


async def _follow(started: Run, timeout_s: float | None, fd: int, feed: Feed | None) -> int:
    feeding = asyncio.create_task(guarded(started, feed), name="input") if feed is not None else None
    try:
        async with on_interrupt(started.interrupt):
            try:
                async with deadline(timeout_s):
                    await _copy_out(started, fd)
            except TimeoutError:
                say(f"time is up after {timeout_s:g} s")
                await started.signal("KILL")
            except BrokenPipeError:  # nobody reads our output; the room ends, and the program with it
                return 128 + signal.SIGPIPE
            status = await started.wait()
            return explained(status.shell_code, str(status))
    finally:
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)


async def _copy_out(started: Run, fd: int) -> None:
    async for text in started.batches():
        await write_out(fd, text.encode())


# Input.


async def guarded(started: Run, feed: Feed) -> None:
    """Feed a program; end it when its input cannot be delivered, as it would work on a part of it."""
    try:
        await feed(started)
    except PlainServerError as exc:
        say(f"the program does not learn that its input has ended. {exc}")
    except EmbedEnvError as exc:
        if started.is_running:
            say(f"the program is ended, as its input cannot be delivered: {exc}")
            with contextlib.suppress(EmbedEnvError):
                await started.signal("KILL")


async def feed_piped(started: Run) -> None:
    """Pass our standard input on as bytes, and its end; raises what :func:`delivered` raises."""
    async for data in own_input():
        for start in range(0, len(data), SEND_BYTES):
            text = piped_input.encoded(data[start : start + SEND_BYTES])
            await delivered(started, partial(started.send, text, end=""))
    await delivered(started, started.send_eof)


async def feed_typed(started: Run) -> None:
    """Pass what a person types on as text, and the end of it; raises what :func:`delivered` raises."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for data in own_input():
        if text := decoder.decode(data):
            await delivered(started, partial(started.send, text, end=""))
    await delivered(started, started.send_eof)


async def delivered(started: Run, send: Callable[[], Awaitable[None]], *, full_s: float = FULL_S) -> None:
    """Send something to a program; while it takes no input and too much waits, wait and try again.

    Raises:
        RefusedError: it was refused for ``full_s`` seconds.
        BusyError: the program has ended.
    """
    pause_s, longest_s = AGAIN_S
    deadline_s = asyncio.get_running_loop().time() + full_s
    while True:
        try:
            return await send()
        except RefusedError:
            if not started.is_running or asyncio.get_running_loop().time() >= deadline_s:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, longest_s)
