"""The process behind a kernel: forked in the room, interrupted, ended, and asked what it died of."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxError
from embedenv_jupyter.kernels.channels import Channel, Signer
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.sandbox.forked_kernel import ForkedKernel
from embedenv_jupyter.sandbox.magic_stubs import LANGUAGES_VARIABLE
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, ExitStatus

PACKAGES: Final = ".local/lib/packages"
"""Where `!pip install` puts what it gets: the interpreter's own folders are read-only in a room."""

KILL_STEPS: Final = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
"""How a kernel is ended that does not end when it is asked to: the signal, and how many seconds it has."""


@dataclass(frozen=True)
class Death:
    """How a kernel ended, and the sentence that says so to people."""

    status: ExitStatus
    cause: str
    text: str


class KernelProcess:
    """One kernel process of a room, from its fork to its end."""

    def __init__(self, sandbox: Sandbox, forked: ForkedKernel, key: str) -> None:
        self._sandbox = sandbox
        self._forked = forked
        self._oom_kills_before = sandbox.keeper.counters().oom_kills
        self.signer = Signer(key)
        self.is_silent = False
        """True once it did not answer who wanted to connect."""
        self.stood_ready = False
        """Whether it was forked before anybody asked for it."""
        self.fault = ""
        """What it did for which the gateway ended it."""

    @classmethod
    async def start(cls, sandbox: Sandbox, *, cwd: str | None, env: Mapping[str, str]) -> KernelProcess:
        """Fork a kernel, or take the one that stands ready in the sandbox.

        Raises:
            SandboxError: it did not start; the text has its last words.
        """
        if not cwd and not env and (ready := sandbox.take_ready_kernel()) is not None:
            process = cls(sandbox, *ready)
            process.stood_ready = True
            return process
        return cls(sandbox, *await fork(sandbox, cwd=cwd, env=env))

    async def connect(self, name: str, socket_type: str, identity: bytes = b"") -> Channel:
        """Connect to one of the kernel's channels.

        Raises:
            SandboxError: the room has no such socket.
            OSError: nobody listens there.
        """
        fd = self._forked.open_socket(name)
        try:
            return await Channel.connect(fd, socket_type, identity)
        finally:
            os.close(fd)

    async def signal(self, signum: int) -> None:
        """Signal the kernel and what it has started; one that is gone is no error."""
        with contextlib.suppress(ProcessLookupError, SandboxError):
            await self._forked.signal(signum)

    async def wait(self) -> ExitStatus:
        """Wait for the end of the process; one whose sandbox is gone was killed with it."""
        try:
            return await self._forked.wait()
        except SandboxError:
            return ExitStatus(signal=signal.SIGKILL)

    async def end(self, grace_s: float) -> None:
        """Give the process ``grace_s`` seconds to end by itself, then TERM, then KILL."""
        if await self.ends_within(grace_s):
            return
        for signum, seconds in KILL_STEPS:
            await self.signal(signum)
            if await self.ends_within(seconds):
                return

    async def ends_within(self, seconds: float) -> bool:
        """Wait for the end of the process, but not longer than this; true when it has ended."""
        try:
            async with deadline(seconds):
                await self.wait()
        except TimeoutError:
            return False
        return True

    async def death(self) -> Death:
        """Say what the process died of; it has ended."""
        status = await self.wait()
        await self._sandbox.look_at_limits()
        oom_kills = self._sandbox.keeper.counters().oom_kills
        if status.signal == signal.SIGKILL and oom_kills > self._oom_kills_before:
            memory = (self._sandbox.spec.limits.memory_bytes or 0) // MIB
            text = (
                f"The kernel was ended because the room ran out of memory (its limit is {memory} MiB). "
                "Use less at a time, or open a room with more memory."
            )
            return Death(status, "oom", text)
        if self.fault and self._sandbox.is_alive:
            return Death(status, "fault", f"The kernel was ended: {self.fault}.")
        if not self._sandbox.is_alive:
            return Death(status, "room-ended", f"The room has ended: {self._sandbox.cause}.")
        if status.signal is not None:
            return Death(status, "signal", f"The kernel was ended by the {status}.")
        words = f" Its last words: {self._forked.last_words}" if self._forked.last_words else ""
        return Death(status, "exit", f"The kernel ended by itself with the {status}.{words}")

    def close(self) -> None:
        """Let go of the process; idempotent."""
        self._forked.close()


async def fork(
    sandbox: Sandbox, *, cwd: str | None = None, env: Mapping[str, str] | None = None
) -> tuple[ForkedKernel, str]:
    """Fork a kernel under a new name; return it and the key that signs its messages."""
    key = secrets.token_hex(16)
    name = f"k{secrets.token_hex(6)}"
    environment = {**environment_of(sandbox.home), **(env or {})}
    return await sandbox.fork_kernel(name, key, cwd=cwd, env=environment), key


def environment_of(home: str) -> dict[str, str]:
    """Return what a kernel's environment has beside that of all programs in the room."""
    packages = f"{home}/{PACKAGES}"
    return {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # figures are shown in the notebook
        "PIP_TARGET": packages,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPATH": packages,
        LANGUAGES_VARIABLE: " ".join(language.id for language in Languages.shipped()),
    }
