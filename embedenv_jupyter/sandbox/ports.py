"""TCP ports of a room that has no network of its own, seen from the host's side.

The supervisor's word is not enough there: it could name the port of a service of
this machine, and the gateway would connect its members to that. So what counts
is who holds the listening socket (proc(5): ``/proc/net/tcp``, ``/proc/PID/fd``).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from embedenv_jupyter.sandbox import tree
from embedenv_jupyter.sandbox.keeper import Keeper

_LISTEN = "0A"
CONNECT_TIMEOUT_S = 10.0


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


class HostPorts:
    """The ports of one room: those of its own user, or where it shares the gateway's, of its processes."""

    def __init__(self, keeper: Keeper, uid: int | None) -> None:
        self._keeper = keeper
        self._uid = uid

    async def listening(self) -> set[int]:
        """Return the ports that programs of the room listen on."""
        return await asyncio.to_thread(self._listening)

    def _listening(self) -> set[int]:
        found = list(listeners())
        if self._uid is not None:
            return {listener.port for listener in found if listener.uid == self._uid}
        supervisor = self._keeper.pid
        if supervisor is None:
            return set()
        own = sockets_of((supervisor, *tree.descendants(supervisor)))
        return {listener.port for listener in found if listener.inode in own}

    async def connect(self, port: int, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
        """Connect to a port of the room; the socket does not block.

        Raises:
            ConnectionRefusedError: no program of the room listens on it.
        """
        refused = ConnectionRefusedError(errno.ECONNREFUSED, f"nothing listens on port {port} in this room")
        if port not in await self.listening():
            raise refused
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.get_running_loop().sock_connect(connection, (address, port))
                return connection
            except ConnectionRefusedError:
                connection.close()
            except BaseException:
                connection.close()
                raise
        raise refused
