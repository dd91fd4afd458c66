"""``embedenv run FILE``: one file, one new room, and the program's own exit code.

Without ``--url`` the room is opened in this process: no server, no keys. The
program gets pipes, so its output arrives byte for byte; when the caller sits at
a terminal it gets a terminal of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import tempfile
import termios
import threading
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.languages.registry import Language, Languages, UnknownLanguageError

if TYPE_CHECKING:
    from embedenv_jupyter.rooms.room import Room
    from embedenv_jupyter.sandbox.sandbox import Process
    from embedenv_jupyter.sandbox.spec import Breach, ExitStatus
    from embedenv_jupyter.sandbox.streams import ByteSource

FOLDER = "project"
_COPY_BYTES = 64 << 10
_STEPS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1)
@click.option("--language", help="The language, where the file's extension does not tell.")
@click.option("--memory", type=click.IntRange(min=16), help="Memory of the room in MiB.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="End it after this many seconds.")
@click.option("--tier", default="auto", show_default=True, help="How the room is isolated.")
@click.option("--allow-unsafe", is_flag=True, help="Run without isolation where no tier works.")
@click.option("--url", envvar="EMBEDENV_URL", help="Open the room on this gateway instead of here.")
def command(
    file: Path,
    arguments: tuple[str, ...],
    language: str | None,
    memory: int | None,
    timeout: float | None,
    tier: str,
    allow_unsafe: bool,
    url: str | None,
) -> None:
    """Run FILE in a new room and exit with its code.

    Output streams as it is produced, input is passed on, and Ctrl+C interrupts
    the program; pressed again where that had no effect, it ends it.
    """
    try:
        chosen = Languages.shipped().named(language) if language else Languages.shipped().of_file(file)
        if url:
            from embedenv_jupyter.cli import run_remote

            status = asyncio.run(run_remote.run(url, file, chosen, arguments, timeout))
        else:
            options = _Options(memory, timeout, tier, allow_unsafe)
            status = asyncio.run(_run_here(file, chosen, arguments, options))
    except (EmbedEnvError, UnknownLanguageError) as exc:
        raise click.ClickException(str(exc)) from exc
    sys.exit(status)


class _Options:
    def __init__(self, memory_mib: int | None, timeout_s: float | None, tier: str, unsafe: bool) -> None:
        self.memory_mib = memory_mib
        self.timeout_s = timeout_s
        self.tier = tier
        self.allow_unsafe = unsafe


async def _run_here(file: Path, language: Language, arguments: tuple[str, ...], options: _Options) -> int:
    async with _room(options) as room:
        stop = room.sandbox.subscribe(_report)
        try:
            await room.sandbox.write_file(f"{FOLDER}/{language.source}", file.read_bytes())
            if language.compile:
                status = await _stage(room, language, language.compile, options, interactive=False)
                if status.shell_code != 0:
                    return _explained(status)
            line = shlex.join([*shlex.split(language.run), *arguments])
            return _explained(await _stage(room, language, line, options, interactive=True))
        finally:
            stop()


@contextlib.asynccontextmanager
async def _room(options: _Options) -> AsyncIterator[Room]:
    """Open a room of the local account in a gateway that lives as long as the command."""
    from embedenv_jupyter.accounts import LOCAL_ACCOUNT
    from embedenv_jupyter.gateway import Gateway, GatewaySettings
    from embedenv_jupyter.rooms.manager import RoomSettings
    from embedenv_jupyter.sandbox.spec import MIB, Limits

    limits = Limits() if options.memory_mib is None else Limits(memory_bytes=options.memory_mib * MIB)
    with tempfile.TemporaryDirectory(prefix="embedenv-") as directory:
        settings = GatewaySettings(
            data_dir=Path(directory), tier=options.tier, allow_unsafe=options.allow_unsafe, pool_size=0,
            rooms=RoomSettings(limits=limits, idle_s=None),
        )  # fmt: skip
        gateway = Gateway(settings)
        await gateway.start()
        try:
            opened = await gateway.rooms.open(LOCAL_ACCOUNT, space="run")
            yield opened.room
        finally:
            await gateway.aclose()


async def _stage(
    room: Room, language: Language, line: str, options: _Options, *, interactive: bool
) -> ExitStatus:
    """Run one shell line of the language in the project's folder, connected to our own streams."""
    argv = ["sh", "-c", f"exec {line}" if _is_simple(line) else line]
    on_terminal = interactive and sys.stdin.isatty() and sys.stdout.isatty()
    if on_terminal:
        size = os.get_terminal_size()
        process = await room.sandbox.spawn_pty(
            argv, cwd=FOLDER, env=language.env, size=(size.lines, size.columns)
        )
    else:
        process = await room.sandbox.spawn(argv, cwd=FOLDER, env=language.env)
    with _interrupts(process), _raw_terminal() if on_terminal else contextlib.nullcontext():
        return await _connect(process, options.timeout_s, takes_input=interactive)


