"""TCP ports of a room that has no network of its own, seen from the host's side.

The supervisor's word is not enough there: it could name the port of a service of
this machine, and the gateway would connect its members to that. So what counts
is who holds the listening socket (proc(5): ``/proc/net/tcp``, ``/proc/PID/fd``).
"""

from __future__ import annotations

import asyncio
import errno
import socket

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.sandbox import tree
from embedenv_jupyter.sandbox.keeper import Keeper
from embedenv_jupyter.sandbox.listeners import debuggers, listeners, sockets_of

CONNECT_TIMEOUT_S = 10.0


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
        supervisor = self._keeper.pid
        if supervisor is None:
            return set()
        own = (supervisor, *tree.descendants(supervisor))
        if self._uid is not None:
            found = [listener for listener in found if listener.uid == self._uid]
        else:
            inodes = sockets_of(own)
            found = [listener for listener in found if listener.inode in inodes]
        hidden = sockets_of(debuggers(own)) if found else set()
        return {listener.port for listener in found if listener.inode not in hidden}

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
                async with deadline(timeout_s):
                    await asyncio.get_running_loop().sock_connect(connection, (address, port))
                return connection
            except ConnectionRefusedError:
                connection.close()
            except BaseException:
                connection.close()
                raise
        raise refused
