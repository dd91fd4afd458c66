"""The gateway's side of one zygote: starts it, asks it for rooms, learns of their deaths."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import channel
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.tiers import exec_keeper

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 30.0
START_TIMEOUT_S = 10.0
END_TIMEOUT_S = 5.0
_MAX_UNANSWERED = 32
"""Starts in flight: their messages and descriptors must fit the socket's buffer."""

_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/nonexistent",
    # Nothing of the gateway's user may influence a process that all rooms are copies of.
    "IPYTHONDIR": "/nonexistent",
    "JUPYTER_NO_CONFIG": "1",
    # Libraries that start threads when they are imported would make the fork unsafe.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # The debugger would warn on our standard error that it cannot see into frozen modules.
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


@dataclass(frozen=True)
class Born:
    """A room that the zygote has forked: its pid 1 as a pidfd, and how it will end."""

    pidfd: int
    exited: asyncio.Future[ExitStatus]


def _execute(configuration: dict[str, Any]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the process and tell it how to be; return it with our end of its channel."""
    ours, theirs = channel.pair()
    with theirs:
        channel.send(ours, {"op": "configure", **configuration})
        process = subprocess.Popen(
            exec_keeper.python_command("embedenv_jupyter.sandbox.zygote", str(theirs.fileno())),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/", env=_ENVIRONMENT,
            start_new_session=True, pass_fds=[theirs.fileno()],
        )  # fmt: skip
    return process, ours


class ZygoteClient:
    """One zygote process. Made by :meth:`launch`; never comes back to life."""

    def __init__(
        self, process: subprocess.Popen[bytes], control: socket.socket, on_death: Callable[[str], None]
    ) -> None:
        self._process = process
        self._control = control
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._next_id = 1
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._exits: dict[int, asyncio.Future[ExitStatus]] = {}
        self._unanswered = asyncio.Semaphore(_MAX_UNANSWERED)
        self.cause: str | None = None
        """Why it serves no more; ``None`` while it does."""
        self.user_mode = False
        control.setblocking(False)
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(control.fileno(), self._receive)
        self._loop.add_reader(self._pidfd, self._process_ended)

    @classmethod
    async def launch(
        cls, cgroup_folders: Sequence[str], on_death: Callable[[str], None], *, kernels: bool = True
    ) -> ZygoteClient:
        """Start a zygote and wait until it serves.

        ``on_death`` is called once with the cause when it ends without being asked to.

        Raises:
            SandboxUnavailableError: it does not come up here; the text says which call failed.
        """
        process, ours = _execute({"kernels": kernels, "cgroups": list(cgroup_folders)})
        client = cls(process, ours, on_death)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await client._ready
        except BaseException as exc:
            await client.aclose()
            if isinstance(exc, TimeoutError):
                raise SandboxUnavailableError(
                    f"The zygote was not ready within {READY_TIMEOUT_S:g} s."
                ) from None
            raise
        return client

    @property
    def pid(self) -> int:
        """The pid of the process that we started: the guard, whose only child is the zygote."""
        return self._process.pid

    async def start(self, connection: int, report: int, cgroup_folders: Sequence[str]) -> Born:
        """Have a room forked that will serve on ``connection``; both descriptors stay the caller's.

        When this is cancelled the room may yet come to life: close the other end of its connection.

        Raises:
            SandboxUnavailableError: the zygote is dead, or cannot fork.
        """
        async with self._unanswered:
            if self.cause is not None:
                raise SandboxUnavailableError(f"The zygote has ended: {self.cause}.")
            number = self._next_id
            self._next_id += 1
            answer: asyncio.Future[int] = self._loop.create_future()
            exited: asyncio.Future[ExitStatus] = self._loop.create_future()
            self._answers[number] = answer
            self._exits[number] = exited
            message = {"op": "start", "id": number, "cgroups": list(cgroup_folders)}
            try:
                channel.send(self._control, message, [connection, report])
                async with asyncio.timeout(START_TIMEOUT_S):
                    return Born(await answer, exited)
            except (OSError, TimeoutError) as exc:
                raise SandboxUnavailableError(f"The zygote does not answer: {exc}") from exc
            finally:
                self._answers.pop(number, None)

    def _receive(self) -> None:
        while True:
            try:
                received = channel.receive(self._control)
            except BlockingIOError:
                return
            except (OSError, channel.ChannelError) as exc:
                log.warning("the zygote broke its channel: %s", exc)
                received = None
            if received is None:
                self._lost("its channel has ended")
                return
            self._dispatch(*received)

    def _dispatch(self, message: dict[str, Any], fds: list[int]) -> None:
        number = message.get("id", 0)
        match message.get("event"):
            case None:
                self._answer(number, message.get("error"), fds)
            case "exit":
                exited = self._exits.pop(number, None)
                if exited is not None and not exited.done():
                    exited.set_result(ExitStatus.from_returncode(message["status"]))
            case "ready":
                self.user_mode = bool(message["user_mode"])
                if not self._ready.done():
                    self._ready.set_result(None)
            case "failed":
                if not self._ready.done():
                    self._ready.set_exception(SandboxUnavailableError(str(message["detail"])))
        for fd in fds:
            os.close(fd)

    def _answer(self, number: int, error: dict[str, Any] | None, fds: list[int]) -> None:
        answer = self._answers.pop(number, None)
        if error is not None:
            self._exits.pop(number, None)
        if answer is None or answer.done():
            return
        if error is not None:
            answer.set_exception(SandboxUnavailableError(f"No room could be forked: {error['detail']}"))
        else:
            answer.set_result(fds.pop())

    def _process_ended(self) -> None:
        if self._process.poll() is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set()
        self._lost(str(ExitStatus.from_returncode(self._process.returncode)))

    def _lost(self, cause: str, *, expected: bool = False) -> None:
        """Note the end; rooms that it had are dead or dying, their pidfds say when."""
        if self.cause is not None:
            return
        self.cause = cause
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        gone = SandboxUnavailableError(f"The zygote has ended: {cause}.")
        for future in (self._ready, *self._answers.values()):
            if not future.done():
                future.set_exception(gone)
                future.exception()  # retrieved: nobody has to wait for it
        if not expected:
            log.error("the zygote %d has ended: %s; its rooms end with it", self.pid, cause)
            self._on_death(cause)

    async def aclose(self) -> None:
        """End the zygote, and with it all its rooms; idempotent."""
        self._lost("closed", expected=True)
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await self._ended.wait()
        except TimeoutError:
            log.warning("the zygote %d did not end by itself, killing it", self.pid)
            self._process.kill()
            await self._ended.wait()
