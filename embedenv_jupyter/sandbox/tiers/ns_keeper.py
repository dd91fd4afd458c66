"""What the best tier holds on the host's side for one room."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import os
import signal
from collections.abc import Callable

from embedenv_jupyter.sandbox.cgroups import Group
from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.spec import ExitStatus, Limits
from embedenv_jupyter.sandbox.uids import UidLease
from embedenv_jupyter.sandbox.watchdog import Watchdog
from embedenv_jupyter.sandbox.zygote_client import Birth

log = logging.getLogger(__name__)

REMOVE_TIMEOUT_S = 5.0


class NsKeeper:
    """One room: its pid 1 by pidfd, its cgroup and its user id (see :class:`..Keeper`)."""

    def __init__(self, group: Group | None, lease: UidLease | None) -> None:
        self.group = group
        self.lease = lease
        self.watchdog: Watchdog | None = None
        self.on_release: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._birth: Birth | None = None
        self._pidfd = -1
        self._pid: int | None = None
        self._last = Counters()

    def expect(self, birth: Birth) -> None:
        """Take over the room that the zygote was asked for, whether or not it will be born."""
        self._birth = birth

    @property
    def has_birth(self) -> bool:
        """Whether there is, or may yet be, a process."""
        return self._birth is not None

    def attach(self, pidfd: int, limits: Limits, *, watched: bool) -> None:
        """Hold the room's pid 1; ``watched`` where a cgroup does not count or hold everything."""
        self._pidfd = pidfd
        self._pid = _pid_of(pidfd)
        if watched and self._pid is not None:
            self.watchdog = Watchdog(self._pid, limits)

    def orphaned(self) -> None:
        """The zygote is dead and will report nothing: learn of the room's end from its pidfd."""
        if self._pidfd >= 0 and self._birth is not None and not self._birth.exited.done():
            self._loop.add_reader(self._pidfd, self._ended_unreported)
            self.kill()

    def _ended_unreported(self) -> None:
        self._loop.remove_reader(self._pidfd)
        assert self._birth is not None
        self._birth.end(ExitStatus(signal=signal.SIGKILL))

    @property
    def pid(self) -> int | None:
        return self._pid

    async def wait(self) -> ExitStatus:
        assert self._birth is not None, "there is nothing to wait for before expect()"
        return await asyncio.shield(self._birth.exited)  # any number of callers wait for the one end

    def kill(self) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._freeze(False)  # what cgroup v1 has frozen does not die

    def _freeze(self, frozen: bool) -> bool:
        if self.group is None:
            return False
        try:
            return self.group.freeze(frozen)
        except FileNotFoundError:
            return True  # the room is gone

    async def pause(self) -> bool:
        return self._freeze(True)

    async def resume(self) -> bool:
        return self._freeze(False)

    def counters(self) -> Counters:
        if self.group is not None:
            counted = self.group.counters()
            self._last = counted if self.watchdog is None else _merged(counted, self.watchdog.counters())
        elif self.watchdog is not None:
            self._last = self.watchdog.counters()
        return self._last

    async def release(self) -> None:
        self.counters()
        group, self.group, self.watchdog = self.group, None, None
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if group is not None:
            await _remove(group)
        if self.lease is not None:
            self.lease.release()
        self.on_release()


def _pid_of(pidfd: int) -> int | None:
    """Return the pid behind a pidfd as our own pid namespace numbers it (pidfd_open(2))."""
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key == "Pid":
                return int(value) if int(value) > 0 else None
    return None


def _merged(counted: Counters, sampled: Counters) -> Counters:
    """Prefer what a cgroup counts; fill the rest from samples."""
    values = {
        field.name: own if (own := getattr(counted, field.name)) is not None else getattr(sampled, field.name)
        for field in dataclasses.fields(Counters)
    }
    values["oom_kills"] = counted.oom_kills + sampled.oom_kills
    values["pid_refusals"] = counted.pid_refusals if counted.pids is not None else sampled.pid_refusals
    return Counters(**values)


async def _remove(group: Group) -> None:
    """Remove a group; the kernel may need a moment after the end of its last process."""
    delays = itertools.chain((0.001, 0.003, 0.01, 0.03), itertools.repeat(0.1))
    try:
        async with asyncio.timeout(REMOVE_TIMEOUT_S):
            for delay_s in delays:
                if _removed(group):
                    return
                await asyncio.sleep(delay_s)
    except TimeoutError:
        log.warning("cgroups %s still hold processes and stay", ", ".join(group.folders))


def _removed(group: Group) -> bool:
    try:
        group.remove()
    except OSError:
        return False
    return True
