"""Trees that a room leaves: of processes, where no pid namespace holds them together, and of files.

A descendant that loses its parent becomes the child of the nearest subreaper
(prctl(2), ``PR_SET_CHILD_SUBREAPER``), so nothing gets out of a tree whose root
is one.

Standard library only: part of the supervisor.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

REMOVE = ("/bin/sh", "-c", 'rm -rf -- "$1" 2>/dev/null || { chmod -R u+rwx -- "$1"; rm -rf -- "$1"; }', "sh")
"""The command that removes a tree of files. rm(1) follows no link and knows no depth that is too deep,
but stops at a folder that its owner has closed."""

MAX_PASSES = 200
"""How often a tree is walked for processes that were forked meanwhile."""


def children(pid: int) -> list[int]:
    """Return the children that any thread of a process has, zombies too (proc_pid_task(5))."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found  # it has ended
    for thread in threads:
        with contextlib.suppress(OSError):  # this one ended while we looked; others may have children
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
    return found


def descendants(pid: int) -> Iterator[int]:
    """Yield what stands below a process, parents before their children."""
    waiting = children(pid)
    while waiting:
        found = waiting.pop()
        yield found
        waiting += children(found)


def signal_descendants(pid: int, signum: int) -> None:
    """Signal what stands below a process; with SIGSTOP and SIGKILL nothing forks its way out."""
    if signum not in (signal.SIGSTOP, signal.SIGKILL):
        _signal_once(descendants(pid), signum)
        return
    stopped: set[int] = set()
    for _ in range(MAX_PASSES):
        fresh = _signal_once((found for found in descendants(pid) if found not in stopped), signal.SIGSTOP)
        if not fresh:
            break
        stopped |= fresh
    if signum == signal.SIGKILL:
        _signal_once(iter(stopped), signal.SIGKILL)


def _signal_once(pids: Iterator[int], signum: int) -> set[int]:
    """Signal each one; return those that were signalled."""
    reached: set[int] = set()
    for pid in pids:
        try:
            os.kill(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue
        reached.add(pid)
    return reached
