"""A supervisor that is our own child process: how it is started, watched and ended.

The child is a guard (bwrap, or :mod:`embedenv_jupyter.sandbox.guard`) and the
supervisor is the guard's child. The guard ends after the supervisor, when
nothing of the room is left; its exit status is the supervisor's in the
convention of a shell (128 + signal).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from embedenv_jupyter.sandbox import tree
from embedenv_jupyter.sandbox.commands import run_command
from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.tiers.holdings import Holdings

log = logging.getLogger(__name__)

PACKAGE_ROOT = Path(__file__).resolve().parents[3]
"""The folder that has to be on the path of an interpreter that runs our modules."""

ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""All that a supervisor, or what guards it, inherits: its environment can be read from inside."""

_COMPLAINT_BYTES = 16 << 10
_RUN_MODULE = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)

Release = Callable[[], Awaitable[None]]


def python_command(
    module: str, *arguments: str, interpreter: str = sys.executable, package_root: str = str(PACKAGE_ROOT)
) -> list[str]:
    """Return the command that runs one of our modules in a fresh, isolated interpreter."""
    return [interpreter, "-I", "-c", _RUN_MODULE, package_root, module, *arguments]


class ExecKeeper:
    """One guard with one supervisor below it (see :class:`..Keeper`).

    ``releases`` are awaited once, in order, after the guard's end.
    """

    def __init__(self, process: subprocess.Popen[bytes], lifeline: socket.socket, complaints: int) -> None:
        self.holdings = Holdings()
        self.releases: list[Release] = []
        self._process = process
        self._lifeline = lifeline
        self._complaints = complaints
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._supervisor: int | None = None
        self._supervisor_fd = -1
        self._guard_fd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._guard_fd, self._guard_ended)

    async def heard(self) -> bytes:
        """Wait for what the guard says next on the lifeline; empty when it has closed it."""
        return await self._loop.sock_recv(self._lifeline, 4096)

    def tell(self, word: bytes) -> None:
        """Say something to the guard."""
        with contextlib.suppress(OSError):
            self._lifeline.send(word)

    def attach(self, supervisor: int) -> None:
        """Hold the supervisor, which must be the guard's child.

        Raises:
            ProcessLookupError: it is not, or it has ended.
        """
        fd = os.pidfd_open(supervisor)
        if supervisor not in tree.children(self._process.pid):
            os.close(fd)
            raise ProcessLookupError(f"{supervisor} is no child of the guard")
        self._supervisor, self._supervisor_fd = supervisor, fd

    @property
    def pid(self) -> int | None:
        return self._supervisor

    def _guard_ended(self) -> None:
        if self._process.poll() is None:
            return
        self._loop.remove_reader(self._guard_fd)
        os.close(self._guard_fd)
        self._ended.set()

    async def wait(self) -> ExitStatus:
        await self._ended.wait()
        code = self._process.returncode
        return ExitStatus.from_returncode(128 - code if code > 128 else code)

    def kill(self) -> None:
        """Kill the supervisor, and tell the guard, in case that it waits for something else."""
        self.holdings.freeze(False)  # what cgroup v1 has frozen does not die
        if self._supervisor_fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._supervisor_fd, signal.SIGKILL)
        self.tell(b"k")

    async def pause(self) -> bool:
        return self.holdings.freeze(True)

    async def resume(self) -> bool:
        return self.holdings.freeze(False)

    def counters(self) -> Counters:
        return self.holdings.counters()

    def complaint(self) -> str:
        """Return what guard and supervisor have said on their standard error."""
        if self._complaints < 0:
            return ""
        try:
            return os.read(self._complaints, _COMPLAINT_BYTES).decode(errors="replace").strip()
        except BlockingIOError:
            return ""

    async def release(self) -> None:
        if self._complaints < 0:
            return
        os.close(self._complaints)
        self._complaints = -1
        self._lifeline.close()
        if self._supervisor_fd >= 0:
            os.close(self._supervisor_fd)
            self._supervisor_fd = -1
        await self.holdings.release()
        await release_all(self.releases)


async def release_all(releases: Iterable[Release]) -> None:
    """Await each; what the host refuses to one of them keeps nobody from the others."""
    for release in releases:
        try:
            await release()
        except OSError as exc:
            log.warning("something of a room could not be released: %s", exc)


def execute(
    command: Callable[[int], Sequence[str]], pass_fds: Sequence[int], *, uid: int | None = None
) -> ExecKeeper:
    """Start a guard. ``command`` gets the number of its end of the lifeline.

    Called in the thread of the loop, which lives as long as the gateway: what
    dies with its parent dies with the parent's *thread* (prctl(2)).

    Raises:
        OSError: the program could not be started.
    """
    with ExitStack() as kept, ExitStack() as given:
        lifeline, theirs = socket.socketpair()
        kept.enter_context(lifeline)
        given.enter_context(theirs)
        lifeline.setblocking(False)
        reader, writer = os.pipe()
        kept.callback(os.close, reader)
        given.callback(os.close, writer)
        os.set_blocking(reader, False)
        process = subprocess.Popen(
            command(theirs.fileno()), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer,
            cwd="/", env=ENVIRONMENT, start_new_session=True, pass_fds=[theirs.fileno(), *pass_fds],
            user=uid, group=uid, extra_groups=None if uid is None else [],
        )  # fmt: skip
        kept.callback(end_unheld, process)
        keeper = ExecKeeper(process, lifeline, reader)
        kept.pop_all()
    return keeper


def end_unheld(process: subprocess.Popen[bytes]) -> None:
    """End a process that we have no descriptor left to hold by; it has not begun anything yet."""
    process.kill()
    process.wait()


async def remove_tree(path: str) -> None:
    """Remove a folder that a room has filled."""
    await run_command([*tree.REMOVE, path], timeout_s=None)
