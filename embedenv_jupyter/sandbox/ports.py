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
from embedenv_jupyter.sandbox.listeners import Listener, debuggers, listeners, sockets_of

CONNECT_TIMEOUT_S = 10.0


_LOOPBACK = (socket.inet_pton(socket.AF_INET, "127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1"))
_EVERYWHERE = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"


class HostPorts:
    """The ports of one room: those of its own user, or where it shares the gateway's, of its processes."""

    def __init__(self, keeper: Keeper, uid: int | None) -> None:
        self._keeper = keeper
        self._uid = uid

    async def listening(self) -> set[int]:
        """Return the ports that programs of the room listen on."""
        own, _ = await asyncio.to_thread(self._listeners)
        return {listener.port for listener in own}

    def _listeners(self) -> tuple[list[Listener], list[Listener]]:
        """Return the listeners of the room, but for those of debuggers, and all others."""
        found = list(listeners())
        supervisor = self._keeper.pid
        if supervisor is None:
            return [], found
        pids = (supervisor, *tree.descendants(supervisor))
        inodes = sockets_of(pids) if self._uid is None else set()
        hidden = sockets_of(debuggers(pids)) if found else set()
        own: list[Listener] = []
        others: list[Listener] = []
        for listener in found:
            is_own = listener.inode in inodes if self._uid is None else listener.uid == self._uid
            (own if is_own and listener.inode not in hidden else others).append(listener)
        return own, others

    async def connect(self, port: int, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
        """Connect to a port of the room; the socket does not block.

        Raises:
            ConnectionRefusedError: no program of the room listens on it.
        """
        own, others = await asyncio.to_thread(self._listeners)
        for address in _reached(port, own, others):
            family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                async with deadline(timeout_s):
                    await asyncio.get_running_loop().sock_connect(
                        connection, (socket.inet_ntop(family, address), port)
                    )
                return connection
            except BaseException as exc:
                connection.close()
                if isinstance(exc, TimeoutError) or not isinstance(exc, OSError):
                    raise
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"nothing listens on port {port} in this room")


def _reached(port: int, own: list[Listener], others: list[Listener]) -> list[bytes]:
    """Return the addresses by which a port reaches the room and nobody else, IPv4 first.

    A room may listen on one address of the loopback where a service of the host listens on another one.
    """
    here = [listener for listener in own if listener.port == port]
    mine = {address for listener in here for address in _addresses(listener)}
    # Who listens everywhere by IPv6 has of IPv4 what nobody listens on by IPv4.
    narrow = [listener for listener in here if listener.address != _EVERYWHERE]
    by_itself = {address for listener in narrow for address in _addresses(listener)}
    taken = {
        address
        for listener in others
        if listener.port == port
        for address in _addresses(listener)
        if listener.address != _EVERYWHERE or address not in by_itself
    }
    return sorted(mine - taken, key=lambda address: (len(address), address))


def _addresses(listener: Listener) -> tuple[bytes, ...]:
    """Return where a listener is reached from this machine."""
    address = listener.address.removeprefix(_MAPPED)
    if address == _EVERYWHERE:
        return _LOOPBACK
    return (_LOOPBACK[0],) if address == bytes(4) else (address,)
