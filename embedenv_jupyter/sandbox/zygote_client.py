"""The gateway's side of one zygote: starts it, asks it for rooms, learns of their deaths."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import channel, stand
from embedenv_jupyter.sandbox.image import PACKAGE, Tree
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.tiers import exec_keeper

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 30.0
END_TIMEOUT_S = 5.0
MAX_UNANSWERED = 32
"""Rooms asked for at the same time: their messages and descriptors must fit the socket's buffer."""

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


class Birth:
    """A room that the zygote was asked for.

    ``forked`` becomes the pidfd of its pid 1, which is then the waiter's to close;
    ``exited`` becomes its exit status, also when it was never born.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.forked: asyncio.Future[int] = loop.create_future()
        self.exited: asyncio.Future[ExitStatus] = loop.create_future()

    def fail(self, reason: Exception) -> None:
        """Note that it was not born, or that nobody will tell."""
        if not self.forked.done():
            self.forked.set_exception(reason)
            self.forked.exception()  # retrieved: nobody has to wait for it
        self.end(ExitStatus(signal=signal.SIGKILL))

    def abandon(self) -> None:
        """Note that nobody waits for the fork any more; a pidfd that has arrived all the same is closed."""
        if not self.forked.cancel() and not self.forked.cancelled() and self.forked.exception() is None:
            os.close(self.forked.result())

    def end(self, status: ExitStatus) -> None:
        """Note how it ended; the first word counts."""
        if not self.exited.done():
            self.exited.set_result(status)


def _execute(
    configuration: dict[str, Any], tree: Tree | None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start the process and tell it how to be; return it with our end of its channel."""
    ours, theirs = channel.pair()
    with ExitStack() as kept, theirs:
        kept.enter_context(ours)
        channel.send(ours, {"op": "configure", **configuration})
        process = subprocess.Popen(
            _command(theirs.fileno(), tree, user_mode=configuration["user_mode"]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/", env=_ENVIRONMENT,
            start_new_session=True, pass_fds=[theirs.fileno()],
        )  # fmt: skip
        kept.pop_all()
    return process, ours


def _command(control: int, tree: Tree | None, *, user_mode: bool) -> list[str]:
    """Return the command of a zygote: with our own Python, or on an image with the image's."""
    module, number = "embedenv_jupyter.sandbox.zygote", str(control)
    if tree is None:
        return exec_keeper.python_command(module, number)
    command = exec_keeper.python_command(module, number, interpreter=tree.python, package_root=PACKAGE)
    told = {"tree": tree.path, "user_mode": user_mode, "control": control, "command": command}
    return exec_keeper.python_command("embedenv_jupyter.sandbox.stand", json.dumps(told))


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
        self._settled: asyncio.Future[bool] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._next_id = 1
        self._births: dict[int, Birth] = {}
        self._heard_s = self._loop.time()
        self.cause: str | None = None
        """Why it serves no more; ``None`` while it does."""
        control.setblocking(False)
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:
            control.close()
            exec_keeper.end_unheld(process)
            raise
        self._loop.add_reader(control.fileno(), self._receive)
        self._loop.add_reader(self._pidfd, self._process_ended)

    @classmethod
    async def launch(
        cls,
        on_death: Callable[[str], None],
        *,
        user_mode: bool,
        cgroup_folders: Sequence[str] = (),
        layers: Sequence[str] = (),
        kernels: bool = True,
        tree: Tree | None = None,
    ) -> ZygoteClient:
        """Start a zygote and wait until it serves.

        ``on_death`` is called once with the cause when it ends without being asked
        to. ``user_mode`` is for gateways that have no user ids to give to rooms (see
        :mod:`embedenv_jupyter.sandbox.namespaces`). ``cgroup_folders`` hold the
        groups of its rooms; ``layers`` is what its rooms will be confined by. It stands on ``tree``, else on
        the host.

        Raises:
            SandboxUnavailableError: it does not come up here; the text says which call failed.
        """
        configuration = {
            "user_mode": user_mode, "kernels": kernels,
            "cgroups": list(cgroup_folders), "layers": list(layers),
            "host_tree": "" if tree is None else stand.HOST_TREE,
        }  # fmt: skip
        try:
            process, ours = _execute(configuration, tree)
            client = cls(process, ours, on_death)
        except OSError as exc:
            raise SandboxUnavailableError(f"The zygote could not be started: {exc.strerror or exc}.") from exc
        try:
            async with deadline(READY_TIMEOUT_S):
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

    @property
    def is_settled(self) -> bool:
        """Whether it has learned all that it will, or ended."""
        return self._settled.done()

    async def settled(self) -> bool:
        """Wait until it has learned all that it will; ``False`` when it ended before."""
        return await asyncio.shield(self._settled)

    def ask(self, connection: int, report: int, cgroup_folders: Sequence[str]) -> Birth:
        """Ask for a room that will serve on ``connection``; both descriptors stay the caller's.

        Who no longer wants the room closes the other end of its connection, and
        it ends by itself. Not more than ``MAX_UNANSWERED`` may be waited for.

        Raises:
            SandboxUnavailableError: the zygote is dead.
        """
        if self.cause is not None:
            raise SandboxUnavailableError(f"The zygote has ended: {self.cause}.")
        number = self._next_id
        self._next_id += 1
        message = {"op": "start", "id": number, "cgroups": list(cgroup_folders)}
        try:
            channel.send(self._control, message, [connection, report])
        except OSError as exc:
            raise SandboxUnavailableError(f"The zygote cannot be asked: {exc.strerror}") from exc
        birth = self._births[number] = Birth(self._loop)
        return birth

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
            self._heard_s = self._loop.time()
            self._dispatch(*received)

    def _dispatch(self, message: dict[str, Any], fds: list[int]) -> None:
        match message:
            case {"event": "exit", "id": int(number), "status": int(status)}:
                if (birth := self._births.pop(number, None)) is not None:
                    birth.end(ExitStatus.from_returncode(status))
            case {"event": "ready"}:
                self._ready.set_result(None)
            case {"event": "settled"}:
                self._settled.set_result(True)
            case {"event": "failed", "detail": str(detail)}:
                self._ready.set_exception(SandboxUnavailableError(detail))
            case {"id": int(number), "error": {"detail": str(detail)}}:
                self._births.pop(number).fail(SandboxUnavailableError(f"No room could be forked: {detail}"))
            case {"id": int(number)} if not fds:  # we may open nothing more; who waits lets the room end
                self._births.pop(number).fail(SandboxUnavailableError("The room's pidfd did not arrive."))
            case {"id": int(number)}:
                forked = self._births[number].forked
                if not forked.done():  # else whoever asked was cancelled
                    forked.set_result(fds.pop())
        for fd in fds:
            os.close(fd)

    def _process_ended(self) -> None:
        if self._process.poll() is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set()
        self._lost(str(ExitStatus.from_returncode(self._process.returncode)))

    def _lost(self, cause: str, *, expected: bool = False) -> None:
        """Note the end; rooms that it had are dead or dying, and their pidfds say when."""
        if self.cause is not None:
            return
        self.cause = cause
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        gone = SandboxUnavailableError(f"The zygote has ended: {cause}.")
        if not self._ready.done():
            self._ready.set_exception(gone)
            self._ready.exception()  # retrieved: nobody has to wait for it
        if not self._settled.done():
            self._settled.set_result(False)
        unborn = [birth for birth in self._births.values() if not birth.forked.done()]
        self._births.clear()
        for birth in unborn:
            birth.fail(gone)
        if not expected:
            log.error("the zygote %d has ended: %s; its rooms end with it", self.pid, cause)
            self._on_death(cause)

    def end_if_silent(self, limit_s: float) -> None:
        """Kill a zygote that has said nothing for ``limit_s`` though it was asked: stopped, or hung.

        Its rooms end with it, and whoever needs another room gets one of another
        zygote. One that is only slow, on a busy machine, still says something.
        """
        if self.cause is None and self._loop.time() - self._heard_s >= limit_s:
            self._process.kill()  # the guard, and by its death signal the zygote, also one that is stopped
            self._lost(f"it said nothing for {limit_s:g} s")

    async def aclose(self) -> None:
        """End the zygote, and with it all its rooms; idempotent."""
        if self.cause is None:
            with contextlib.suppress(OSError):
                channel.send(self._control, {"op": "stop"})
        self._lost("closed", expected=True)
        try:
            async with deadline(END_TIMEOUT_S):
                await self._ended.wait()
        except TimeoutError:
            log.warning("the zygote %d did not end by itself, killing it", self.pid)
            self._process.kill()
            await self._ended.wait()
