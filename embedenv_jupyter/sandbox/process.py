"""A program in a sandbox, as the gateway holds it."""

from __future__ import annotations

import asyncio
import errno
import termios
from typing import Any

from embedenv_jupyter.errors import SandboxRequestError
from embedenv_jupyter.sandbox.received import Accepts, check, close_all, is_pipe
from embedenv_jupyter.sandbox.requests import Requests
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.streams import ByteSink, ByteSource


class Process:
    """A program in a sandbox. ``terminal`` is set for one on a terminal, else the pipes are."""

    def __init__(self, requests: Requests, job: int, pid: int) -> None:
        self._requests = requests
        self._job = job
        self._ended = requests.exit_of(job)
        self.pid = pid
        self.terminal: int | None = None
        self.stdin: ByteSink | None = None
        self.stdout: ByteSource | None = None
        self.stderr: ByteSource | None = None

    @classmethod
    def started(
        cls,
        requests: Requests,
        answer: dict[str, Any],
        fds: list[int],
        count: int,
        accepts: Accepts,
        kind: str,
    ) -> Process:
        """Return the program that an answer tells of, which brings ``count`` descriptors of a ``kind``.

        Raises:
            SandboxRequestError: it tells of none, or brings others; all of them are closed.
        """
        check(fds, count, accepts, kind)
        match answer:
            case {"job": int(job), "pid": int(pid)}:
                return cls(requests, job, pid)
        close_all(fds)
        raise SandboxRequestError("receive", errno.EPROTO, detail="the sandbox named no job")

    @classmethod
    def piped(cls, requests: Requests, answer: dict[str, Any], fds: list[int], *, side: int = 0) -> Process:
        """Return a program on three pipes, and ``side`` more for the caller; raises as :meth:`started`."""
        process = cls.started(requests, answer, fds, 3 + side, is_pipe, "pipe")
        process.stdin, process.stdout, process.stderr = (
            ByteSink(fds[0]), ByteSource(fds[1]), ByteSource(fds[2]),
        )  # fmt: skip
        return process

    @property
    def status(self) -> ExitStatus | None:
        """How it ended, or ``None`` while it runs."""
        if not self._ended.done() or self._ended.cancelled():
            return None
        return None if self._ended.exception() else self._ended.result()

    async def wait(self) -> ExitStatus:
        """Wait for the end of the program.

        Raises:
            SandboxGoneError: the sandbox ended first.
        """
        return await asyncio.shield(self._ended)

    async def signal(self, signum: int, target: str = "group") -> None:
        """Signal its ``process``, ``group`` or ``session``, or what its terminal has in the ``foreground``.

        Raises:
            ProcessLookupError: nothing of it is left.
        """
        try:
            await self._requests.request("signal", job=self._job, signal=int(signum), target=target)
        except SandboxRequestError as exc:
            if exc.errno == errno.ESRCH:
                raise ProcessLookupError(exc.errno, str(exc)) from exc
            raise

    async def awaiting_input(self) -> bool | None:
        """Tell whether it waits for input on its terminal; ``None`` when the tier cannot see."""
        answer, _ = await self._requests.request("awaiting_input", job=self._job)
        value = answer.get("awaiting")
        return value if isinstance(value, bool) else None

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size in characters."""
        if self.terminal is not None:
            termios.tcsetwinsize(self.terminal, (rows, columns))

    def close(self) -> None:
        """Close the gateway's ends; the program itself lives on. Idempotent."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.terminal = None