def _is_simple(line: str) -> bool:
    return not any(sign in line for sign in ";&|<>()")


async def _connect(process: Process, timeout_s: float | None, *, takes_input: bool) -> ExitStatus:
    assert process.stdin is not None and process.stdout is not None
    copies = [asyncio.create_task(_copy_out(process.stdout, sys.stdout.fileno()))]
    if process.stderr is not None:
        copies.append(asyncio.create_task(_copy_out(process.stderr, sys.stderr.fileno())))
    feeding = asyncio.create_task(_feed(process)) if takes_input else None
    if feeding is None:
        process.stdin.close()
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*copies)
            return await process.wait()
    except TimeoutError:
        _say(f"time is up after {timeout_s:g} s")
        await _stop(process)
        return await process.wait()
    finally:
        for task in (*copies, *([feeding] if feeding else [])):
            task.cancel()
        await asyncio.gather(*copies, *([feeding] if feeding else []), return_exceptions=True)
        process.close()


async def _stop(process: Process) -> None:
    for step in _STEPS:
        with contextlib.suppress(ProcessLookupError):
            await process.signal(step)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await process.wait()
                return


async def _copy_out(source: ByteSource, fd: int) -> None:
    """Copy to one of our own streams; whoever reads it may be slow, so a thread writes."""
    try:
        while data := await source.read(_COPY_BYTES):
            await asyncio.to_thread(_write_all, fd, data)
    except BrokenPipeError:
        source.close()  # nobody reads our output: the program gets SIGPIPE, as it would without us


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


async def _feed(process: Process) -> None:
    """Pass our input on; the reading thread may stay behind in a read, so it is a daemon."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(4)

    def read() -> None:
        data = b"-"
        while data:
            try:
                data = os.read(sys.stdin.fileno(), _COPY_BYTES)
            except (OSError, ValueError):
                data = b""
            try:
                asyncio.run_coroutine_threadsafe(queue.put(data), loop).result()
            except (RuntimeError, asyncio.CancelledError):
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    assert process.stdin is not None
    try:
        while data := await queue.get():
            await process.stdin.write(data)
    except BrokenPipeError:
        return
    if process.terminal is None:
        process.stdin.close()


@contextlib.contextmanager
def _interrupts(process: Process) -> Iterator[None]:
    """Send our own Ctrl+C to the program: INT first, then TERM, then KILL."""
    loop = asyncio.get_running_loop()
    pressed = 0
    sending: set[asyncio.Task[None]] = set()

    def press() -> None:
        nonlocal pressed
        step = _STEPS[min(pressed, len(_STEPS) - 1)]
        pressed += 1
        task = asyncio.ensure_future(_quietly(lambda: process.signal(step)))
        sending.add(task)
        task.add_done_callback(sending.discard)

    loop.add_signal_handler(signal.SIGINT, press)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def _quietly(action: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(ProcessLookupError, EmbedEnvError):
        await action()


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Leave line editing, echo and Ctrl+C to the room's terminal while the program runs."""
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _report(breach: Breach, detail: str) -> None:
    _say(f"the room ran into a limit: {breach.value} ({detail})")


def _explained(status: ExitStatus) -> int:
    if status.signal is not None and status.signal != signal.SIGINT:
        _say(f"the program was ended by {status}")
    return status.shell_code


def _say(text: str) -> None:
    click.echo(f"embedenv: {text}", err=True)
