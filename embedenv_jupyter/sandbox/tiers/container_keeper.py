"""What the container tiers hold on the host's side for one room."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from embedenv_jupyter.sandbox import cgroups
from embedenv_jupyter.sandbox.cgroups import Group, GroupV1, GroupV2
from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.tiers.engine import Engine, EngineError
from embedenv_jupyter.sandbox.tiers.exec_keeper import Release

STOP_TIMEOUT_S = 20.0

Own = Callable[[Coroutine[Any, Any, None]], None]


class ContainerKeeper:
    """One container, by name (see :class:`..Keeper`). ``own`` takes over work that nobody waits for.

    Where the engine's processes have pids here, the end is learned from a pidfd;
    else the engine is asked to wait for it.
    """

    def __init__(self, engine: Engine, container: str, own: Own) -> None:
        self.container = container
        self.host_pid: int | None = None
        self.releases: list[Release] = []
        self._engine = engine
        self._own = own
        self._loop = asyncio.get_running_loop()
        self._pidfd = -1
        self._exited: asyncio.Future[ExitStatus] = self._loop.create_future()
        self._group: Group | None = None
        self._last = Counters()
        self._is_paused = False
        self._is_released = False

    def attach(self, pid: int) -> None:
        """Hold the container's first process, whose pid the engine has said."""
        if pid <= 0:
            raise EngineError("the supervisor ended at once")
        try:
            self._pidfd = os.pidfd_open(pid)
            self._group = _group_of(pid)
        except OSError:
            # The engine lives in another pid namespace or machine, so the number means nothing here.
            self._own(self._wait())
            return
        self.host_pid = pid
        self._loop.add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._own(self._wait())

    async def _wait(self) -> None:
        """Learn from the engine how the container has ended, or wait with it for that."""
        code = 137
        with contextlib.suppress(EngineError, ValueError):
            timeout_s = STOP_TIMEOUT_S if self.host_pid is not None else None
            code = int(await self._engine.run("wait", self.container, timeout_s=timeout_s))
        if not self._exited.done():
            self._exited.set_result(ExitStatus.from_returncode(128 - code if code > 128 else code))

    @property
    def pid(self) -> int | None:
        return self.host_pid

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._exited)  # any number of callers wait for the one end

    def kill(self) -> None:
        if self._pidfd >= 0 and not self._is_paused:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                return
            except ProcessLookupError:
                return
            except PermissionError:
                pass  # a daemon of root's runs it; that one may
        self._own(self._force("rm", "--force"))

    async def _force(self, *words: str) -> None:
        with contextlib.suppress(EngineError):
            await self._engine.run(*words, self.container)

    async def pause(self) -> bool:
        return await self._change("pause", paused=True)

    async def resume(self) -> bool:
        # The gateway also resumes before it closes: most rooms are not paused, and asking costs a process.
        return not self._is_paused or await self._change("unpause", paused=False)

    async def _change(self, word: str, *, paused: bool) -> bool:
        try:
            await self._engine.run(word, self.container)
        except EngineError:
            return False
        self._is_paused = paused
        return True

    def counters(self) -> Counters:
        if self._group is not None:
            self._last = self._group.counters()
        return self._last

    async def discard(self) -> None:
        """Remove a container that was never handed out, if it was made at all."""
        await self._force("rm", "--force")
        if not self._exited.done():
            self._exited.set_result(ExitStatus(signal=signal.SIGKILL))
        await self.release()

    async def release(self) -> None:
        if self._is_released:
            return
        self._is_released = True
        self._group = None
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        await self._force("rm", "--force")
        for release in self.releases:
            await release()


def _group_of(pid: int) -> Group | None:
    """Find the cgroup that the engine has made, to read its counters."""
    with open(f"/proc/{pid}/cgroup") as own, open("/proc/self/mountinfo") as mounts:
        found = cgroups.places(own.read(), mounts.read())
    if found.v2 is not None and os.path.exists(f"{found.v2}/memory.current"):
        return GroupV2((found.v2,), frozenset())
    return GroupV1((), dict(found.v1)) if found.v1 else None
