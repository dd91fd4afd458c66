"""What tiers hold for one room apart from its process: its cgroup, and the samples where that falls short."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.sandbox.cgroups import Group
from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.watchdog import Watchdog

log = logging.getLogger(__name__)

REMOVE_TIMEOUT_S = 5.0


class Holdings:
    """The cgroup and the watchdog of one room, either of which may be missing."""

    def __init__(self, group: Group | None = None, watchdog: Watchdog | None = None) -> None:
        self.group = group
        self.watchdog = watchdog
        self.may_freeze = True
        """Whether somebody would thaw the room if the gateway were killed."""
        self._last = Counters()

    def counters(self) -> Counters:
        """Sample what there is; after :meth:`release`, the last sample."""
        if self.group is not None:
            counted = self.group.counters()
            self._last = counted if self.watchdog is None else merged(counted, self.watchdog.counters())
        elif self.watchdog is not None:
            self._last = self.watchdog.counters()
        return self._last

    def freeze(self, frozen: bool) -> bool:
        """Stop or continue every process; ``False`` where there is no freezer to be used."""
        if self.group is None or not self.may_freeze:
            return False
        try:
            return self.group.freeze(frozen)
        except FileNotFoundError:
            return True  # the room is gone

    async def release(self) -> None:
        """Remove the cgroup; the room has ended. Idempotent."""
        self.counters()
        group, self.group, self.watchdog = self.group, None, None
        if group is not None:
            await remove_group(group)


def merged(counted: Counters, sampled: Counters) -> Counters:
    """Prefer what a cgroup counts; fill the rest from samples."""
    values = {
        field.name: own if (own := getattr(counted, field.name)) is not None else getattr(sampled, field.name)
        for field in dataclasses.fields(Counters)
    }
    values["oom_kills"] = counted.oom_kills + sampled.oom_kills
    values["pid_refusals"] = counted.pid_refusals if counted.pids is not None else sampled.pid_refusals
    return Counters(**values)


async def remove_group(group: Group) -> None:
    """Remove a group; the kernel may need a moment after the end of its last process."""
    delays = itertools.chain((0.001, 0.003, 0.01, 0.03), itertools.repeat(0.1))
    try:
        async with deadline(REMOVE_TIMEOUT_S):
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
