"""Short programs of the host, run to their end.

Not :mod:`asyncio.subprocess`: a task that is cancelled while that starts a program
can wait for ever in Python 3.11. Here the end is learned from a pidfd, and what is
printed goes to files in memory, so there is nothing that could be left open.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from embedenv_jupyter.deadlines import deadline

MAX_OUTPUT_BYTES = 1 << 20


@dataclass(frozen=True)
class Finished:
    """How a program ended; ``code`` as in :mod:`subprocess`, negative for a signal."""

    code: int
    output: str
    complaint: str


async def run_command(argv: Sequence[str], timeout_s: float | None = 60.0) -> Finished:
    """Run a program without input. When this is cancelled or takes too long, the program is killed.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it did not end in time.
    """
    with ExitStack() as files:
        output, complaint = (_memory_file(files, name) for name in ("output", "complaint"))
        process = _start(argv, output, complaint)
        try:
            async with deadline(timeout_s):
                await _ended(process)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        return Finished(process.returncode, _content(output), _content(complaint))


def _memory_file(files: ExitStack, name: str) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    files.callback(os.close, fd)
    return fd


def _start(argv: Sequence[str], output: int, complaint: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=complaint, cwd="/")


async def _ended(process: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    pidfd = os.pidfd_open(process.pid)
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _content(fd: int) -> str:
    return os.pread(fd, MAX_OUTPUT_BYTES, 0).decode(errors="replace").strip()
