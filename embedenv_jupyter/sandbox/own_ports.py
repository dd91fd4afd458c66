"""TCP ports of a room that has a network of its own: the supervisor connects, and hands the socket out."""

from __future__ import annotations

import asyncio
import errno
import socket

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox.received import check, is_socket
from embedenv_jupyter.sandbox.requests import Requests

_NOBODY_LISTENS = (errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH)


class OwnPorts:
    """The ports on the loopback of one room; the counterpart of :class:`.ports.HostPorts`."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def listening(self) -> set[int]:
        """Return the ports that programs of the room listen on."""
        answer, _ = await self._requests.request("ports")
        found = answer.get("ports")
        return {p for p in found if type(p) is int and 0 < p < 1 << 16} if isinstance(found, list) else set()

    async def connect(self, port: int, timeout_s: float) -> socket.socket:
        """Connect to a port of the room; the socket does not block.

        Raises:
            ConnectionRefusedError: nothing listens there.
        """
        for ipv6 in (False, True):
            try:
                _, fds = await self._requests.request("connect", port=port, ipv6=ipv6)
                check(fds, 1, is_socket, "socket")
                return await _connected(socket.socket(fileno=fds[0]), timeout_s)
            except SandboxRequestError as exc:
                if exc.errno not in _NOBODY_LISTENS:
                    raise
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"nothing listens on port {port} in this room")


async def _connected(connection: socket.socket, timeout_s: float) -> socket.socket:
    """Wait until a connection that was begun inside the room stands, or is refused."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()
    loop.add_writer(connection.fileno(), lambda: None if waiter.done() else waiter.set_result(None))
    try:
        async with deadline(timeout_s):
            await waiter
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise SandboxRequestError("connect", code)
    except BaseException as exc:
        loop.remove_writer(connection.fileno())
        connection.close()
        if isinstance(exc, TimeoutError):
            raise SandboxTimeoutError("connect", timeout_s) from None
        raise
    loop.remove_writer(connection.fileno())
    return connection
