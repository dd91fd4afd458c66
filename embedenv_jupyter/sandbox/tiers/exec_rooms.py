"""What the tiers share whose supervisors are our own child processes: starting, watching, ending."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxGoneError, SandboxTimeoutError, SandboxUnavailableError
from embedenv_jupyter.sandbox import channel
from embedenv_jupyter.sandbox.cgroups import Group
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.tiers.exec_keeper import ExecKeeper, Release, release_all
from embedenv_jupyter.sandbox.tiers.holdings import remove_group
from embedenv_jupyter.sandbox.tiers.host_limits import HostLimits
from embedenv_jupyter.sandbox.watch import Monitor
from embedenv_jupyter.sandbox.watchdog import Watchdog

PID_TIMEOUT_S = 10.0

_FAILURES = (SandboxGoneError, SandboxTimeoutError, OSError, ValueError, channel.ChannelError)

Execute = Callable[[int], ExecKeeper]
FindSupervisor = Callable[[ExecKeeper], Awaitable[int]]


class ExecRooms:
    """The rooms of one tier. A room is started by :meth:`start`; :meth:`aclose` ends all."""

    def __init__(self, limits: HostLimits) -> None:
        self.limits = limits
        self._monitor = Monitor()
        self._sandboxes: set[Sandbox] = set()
        self._cleaning: set[asyncio.Task[None]] = set()

    async def start(
        self,
        execute: Execute,
        find_supervisor: FindSupervisor,
        configuration: dict[str, Any],
        make: Callable[[socket.socket, ExecKeeper], Sandbox],
        releases: list[Release],
        group: Group | None,
    ) -> Sandbox:
        """Start one guard with its supervisor.

        ``execute`` starts the guard with the room's end of the channel,
        ``find_supervisor`` learns the supervisor's pid, ``configuration`` is the
        channel's first message. ``releases`` are awaited after the room's end, or
        here if it never begins; then ``group``, the room's cgroup, is removed too.

        Raises:
            SandboxUnavailableError: it did not come up; the text has its last words.
        """
        try:
            ours, keeper = _begin(execute)
        except BaseException as exc:
            if group is not None:
                await remove_group(group)
            await release_all(releases)
            if isinstance(exc, OSError):
                raise SandboxUnavailableError(f"The room's guard could not be started: {exc}") from exc
            raise
        keeper.holdings.group = group
        keeper.releases = [*releases, *keeper.releases]
        sandbox = make(ours, keeper)
        self._sandboxes.add(sandbox)
        keeper.releases.append(lambda: self._forget(sandbox))
        try:
            async with deadline(PID_TIMEOUT_S):
                keeper.attach(await find_supervisor(keeper))
            channel.send(ours, {"op": "configure", **configuration})
            await sandbox.ready()
        except BaseException as exc:
            self._clean(sandbox.aclose("did not start"))
            if isinstance(exc, _FAILURES):
                words = keeper.complaint().splitlines()
                reason = words[-1] if words else str(exc)
                raise SandboxUnavailableError(f"The room's supervisor did not start: {reason}") from exc
            raise
        if self.limits.watched and keeper.pid is not None:
            keeper.holdings.watchdog = Watchdog(keeper.pid, sandbox.spec.limits)
        self._monitor.add(sandbox, keeper.holdings.watchdog)
        return sandbox

    async def _forget(self, sandbox: Sandbox) -> None:
        self._monitor.remove(sandbox)
        self._sandboxes.discard(sandbox)

    def _clean(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something ended that nobody waits for now; ``aclose`` will."""
        task = asyncio.create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def aclose(self) -> None:
        """End all rooms and give up what limits them; idempotent."""
        await asyncio.gather(*(sandbox.aclose("tier closed") for sandbox in self._sandboxes), *self._cleaning)
        await self._monitor.aclose()
        self.limits.close()


def _begin(execute: Execute) -> tuple[socket.socket, ExecKeeper]:
    """Start a guard and return our end of its channel with it.

    Raises:
        OSError: we may open nothing more, or the guard could not be started.
    """
    ours, theirs = channel.pair()
    try:
        with theirs:
            return ours, execute(theirs.fileno())
    except BaseException:
        ours.close()
        raise
