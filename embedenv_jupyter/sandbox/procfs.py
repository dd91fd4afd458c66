"""What the processes of a room use, read from /proc, where no cgroup counts it.

The kernel tells of a process's memory by any thread that works in it, and by none that has ended:
not by the first one either. Programs that want to use memory unseen know that. The files
are described in proc_pid_stat(5) and proc_pid_status(5).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from embedenv_jupyter.sandbox import syscalls, tree

_MEMORY = (b"RssAnon", b"RssShmem", b"VmSwap")
_SHARE_OF_MEMORY = (b"Pss_Anon", b"Pss_Shmem", b"SwapPss")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SIGKILL = 1 << (signal.SIGKILL - 1)
_PF_EXITING = 4  # linux/sched.h
_LOOKS = 3
"""How often the threads of a process are listed before it is stopped for that."""
_ASKED = 3
"""By how many of those that work in a memory others are found: one is enough, unless it was just killed."""


@dataclass(frozen=True)
class Process:
    """What one process uses.

    ``memory_bytes`` counts shared pages fully in each process that has them, and
    nothing of a process that is ending, which gives all back. ``thread`` is one
    by which its memory can be looked at.
    """

    pid: int
    parent: int
    thread: int
    started: str
    memory_bytes: int
    threads: int
    cpu_s: float


@dataclass(frozen=True)
class Family:
    """Processes that work in the same memory, mostly one alone, and what that memory is.

    A program and the one that it just starts are a family (vfork(2)): what they have is
    no more than what the first had. It is free when none of them is left.
    """

    processes: tuple[Process, ...]
    memory_bytes: int


def look_at(pid: int) -> Process | None:
    """Read one process; ``None`` when it has ended."""
    try:
        fields = _stat(pid)
        threads = int(fields[17])
        thread, memory_bytes = pid, _memory_bytes(pid)
        if not memory_bytes and threads > 1:
            thread, memory_bytes = _memory_by_any_thread(pid)
    except (OSError, ValueError):
        return None
    return Process(
        pid=pid,
        parent=int(fields[1]),
        thread=thread,
        started=fields[19].decode(),
        memory_bytes=memory_bytes,
        threads=threads,
        cpu_s=sum(map(int, fields[11:15])) / _TICKS_PER_S,  # utime, stime and those of reaped children
    )


def _stat(pid: int) -> list[bytes]:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()


def _memory_bytes(thread: int) -> int:
    """Return the memory that a thread works in, 0 when it is ending or has ended."""
    with open(f"/proc/{thread}/status", "rb") as file:
        status = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    if int(status[b"SigPnd"], 16) & _SIGKILL or int(_stat(thread)[6]) & _PF_EXITING:
        return 0
    return _sum_of(status, _MEMORY)


def _memory_by_any_thread(pid: int) -> tuple[int, int]:
    """Return a thread of a process and the memory that it works in; a process that hides it is stopped."""
    for _ in range(_LOOKS):
        if found := _first_memory(pid):
            return found
    # Each thread that was listed had ended when it was looked at. The next one waits for us.
    with _stopped(pid):
        return _first_memory(pid) or (pid, 0)


def _first_memory(pid: int) -> tuple[int, int] | None:
    for thread in _threads(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if memory_bytes := _memory_bytes(thread):
                return thread, memory_bytes
    return None


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGSTOP)
        try:
            yield
        finally:
            signal.pidfd_send_signal(fd, signal.SIGCONT)
    finally:
        os.close(fd)


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []  # it has ended


def proportional_bytes(family: Family) -> int:
    """Return memory with shared pages divided among those that share them; slow, for close cases."""
    process = max(family.processes, key=lambda process: process.memory_bytes)
    if process.memory_bytes == 0:
        return 0
    try:
        with open(f"/proc/{process.thread}/smaps_rollup", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file.read().splitlines()[1:])
        return _sum_of(lines, _SHARE_OF_MEMORY)
    except (FileNotFoundError, ProcessLookupError):  # the thread has ended, perhaps with its process
        now = look_at(process.pid)
        return now.memory_bytes if now is not None and now.started == process.started else 0
    except (OSError, ValueError):
        return process.memory_bytes


def _sum_of(lines: dict[bytes, bytes], keys: Iterable[bytes]) -> int:
    return sum(int(lines[key].split()[0]) << 10 for key in keys if key in lines)


def families(processes: Iterable[Process]) -> list[Family]:
    """Put together the processes that work in the memory of their parents."""
    members: dict[int, list[Process]] = {}
    heads: dict[int, Process] = {}
    for process in processes:  # parents come before their children
        head = heads.get(process.parent)
        if head is None or not syscalls.has_same_memory(process.thread, head.thread):
            head = process
        heads[process.pid] = head
        members.setdefault(head.pid, []).append(process)
    return [Family(tuple(found), max(p.memory_bytes for p in found)) for found in members.values()]


def kill(family: Family, room: int) -> int:
    """Kill the processes that work in the same memory; return how many there were.

    ``room`` is the process that all others of the room stem from. Several are stopped before, so
    that what they start meanwhile is found, too; one alone is not, as a shell would tell of that.
    """
    if len(family.processes) == 1:
        return send(family.processes[0], signal.SIGKILL)
    stopped: dict[int, Process] = {}
    found = list(family.processes)
    for _ in range(tree.MAX_PASSES):
        fresh = [process for process in found if process.pid not in stopped]
        stopped.update((process.pid, process) for process in fresh if send(process, signal.SIGSTOP))
        if not fresh:
            break
        known = list(stopped.values())[-_ASKED:]
        found = [process for process in look_below(room) if _works_with_one(process, known)]
    return sum(send(process, signal.SIGKILL) for process in stopped.values())


def _works_with_one(process: Process, others: Iterable[Process]) -> bool:
    return any(syscalls.has_same_memory(process.thread, other.thread) for other in others)


def look_below(room: int) -> list[Process]:
    """Return the processes of a room but for the one that all others stem from, parents first."""
    found = map(look_at, tree.descendants(room))
    return [process for process in found if process is not None]


def send(process: Process, number: int) -> bool:
    """Signal a process unless its number belongs to another one by now; tell whether that was done."""
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        if _stat(process.pid)[19].decode() != process.started:
            return False
        signal.pidfd_send_signal(fd, number)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
