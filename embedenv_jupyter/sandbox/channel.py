"""One JSON object a message, file descriptors beside it, over a SEQPACKET socket.

The gateway speaks this to a supervisor and to the zygote. Each side treats the
other's bytes as hostile: a message that is too long, not JSON, or not an object
is a :class:`ChannelError`, and descriptors that came with it are closed.

Standard library only: see :mod:`embedenv_jupyter.sandbox.spec`.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

MAX_MESSAGE_BYTES = 128 << 10
MAX_FDS = 5
_CMSG_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0x40000000)


class ChannelError(Exception):
    """The other side sent what is no message of this channel."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a channel; both are close-on-exec and blocking."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def encode(message: dict[str, Any]) -> bytes:
    """Encode one message.

    Raises:
        ChannelError: the message is over the limit.
    """
    # Not as ASCII: a long line in another script than ours would be three times as long, and over the limit.
    data = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")
    if len(data) > MAX_MESSAGE_BYTES:
        raise ChannelError(f"message of {len(data)} bytes, {MAX_MESSAGE_BYTES} are allowed")
    return data


def send(connection: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """Send one message; the caller keeps (and closes) its own descriptors."""
    data = encode(message)
    if fds:
        socket.send_fds(connection, [data], fds)
    else:
        connection.send(data)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive one message and its descriptors, or ``None`` at the end of the channel.

    Where this process may not open as many descriptors as came, the message has none.

    Raises:
        ChannelError: what came is not a message; its descriptors are closed.
        BlockingIOError: the socket does not block and holds nothing now.
    """
    data, fds, flags = _receive(connection)
    try:
        if not data and not fds:
            return None
        too_many = flags & socket.MSG_CTRUNC and len(fds) == MAX_FDS
        if too_many or flags & socket.MSG_TRUNC or len(data) > MAX_MESSAGE_BYTES:
            raise ChannelError("message or descriptors over the limit")
        if flags & socket.MSG_CTRUNC:  # not the sender's fault: we hold as many as we may
            _close(fds)
            fds.clear()
        try:
            message = json.loads(data)
        except (ValueError, RecursionError) as exc:
            raise ChannelError("message is not JSON") from exc
        if not isinstance(message, dict):
            raise ChannelError("message is not an object")
    except ChannelError:
        _close(fds)
        raise
    return message, fds


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _receive(connection: socket.socket) -> tuple[bytes, list[int], int]:
    """Receive data and descriptors that no program we start can inherit.

    Not :func:`socket.recv_fds`: Python 3.11 ignores its flags, and the programs
    of a room would then inherit the supervisor's own channel.
    """
    fds = array.array("i")
    space = socket.CMSG_LEN(MAX_FDS * fds.itemsize)
    data, ancillary, flags, _ = connection.recvmsg(MAX_MESSAGE_BYTES + 1, space, _CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds), flags
