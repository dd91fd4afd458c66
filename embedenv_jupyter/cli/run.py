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
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embedenv_jupyter.cli.terminal import (
    explained,
    on_interrupt,
    own_input,
    raw_terminal,
    say,
    until_told_to_end,
    write_out,
)
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.languages.registry import FOLDER, Language, Languages, UnknownLanguageError

if TYPE_CHECKING:
    from embedenv_jupyter.rooms.room import Room
    from embedenv_jupyter.sandbox.process import Process
    from embedenv_jupyter.sandbox.spec import Breach, ExitStatus
    from embedenv_jupyter.sandbox.streams import ByteSource

LADDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
STEP_S = 1.0


@dataclass(frozen=True)
class Options:
    """How the room is made and how long the program may take."""

    memory_mib: int | None
    timeout_s: float | None
    tier: str
    allow_unsafe: bool


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1)
@click.option("--language", help="The language, where the file's extension does not tell.")
@click.option("--memory", type=click.IntRange(min=16), help="Memory of the room in MiB.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), help="End the program after this many seconds."
)
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
    the program; pressed again where that had no effect, it ends it. With --url
    the keys are read from EMBEDENV_PUBLIC_KEY and EMBEDENV_SECRET_KEY.
    """
    try:
        chosen = Languages.shipped().named(language) if language else Languages.shipped().of_file(file)
        if url:
            from embedenv_jupyter.cli import run_remote

            status = asyncio.run(until_told_to_end(run_remote.run(url, file, chosen, arguments, timeout)))
        else:
            options = Options(memory, timeout, tier, allow_unsafe)
            status = asyncio.run(until_told_to_end(_run_here(file, chosen, arguments, options)))
    except (EmbedEnvError, UnknownLanguageError) as exc:
        raise click.ClickException(str(exc)) from exc
    sys.exit(status)


async def _run_here(file: Path, language: Language, arguments: tuple[str, ...], options: Options) -> int:
    async with _room(options) as room:
        stop = room.sandbox.subscribe(_report)
        try:
            source = await asyncio.to_thread(file.read_bytes)
            await room.sandbox.files.write(f"{FOLDER}/{language.source}", source)
            if language.compile:
                status = await _stage(room, language, language.compile, options, interactive=False)
                if status.shell_code != 0:
                    return await _ended(room, status)
            line = f"{language.run} {shlex.join(arguments)}"
            status = await _stage(room, language, f"exec {line}", options, interactive=True)
            return await _ended(room, status)
        finally:
            stop()


async def _ended(room: Room, status: ExitStatus) -> int:
    """Say what ended the program, after the limits that it ran into; return the exit code."""
    if status.shell_code != 0:
        # The news of the end comes from another process than that of the limits, and often before it.
        await room.sandbox.look_at_limits()
    return explained(status.shell_code, str(status))


@contextlib.asynccontextmanager
async def _room(options: Options) -> AsyncIterator[Room]:
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
    room: Room, language: Language, line: str, options: Options, *, interactive: bool
) -> ExitStatus:
    """Run one shell line of the language in the project's folder, connected to our own streams."""
    argv = ["sh", "-c", line]
    if not (interactive and sys.stdin.isatty() and sys.stdout.isatty()):
        process = await room.sandbox.spawn(argv, cwd=FOLDER, env=language.env)
        return await _connect(process, options.timeout_s, takes_input=interactive)
    size = os.get_terminal_size()
    process = await room.sandbox.spawn_pty(
        argv, cwd=FOLDER, env=language.env, size=(size.lines, size.columns)
    )
    with raw_terminal():
        return await _connect(process, options.timeout_s, takes_input=True)


async def _connect(process: Process, timeout_s: float | None, *, takes_input: bool) -> ExitStatus:
    assert process.stdin is not None
    assert process.stdout is not None
    copies = [_copy_out(process.stdout, sys.stdout.fileno())]
    if process.stderr is not None:
        copies.append(_copy_out(process.stderr, sys.stderr.fileno()))
    tasks = [asyncio.create_task(copy) for copy in copies]
    feeding = asyncio.create_task(_feed(process, takes_input=takes_input))
    try:
        async with on_interrupt(_Interrupts(process).press):
            try:
                async with deadline(timeout_s):
                    await asyncio.gather(*tasks)
                    return await process.wait()
            except TimeoutError:
                say(f"time is up after {timeout_s:g} s")
                await _stop(process)
                return await process.wait()
    finally:
        for task in (*tasks, feeding):
            task.cancel()
        await asyncio.gather(*tasks, feeding, return_exceptions=True)
        process.close()


class _Interrupts:
    """Ctrl+C: INT first, then TERM, then KILL."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._pressed = 0

    async def press(self) -> None:
        step = LADDER[min(self._pressed, len(LADDER) - 1)]
        self._pressed += 1
        with contextlib.suppress(ProcessLookupError, EmbedEnvError):
            await self._process.signal(step)


async def _stop(process: Process) -> None:
    for step in LADDER:
        with contextlib.suppress(ProcessLookupError):
            await process.signal(step)
        with contextlib.suppress(TimeoutError):
            async with deadline(STEP_S):
                await process.wait()
                return


async def _copy_out(source: ByteSource, fd: int) -> None:
    try:
        while data := await source.read():
            await write_out(fd, data)
    except BrokenPipeError:
        source.close()  # nobody reads our output: the program gets SIGPIPE, as it would without us


async def _feed(process: Process, *, takes_input: bool) -> None:
    assert process.stdin is not None
    if takes_input:
        try:
            async for data in own_input():
                await process.stdin.write(data)
        except BrokenPipeError:
            return
    if process.terminal is None:
        process.stdin.close()


def _report(breach: Breach, detail: str) -> None:
    say(f"the room ran into a limit: {breach.value} ({detail})")
