"""The processes of a kernel, one after another: how each is started, reached, watched and ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from embedenv_jupyter.errors import EmbedEnvError, RemoteProtocolError, SandboxError, SandboxRequestError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.hearing import Hearing
from embedenv_jupyter.kernels.places import Places
from embedenv_jupyter.kernels.process import KernelProcess
from embedenv_jupyter.kernels.session import KernelSession, OnReply
from embedenv_jupyter.sandbox.sandbox import Sandbox

log = logging.getLogger(__name__)

SHUTDOWN_GRACE_S: Final = 3.0

OnEnd = Callable[[KernelProcess], Awaitable[None]]
"""What is told of the end of a process that nobody ended."""


class KernelProcesses:
    """Holds at most one process, and the sockets that lead to it; the kernel says when there is another."""

    def __init__(
        self,
        kernel_id: str,
        sandbox: Sandbox,
        places: Places,
        hearing: Hearing,
        *,
        on_reply: OnReply,
        on_end: OnEnd,
    ) -> None:
        self.current: KernelProcess | None = None
        self._kernel_id = kernel_id
        self._sandbox = sandbox
        self._places = places
        self._hearing = hearing
        self._on_reply = on_reply
        self._on_end = on_end
        self._cwd: str | None = None
        self._env: Mapping[str, str] = {}
        self._watcher: asyncio.Task[None] | None = None

    def configure(self, cwd: str | None, env: Mapping[str, str]) -> None:
        """Say where each process starts, and in which environment."""
        self._cwd, self._env = cwd, env

    async def launch(self) -> None:
        """Start a process, connect everybody to it, and watch for its end.

        Raises:
            SandboxError: it did not start, or cannot be reached; the text says why.
        """
        process = self.current = await self._reached()
        self._watcher = asyncio.create_task(self._watch(process), name=f"end of kernel {self._kernel_id}")

    async def _reached(self) -> KernelProcess:
        """Start a process and connect to it; one that stood ready may be broken, and another is started."""
        while True:
            process = await KernelProcess.start(self._sandbox, cwd=self._cwd, env=self._env)
            try:
                await self._attach(process)
            except BaseException as exc:
                await process.end(0)
                await self.detach()
                process.close()
                if not isinstance(exc, (OSError, RemoteProtocolError, SandboxRequestError)):
                    raise
                if not process.stood_ready:
                    raise SandboxError(
                        f"The kernel cannot be reached: {str(exc) or type(exc).__name__}"
                    ) from exc
                log.warning(
                    "the kernel that stood ready in room %s is broken: %r", self._sandbox.spec.id, exc
                )
            else:
                return process

    async def _attach(self, process: KernelProcess) -> None:
        """Connect to a new process, for everybody and for each client."""
        await self._hearing.begin(process)
        for session in self._places.by_id.values():
            await session.connect(process, self._on_reply)

    async def _watch(self, process: KernelProcess) -> None:
        await process.wait()
        await self._on_end(process)

    async def connect(self, session: KernelSession) -> None:
        """Connect one more client, where there is a process that takes one."""
        if self.current is None or self.current.is_silent:
            return
        try:
            await session.connect(self.current, self._on_reply)
        except (OSError, SandboxError, RemoteProtocolError) as exc:
            # It hangs, or is being broken from inside. The client can look on, and restart it.
            log.warning(
                "kernel %s of room %s took no client: %r", self._kernel_id, self._sandbox.spec.id, exc
            )
            self.current.is_silent = True

    async def interrupt(self) -> None:
        """Send SIGINT to the process and what its cell has started."""
        if self.current is not None:
            await self.current.signal(signal.SIGINT)

    async def end(self) -> None:
        """Ask the process to end, then end it; idempotent. Nobody is told of its end."""
        process = self.current
        if process is None:
            return
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
        await process.signal(signal.SIGINT)  # a cell that runs would keep it from hearing the request
        for session in list(self._places.by_id.values())[:1]:
            with contextlib.suppress(EmbedEnvError):
                request = messages.make("control", "shutdown_request", {"restart": False})
                await session.send("control", request.parts)
        await process.end(SHUTDOWN_GRACE_S if self._places.by_id else 0)
        await self.detach()
        if watcher is not None:
            await asyncio.gather(watcher, return_exceptions=True)

    async def detach(self) -> None:
        """Let go of the process and of all sockets that lead to it; what it said is in the log."""
        process, self.current = self.current, None
        await self._hearing.end()
        for session in self._places.by_id.values():
            await session.disconnect()
        if process is not None:
            process.close()

    async def aclose(self) -> None:
        """Watch no more; idempotent."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
