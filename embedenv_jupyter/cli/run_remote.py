"""``embedenv run --url``: the same through a gateway, with the published protocol and its client.

The program has a terminal there, so what it writes to its two outputs arrives
as one, and what is not UTF-8 arrives as U+FFFD.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import sys
from pathlib import Path

from embedenv_jupyter.cli.terminal import explained, on_interrupt, own_input, say, write_out
from embedenv_jupyter.client import Run, connect
from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.languages.registry import FOLDER, Language


async def run(
    url: str, file: Path, language: Language, arguments: tuple[str, ...], timeout_s: float | None
) -> int:
    """Run a file in a new room of the gateway at ``url``; return its exit code as a shell has it."""
    async with connect(url) as room:
        try:
            source = await asyncio.to_thread(file.read_bytes)
            await room.files.write(f"{FOLDER}/{language.source}", source)
            if language.compile:
                compiling = await room.shell(_line(language, language.compile))
                if code := await _follow(compiling, timeout_s, sys.stderr.fileno(), takes_input=False):
                    return code
            line = shlex.join([*shlex.split(language.run), *arguments])
            started = await room.shell(_line(language, f"exec {line}"))
            return await _follow(started, timeout_s, sys.stdout.fileno(), takes_input=True)
        finally:
            with contextlib.suppress(EmbedEnvError):
                await room.stop()


def _line(language: Language, line: str) -> str:
    exports = "".join(f"export {name}={shlex.quote(value)}; " for name, value in language.env.items())
    return f"cd {FOLDER} && {exports}{line}"


async def _follow(started: Run, timeout_s: float | None, fd: int, *, takes_input: bool) -> int:
    feeding = asyncio.create_task(_feed(started)) if takes_input else None
    try:
        async with on_interrupt(started.interrupt):
            try:
                async with asyncio.timeout(timeout_s):
                    await _copy_out(started, fd)
            except TimeoutError:
                say(f"time is up after {timeout_s:g} s")
                await started.signal("KILL")
            status = await started.wait()
            return explained(status.shell_code, str(status))
    finally:
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)


async def _copy_out(started: Run, fd: int) -> None:
    async for piece in started.pieces():
        await write_out(fd, piece.encode())


async def _feed(started: Run) -> None:
    with contextlib.suppress(EmbedEnvError):
        async for data in own_input():
            await started.send(data.decode("utf-8", "replace"), end="")
        await started.send_eof()
