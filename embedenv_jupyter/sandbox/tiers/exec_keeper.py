"""A supervisor that is our own child process: how it is started, watched and ended.

The child is either the supervisor's guard (bwrap, or :mod:`..monitor`) or the
supervisor itself. Either way its end is the end of the room, its exit status is
the supervisor's in the convention of a shell (128 + signal), and the closing of
its lifeline is the order to end everything below it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from embedenv_jupyter.errors import SandboxGoneError, SandboxTimeoutError, SandboxUnavailableError
from embedenv_jupyter.sandbox import channel, tree
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.tiers import Counters

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


def python_command(module: str, *arguments: str, interpreter: str = sys.executable) -> list[str]:
    """Return the command that runs one of our modules in a fresh, isolated interpreter."""
    return [interpreter, "-I", "-c", _RUN_MODULE, str(PACKAGE_ROOT), module, *arguments]


class ExecKeeper:
    """Holds one child process on the host's side for one sandbox (see :class:`..Keeper`).

    ``release`` is awaited once, after the child's end, to remove what was made for the sandbox.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        lifeline: socket.socket,
        complaints: int,
        release: Release | None = None,
    ) -> None:
        self._process = process
        self._lifeline = lifeline
        self._complaints = complaints
        self._release = release
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._supervisor: int | None = None
        self._pidfd = os.pidfd_open(process.pid)
        self._loop.add_reader(self._pidfd, self._exited)

    @property
    def pid(self) -> int | None:
        """The supervisor's pid: the only child of its guard."""
        if self._supervisor is None and not self._ended.is_set():
            self._supervisor = next(iter(tree.children(self._process.pid)), None)
        return self._supervisor

    def _exited(self) -> None:
        if self._process.poll() is None:
            return
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set()

    async def wait(self) -> ExitStatus:
        await self._ended.wait()
        code = self._process.returncode
        return ExitStatus.from_returncode(128 - code if code > 128 else code)

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._lifeline.shutdown(socket.SHUT_RDWR)

    async def pause(self) -> bool:
        return False

    async def resume(self) -> bool:
        return False

    def counters(self) -> Counters:
        return Counters()

    def complaint(self) -> str:
        """Return what the supervisor said on its standard error before it served or when it died."""
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
        if self._release is not None:
            await self._release()


def start(
    command: Callable[[int, int], Sequence[str]],
    configuration: dict[str, object],
    release: Release | None = None,
    pass_fds: Sequence[int] = (),
) -> tuple[socket.socket, ExecKeeper]:
    """Start a child that becomes or guards a supervisor; return the gateway's end of the channel.

    ``command`` gets the numbers of the channel's and the lifeline's descriptor.
    Called in the thread of the loop, which lives as long as the gateway: what
    dies with its parent dies with the parent's *thread* (prctl(2)).

    Raises:
        OSError: the program could not be started.
    """
    ours, theirs = channel.pair()
    lifeline, their_lifeline = socket.socketpair()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    try:
        with theirs, their_lifeline:
            channel.send(ours, {"op": "configure", **configuration})
            process = subprocess.Popen(
                command(theirs.fileno(), their_lifeline.fileno()),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer, cwd="/",
                env=ENVIRONMENT, start_new_session=True,
                pass_fds=[theirs.fileno(), their_lifeline.fileno(), *pass_fds],
            )  # fmt: skip
    except BaseException:
        ours.close()
        lifeline.close()
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return ours, ExecKeeper(process, lifeline, reader, release)


async def remove_tree(path: str) -> None:
    """Remove a folder that a room has filled: rm(1) follows no link and knows no depth that is too deep."""
    removal = await asyncio.create_subprocess_exec("/bin/rm", "-rf", "--", path)
    await removal.wait()


async def served(sandbox: Sandbox, keeper: ExecKeeper) -> Sandbox:
    """Wait until a sandbox that was just started serves; end it if it does not.

    Raises:
        SandboxUnavailableError: it ended or stayed silent; the text has its last words.
    """
    try:
        await sandbox.ready()
    except BaseException as exc:
        words = keeper.complaint()
        await sandbox.aclose("did not start")
        if isinstance(exc, (SandboxGoneError, SandboxTimeoutError)):
            reason = words.splitlines()[-1] if words else str(exc)
            raise SandboxUnavailableError(f"The room's supervisor did not start: {reason}") from exc
        raise
    return sandbox
