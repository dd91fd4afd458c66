"""Holds a room's memory together, and counts what it uses, where no cgroup does it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from embedenv_jupyter.sandbox import syscalls, tree
from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.spec import Limits

INTERVAL_S = 0.1
"""How often :meth:`Watchdog.look` is due. A program fills some hundred megabytes in this time."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MEMORY = (b"RssAnon", b"RssShmem", b"VmSwap")
_SHARE_OF_MEMORY = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")
_SIGKILL = 1 << (signal.SIGKILL - 1)
_PF_EXITING = 4  # linux/sched.h
_QUICK_S = 0.001
_FRESH_S = 0.05
_NEARLY = 0.9
"""The share of the pid limit that counts as reached: the kernel tells nobody that RLIMIT_NPROC refused,
and programs that fork in vain come and go between two samples."""


@dataclass(frozen=True)
class _Process:
    """What one process uses.

    ``memory_bytes`` counts shared pages fully in each process that has them, and
    nothing of a process that is ending, which gives all back. ``thread`` is one
    by which its memory can be looked at: its first one may have ended before it.
    """

    pid: int
    parent: int
    thread: int
    started: str
    memory_bytes: int
    threads: int
    cpu_s: float


def _look_at(pid: int) -> _Process | None:
    """Read one process; ``None`` when it has ended (proc_pid_stat(5), proc_pid_status(5))."""
    try:
        fields = _stat(pid)
        thread, memory_bytes = pid, _memory_bytes(pid)
        threads = int(fields[17])
        if memory_bytes is None and threads > 1:
            thread, memory_bytes = _memory_by_any_thread(pid)
    except (OSError, ValueError):
        return None
    return _Process(
        pid=pid,
        parent=int(fields[1]),
        thread=thread,
        started=fields[19].decode(),
        memory_bytes=memory_bytes or 0,
        threads=threads,
        cpu_s=sum(map(int, fields[11:15])) / _TICKS_PER_S,  # utime, stime and those of reaped children
    )


def _stat(pid: int) -> list[bytes]:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def _memory_bytes(thread: int) -> int | None:
    """Return the memory that a thread works in, ``None`` when it has none any more, 0 when it is ending."""
    with open(f"/proc/{thread}/status", "rb") as file:
        status = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    if b"RssAnon" not in status:
        return None
    if int(status[b"SigPnd"], 16) & _SIGKILL or int(_stat(thread)[6]) & _PF_EXITING:
        return 0
    return _sum_of(status, _MEMORY)


def _memory_by_any_thread(pid: int) -> tuple[int, int | None]:
    """Return a thread that still works in the memory of its process, and what that memory is."""
    for name in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            memory_bytes = _memory_bytes(int(name))
            if memory_bytes is not None:
                return int(name), memory_bytes
    return pid, None


def _proportional_bytes(process: _Process) -> int:
    """Return memory with shared pages divided among those that share them; slow, for close cases."""
    try:
        with open(f"/proc/{process.thread}/smaps_rollup", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file.read().splitlines()[1:])
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended since
    except (OSError, ValueError):
        return process.memory_bytes
    return _sum_of(lines, _SHARE_OF_MEMORY)


def _sum_of(lines: dict[bytes, bytes], keys: Iterable[bytes]) -> int:
    return sum(int(lines[key].split()[0]) << 10 for key in keys if key in lines)


def _counted_once(processes: list[_Process]) -> list[_Process]:
    """Have memory that a process works in together with its parent counted in the parent alone.

    That is how a program starts another one (vfork(2)): until the other runs,
    what it has is the parent's, and is no more than before.
    """
    found = {process.pid: process for process in processes}

    def is_parents(process: _Process) -> bool:
        parent = found.get(process.parent)
        if parent is None or parent.memory_bytes == 0:
            return False
        return syscalls.has_same_memory(process.thread, parent.thread)

    return [replace(p, memory_bytes=0) if is_parents(p) else p for p in processes]


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
        found = map(_look_at, (self._pid, *tree.descendants(self._pid)))
        together = _counted_once([process for process in found if process is not None])
        processes = [self._own(process) for process in together]
        used = sum(process.memory_bytes for process in processes)
        limit = self._limits.memory_bytes
        kills = 0
        if limit is not None and used > limit:
            used, kills = self._reduce(processes, limit)
        self._note(processes, used, kills)

    def _own(self, process: _Process) -> _Process:
        """Leave out what the first process had when the room began."""
        if process.pid != self._pid:
            return process
        if self._inherited_bytes is None:
            self._inherited_bytes = process.memory_bytes
        return replace(process, memory_bytes=max(0, process.memory_bytes - self._inherited_bytes))

    def _reduce(self, processes: list[_Process], limit: int) -> tuple[int, int]:
        """Kill the largest programs until the rest fits; return what is left, and how many."""
        is_exact = {p: p.pid == self._pid or p.memory_bytes == 0 for p in processes}
        sizes = {p: p.memory_bytes if is_exact[p] else _proportional_bytes(p) for p in processes}
        used = sum(sizes.values())
        kills = 0
        for process in sorted(processes, key=lambda p: (p.pid == self._pid, -sizes[p])):
            if used <= limit:
                break
            if _kill(process):
                kills += 1
            used -= sizes[process]  # one that could not be ended has ended already, and its memory is free
        return used, kills

    def _note(self, processes: list[_Process], used: int, kills: int) -> None:
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


def _kill(process: _Process) -> bool:
    """Kill a process unless its number belongs to another one by now."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = _look_at(process.pid)
        if now is None or now.started != process.started:
            return False
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
