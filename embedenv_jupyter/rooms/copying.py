"""From the workspace of one room to that of another, as a stream that nobody keeps."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import TypeVar

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxError, SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.streams import ByteSink

T = TypeVar("T")

SILENCE_S = 60.0
"""How long a room may take over the next piece of its files."""


async def packed(sandbox: Sandbox, left_out: list[str] | None = None) -> AsyncGenerator[bytes, None]:
    """Yield the workspace as a tar stream, piece by piece.

    What the room itself may not read is not in it; ``left_out`` gets a line about each, at most 100.

    Raises:
        SandboxError: what was yielded is not whole.
    """
    process = await sandbox.files.snapshot()
    assert process.stdout is not None and process.stderr is not None, "a snapshot has both"
    is_whole = False
    try:
        while data := await _within(process.stdout.read()):
            yield data
        status = await _within(process.wait())
        complaints = process.stderr.read_now() or b""
        is_whole = True
    finally:
        if not is_whole:
            with contextlib.suppress(ProcessLookupError, SandboxError):
                await process.signal(signal.SIGKILL)
        process.close()
    if status.code != 0:
        raise SandboxRequestError("snapshot", errno.EIO, detail=f"not all files could be read: {status}")
    if left_out is not None:
        left_out += complaints.decode(errors="replace").splitlines()


async def _within(waiting: Awaitable[T]) -> T:
    try:
        async with deadline(SILENCE_S):
            return await waiting
    except TimeoutError:
        raise SandboxTimeoutError("snapshot", SILENCE_S) from None


async def copy_workspace(source: Sandbox, target: Sandbox) -> tuple[str, ...]:
    """Lay the files of one room over those of another; return a line about each that could not be read.

    Raises:
        SandboxError: one of the two failed, or the files do not fit; what was copied until then stays.
    """
    left_out: list[str] = []
    reader, writer = os.pipe()
    sink = ByteSink(writer)
    feeding = asyncio.create_task(_feed(source, sink, left_out), name="copy of a workspace")
    try:
        try:
            await target.files.restore(reader)
        except SandboxError:
            if feeding.done():
                feeding.result()  # what broke off there is why it failed here
            raise
        finally:
            os.close(reader)
        await feeding
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    return tuple(left_out)


async def _feed(source: Sandbox, sink: ByteSink, left_out: list[str]) -> None:
    try:
        async with aclosing(packed(source, left_out)) as pieces:
            async for piece in pieces:
                await sink.write(piece)
    except BrokenPipeError:
        return  # who unpacks has stopped, and says why
    finally:
        sink.close()
