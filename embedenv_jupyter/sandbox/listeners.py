"""The TCP sockets of a network namespace that listen, and the processes that hold them (proc(5)).

Standard library only: part of the supervisor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LISTEN = "0A"
_DEBUGGER = b"debugpy/adapter"
"""Part of the command of the process that a kernel's debugger listens by."""


@dataclass(frozen=True)
class Listener:
    """One listening TCP socket of this network namespace.

    ``address`` is as :func:`socket.inet_ntop` takes it: 4 bytes, or 16 of an IPv6 socket,
    whose IPv4 addresses are mapped.
    """

    port: int
    inode: int
    uid: int
    address: bytes


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
                address, _, port = fields[1].rpartition(":")
                yield Listener(int(port, 16), int(fields[9]), int(fields[7]), _address(address))


def _address(text: str) -> bytes:
    """Decode an address, which stands there in words of four bytes, each in this machine's order."""
    words = bytes.fromhex(text)
    return b"".join(
        int.from_bytes(words[at : at + 4], "big").to_bytes(4, sys.byteorder) for at in range(0, len(words), 4)
    )


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
