"""What the best tier holds on the host's side for one room."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
from collections.abc import Callable

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.sandbox.spec import ExitStatus, Limits
from embedenv_jupyter.sandbox.tiers.holdings import Holdings
from embedenv_jupyter.sandbox.uids import UidLease
from embedenv_jupyter.sandbox.watchdog import Watchdog
from embedenv_jupyter.sandbox.zygote_client import Birth

log = logging.getLogger(__name__)


class NsKeeper(Holdings):
    """One room: its pid 1 by pidfd, its cgroup and its user id (see :class:`..Keeper`)."""

    def __init__(self) -> None:
        super().__init__()
        self.lease: UidLease | None = None
        self.on_release: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._birth: Birth | None = None
        self._pidfd = -1
        self._pid: int | None = None

    def expect(self, birth: Birth) -> None:
        """Take over the room that the zygote was asked for, whether or not it will be born."""
        self._birth = birth

    def attach(self, pidfd: int) -> None:
        """Hold the room's pid 1."""
        self._pidfd = pidfd
        self._pid = _pid_of(pidfd)

    def watch(self, limits: Limits) -> None:
        """Sample what no cgroup counts or holds."""
        if self._pid is not None:
            self.watchdog = Watchdog(self._pid, limits)

    def has_ended(self) -> bool:
        """Tell whether pid 1 is dead, also where nobody was told yet."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def on_death(self, call: Callable[[], None] | None) -> None:
        """Have something called when pid 1 has ended, or no more."""
        if call is None:
            self._loop.remove_reader(self._pidfd)
        else:
            self._loop.add_reader(self._pidfd, call)

    def orphaned(self) -> None:
        """The zygote is dead and will report nothing: learn of the room's end from its pidfd."""
        if self._pidfd >= 0 and self._birth is not None and not self._birth.exited.done():
            self.kill()
            self._loop.add_reader(self._pidfd, self._ended_unreported)

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
        self.freeze(False)  # what cgroup v1 has frozen does not die

    async def pause(self) -> bool:
        return self.freeze(True)

    async def resume(self) -> bool:
        return self.freeze(False)

    async def discard(self, timeout_s: float) -> None:
        """End and release what was never handed out as a room.

        A process that is still on its way ends by itself, as its connection is closed.
        """
        if self._birth is not None and self._pidfd < 0:
            self._birth.abandon()
        try:
            self.orphaned()
            if self._birth is not None:
                async with deadline(timeout_s):
                    await self.wait()
        except (OSError, TimeoutError) as exc:  # we can watch nothing more, or it does not end
            log.warning("the end of a process that became no room is not known: %s", exc)
        finally:
            await self.release()

    async def release(self) -> None:
        self.counters()  # while what samples it still has its process
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        await super().release()
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
