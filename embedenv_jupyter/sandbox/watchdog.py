"""Holds a room's memory together, and counts what it uses, where no cgroup does it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from embedenv_jupyter.sandbox import procfs
from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.procfs import Family, Process
from embedenv_jupyter.sandbox.spec import Limits

INTERVAL_S = 0.1
"""How often :meth:`Watchdog.look` is due. A program fills some hundred megabytes in this time."""

_QUICK_S = 0.001
_FRESH_S = 0.05
_NEARLY = 0.9
"""The share of the pid limit that counts as reached: the kernel tells nobody that RLIMIT_NPROC refused,
and programs that fork in vain come and go between two samples."""


class Watchdog:
    """Samples one room from /proc, and keeps its memory under the limit by ending programs.

    ``pid`` is the host's number of the process that all others of the room stem
    from; that one is ended last. What it has at the first look is not counted, as
    it shares nearly all of that with the zygote and cannot give it back; nor is
    what programs keep in a tmpfs: its size bounds it.
    """

    def __init__(self, pid: int, limits: Limits) -> None:
        self._pid = pid
        self._limits = limits
        self._inherited_bytes: int | None = None
        self._counters = Counters()
        self._at_pid_limit = False
        self._looked_s = 0.0
        self._took_s = 0.0
        self._looking = threading.Lock()

    def counters(self) -> Counters:
        """Return a fresh sample if that is quick, else the last that :meth:`look` took; never blocks."""
        if self._took_s < _QUICK_S and time.monotonic() - self._looked_s > _FRESH_S:
            self.look()
        return self._counters

    def look(self) -> None:
        """Sample, and enforce the memory limit; may take some milliseconds, so not in the loop's thread."""
        if not self._looking.acquire(blocking=False):
            return  # another thread is at it
        try:
            began_s = time.monotonic()
            self._look()
            self._looked_s = time.monotonic()
            self._took_s = self._looked_s - began_s
        finally:
            self._looking.release()

    def _look(self) -> None:
        first = procfs.look_at(self._pid)
        processes = [*filter(None, [first]), *procfs.look_below(self._pid)]
        families = [self._own(family) for family in procfs.families(processes)]
        used = sum(family.memory_bytes for family in families)
        limit = self._limits.memory_bytes
        kills = 0
        if limit is not None and used > limit:
            used, kills = self._reduce(families, limit)
        self._note(processes, used, kills)

    def _is_first(self, family: Family) -> bool:
        return family.processes[0].pid == self._pid

    def _own(self, family: Family) -> Family:
        """Leave out what the first process had when the room began."""
        if not self._is_first(family):
            return family
        if self._inherited_bytes is None:
            self._inherited_bytes = family.memory_bytes
        return replace(family, memory_bytes=max(0, family.memory_bytes - self._inherited_bytes))

    def _reduce(self, families: list[Family], limit: int) -> tuple[int, int]:
        """End the largest programs until the rest fits; return what is left, and how many were ended."""
        sizes = {f: f.memory_bytes if self._is_first(f) else procfs.proportional_bytes(f) for f in families}
        used = sum(sizes.values())
        kills = 0
        for family in sorted(families, key=lambda f: (self._is_first(f), -sizes[f])):
            if used <= limit:
                break
            kills += procfs.kill(family, self._pid)
            used -= sizes[family]  # what could not be ended has ended already, or is seen at the next look
        return used, kills

    def _note(self, processes: list[Process], used: int, kills: int) -> None:
        last = self._counters
        threads = sum(process.threads for process in processes)
        at_limit = self._limits.pids is not None and threads >= _NEARLY * self._limits.pids
        refused = at_limit and not self._at_pid_limit
        self._at_pid_limit = at_limit
        self._counters = Counters(
            cpu_s=max(last.cpu_s or 0.0, sum(process.cpu_s for process in processes)),
            memory_bytes=used,
            memory_peak_bytes=max(last.memory_peak_bytes or 0, used),
            pids=threads,
            oom_kills=last.oom_kills + kills,
            pid_refusals=last.pid_refusals + refused,
        )
