"""Running programs in a sandbox and reading what they print, always with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox

DEADLINE_S = 60.0

OpenSandbox = Callable[..., Coroutine[Any, Any, Sandbox]]


async def read_until(process: Process, expected: bytes) -> bytes:
    """Read a program's output until ``expected`` has come or it ends; return all that was read."""
    assert process.stdout is not None
    seen = b""
    async with asyncio.timeout(DEADLINE_S):
        while expected not in seen and (data := await process.stdout.read()):
            seen += data
    assert expected in seen, seen
    return seen


async def read_all(process: Process) -> bytes:
    """Read a program's output to its end, wait for the program, close it."""
    assert process.stdout is not None
    seen = bytearray()
    async with asyncio.timeout(DEADLINE_S):
        while data := await process.stdout.read():
            seen += data
        await process.wait()
    process.close()
    return bytes(seen)


async def output(sandbox: Sandbox, script: str) -> bytes:
    """Run a line of shell in a sandbox and return what it printed."""
    return await read_all(await sandbox.spawn(["sh", "-c", script]))
