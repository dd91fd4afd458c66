"""A kernel that a supervisor has forked, as the gateway holds it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from typing import Any

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox.kernel import socket_names
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.received import close_all, is_folder, is_pipe
from embedenv_jupyter.sandbox.requests import Requests
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.streams import ByteSource

READY_TIMEOUT_S = 60.0
"""A kernel that was not imported before, in a tier without a zygote, reads some thousand files first."""

LAST_WORDS_BYTES = 4096


class ForkedKernel:
    """The process, the folder of its sockets and what it says on its standard error.

    The room owns that folder: its programs can put anything there at any time. So
    the sockets are opened once, without following a link, and used by descriptor.
    """

    def __init__(self, process: Process, folder: int, ready: ByteSource) -> None:
        self.process = process
        self._folder = folder
        self._ready = ready
        self._said = b""
        self._listening = asyncio.create_task(self._listen(), name="last words of a kernel")

    @classmethod
    def started(cls, requests: Requests, answer: dict[str, Any], fds: list[int]) -> ForkedKernel:
        """Return the kernel that an answer tells of.

        Raises:
            SandboxRequestError: it tells of none, or brings other descriptors; all of them are closed.
        """
        *pipes, folder = fds or [-1]
        if len(fds) != 3 or not is_folder(os.fstat(folder)):
            close_all(fds)
            raise SandboxRequestError("fork_kernel", errno.EPROTO, detail="the sandbox handed out no folder")
        try:
            process = Process.started(requests, answer, pipes, 2, is_pipe, "pipe")
        except BaseException:
            os.close(folder)
            raise
        process.stderr = ByteSource(pipes[0])
        return cls(process, folder, ByteSource(pipes[1]))

    @property
    def pid(self) -> int:
        """The process as the room's programs number it."""
        return self.process.pid

    async def signal(self, signum: int) -> None:
        """Signal the kernel and what it has started; raises what :meth:`Process.signal` raises."""
        await self.process.signal(signum)

    async def wait(self) -> ExitStatus:
        """Wait for the end of the kernel; raises what :meth:`Process.wait` raises."""
        return await self.process.wait()

    async def ready(self) -> None:
        """Wait until the sockets are bound.

        Raises:
            SandboxRequestError: it ended before; the text has its last words.
            SandboxTimeoutError: it takes too long.
        """
        try:
            async with deadline(READY_TIMEOUT_S):
                is_ready = await self._ready.read(1)
                if not is_ready:
                    await asyncio.wait({self._listening})
        except TimeoutError:
            raise SandboxTimeoutError("fork_kernel", READY_TIMEOUT_S) from None
        self._ready.close()
        if not is_ready:
            raise SandboxRequestError(
                "fork_kernel", errno.ECHILD, detail=self.last_words or "it ended at once"
            )
        self._said = b""  # ipykernel's advice about connection files

    @property
    def last_words(self) -> str:
        """The last line of what it wrote to its own standard error."""
        lines = self._said.decode(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""

    async def _listen(self) -> None:
        """Read its standard error to the end: it must never wait for us, and only the last words count."""
        assert self.process.stderr is not None
        while data := await self.process.stderr.read():
            self._said = (self._said + data)[-LAST_WORDS_BYTES:]

    def open_socket(self, channel: str) -> int:
        """Open the socket of a channel as an ``O_PATH`` descriptor, which is the caller's.

        Raises:
            SandboxRequestError: it is missing, or is no socket.
        """
        name = socket_names()[channel]
        try:
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError as exc:
            raise SandboxRequestError("connect", exc.errno or errno.EIO, name) from exc
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.close(fd)
            raise SandboxRequestError("connect", errno.ENOTSOCK, name, "is no socket of the kernel")
        return fd

    def close(self) -> None:
        """Let go of it; the process itself lives on. Idempotent."""
        self._listening.cancel()
        self._ready.close()
        self.process.close()
        if self._folder >= 0:
            with contextlib.suppress(OSError):
                os.close(self._folder)
            self._folder = -1
