"""The TCP sockets of a network namespace that listen, and the processes that hold them (proc(5)).

Standard library only: part of the supervisor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LISTEN = "0A"
_DEBUGGER = b"debugpy/adapter"
"""Part of the command of the process that a kernel's debugger listens by."""


@dataclass(frozen=True)
class Listener:
    """One listening TCP socket of this network namespace."""

    port: int
    inode: int
    uid: int


def listeners() -> Iterator[Listener]:
    """Read the TCP sockets that listen."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN:
                port = int(fields[1].rpartition(":")[2], 16)
                yield Listener(port, int(fields[9]), int(fields[7]))


def sockets_of(pids: Iterable[int]) -> set[int]:
    """Return the inodes of all sockets that the processes hold; what has ended holds none."""
    found: set[int] = set()
    for pid in pids:
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                found.update(_socket_inode(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
    return found


def _socket_inode(path: str) -> Iterator[int]:
    try:
        target = os.readlink(path)
    except OSError:
        return
    if target.startswith("socket:["):
        yield int(target[8:-1])


def debuggers(pids: Iterable[int]) -> Iterator[int]:
    """Yield the processes that belong to the debugger of a kernel, whose ports are of no use to people."""
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if _DEBUGGER in file.read(4096):
                    yield pid
        except OSError:
            continue


def ports_here() -> list[int]:
    """Return the ports that programs in these namespaces listen on, but for those of debuggers."""
    found = list(listeners())
    if not found:
        return []
    hidden = sockets_of(debuggers(int(name) for name in os.listdir("/proc") if name.isdecimal()))
    return sorted({listener.port for listener in found if listener.inode not in hidden})
