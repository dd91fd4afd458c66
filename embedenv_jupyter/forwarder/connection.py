"""A connection file of Jupyter, and the five sockets that it describes.

https://jupyter-client.readthedocs.io/en/stable/kernels.html#connection-files
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import msgspec
import zmq
import zmq.asyncio

from embedenv_jupyter.errors import LocalProtocolError, RemoteProtocolError
from embedenv_jupyter.kernels.channels import DELIMITER, Signer

ASKING: Final = ("shell", "control", "stdin")
"""The channels on which clients send."""

IOPUB_MESSAGES: Final = 1000
"""How many messages a client of iopub may be behind before we wait for it."""

LINGER_MS: Final = 1000
_SCHEME: Final = "hmac-sha256"
_PARTS: Final = 4


class ConnectionInfo(msgspec.Struct, frozen=True):
    """What Jupyter writes into the file."""

    shell_port: int
    iopub_port: int
    stdin_port: int
    control_port: int
    hb_port: int
    ip: str = "127.0.0.1"
    transport: str = "tcp"
    key: str = ""
    signature_scheme: str = _SCHEME

    @classmethod
    def read(cls, path: Path) -> ConnectionInfo:
        """Read the file.

        Raises:
            OSError: it cannot be read.
            LocalProtocolError: it is no connection file that we can serve.
        """
        try:
            info = msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.MsgspecError as exc:
            raise LocalProtocolError(f"{path} is no connection file: {exc}") from exc
        if info.key and info.signature_scheme != _SCHEME:
            raise LocalProtocolError(f"messages can be signed by {_SCHEME}, not by {info.signature_scheme}")
        return info

    def address(self, channel: str) -> str:
        separator = "-" if self.transport == "ipc" else ":"
        return f"{self.transport}://{self.ip}{separator}{getattr(self, f'{channel}_port')}"


class Sockets:
    """The sockets of a kernel, bound, and the signatures of what goes through them."""

    def __init__(self, info: ConnectionInfo) -> None:
        """Bind.

        Raises:
            zmq.ZMQError: an address is taken.
        """
        self._context = zmq.asyncio.Context()
        self._opened: list[Any] = []
        self._is_signed = bool(info.key)
        self._signer = Signer(info.key)
        try:
            self.asking = {name: self._bound(self._router(), info, name) for name in ASKING}
            self.heartbeat = self._bound(self._context.socket(zmq.REP), info, "hb")
            self.iopub = self._bound(self._publisher(), info, "iopub")
        except BaseException:
            self.close()
            raise

    def _router(self) -> zmq.asyncio.Socket:
        socket: zmq.asyncio.Socket = self._context.socket(zmq.ROUTER)
        socket.sndhwm = 0  # beyond a mark, a ROUTER drops; there is one reply to each request
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        return socket

    def _publisher(self) -> zmq.Socket[bytes]:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(self._context)
        socket = context.socket(zmq.XPUB)
        socket.sndhwm = IOPUB_MESSAGES
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # each client that subscribes is welcomed
        return socket

    def _bound(self, socket: Any, info: ConnectionInfo, name: str) -> Any:
        self._opened.append(socket)
        socket.linger = LINGER_MS
        socket.bind(info.address(name))
        return socket

    def wrapped(self, parts: tuple[bytes, ...]) -> list[bytes]:
        """Return a message as it goes onto the wire, without identities."""
        return self._signer.wrapped(parts) if self._is_signed else [DELIMITER, b"", *parts]

    def unwrapped(self, frames: list[bytes]) -> tuple[list[bytes], tuple[bytes, ...]]:
        """Return who sent a message, and its parts.

        Raises:
            RemoteProtocolError: it is no message, or is signed with another key.
        """
        try:
            at = frames.index(DELIMITER)
        except ValueError:
            raise RemoteProtocolError("a message without a delimiter") from None
        parts = tuple(frames[at + 2 :])
        if len(parts) < _PARTS:
            raise RemoteProtocolError(f"a message of {len(parts)} parts, {_PARTS} are the least")
        if self._is_signed and not self._signer.matches(frames[at + 1], parts):
            raise RemoteProtocolError("a message that is not signed with the key of the connection file")
        return frames[:at], parts

    def close(self) -> None:
        """Close all sockets, and wait up to ``LINGER_MS`` for clients to take what is left. Idempotent."""
        self._let_go()
        self._context.term()

    async def aclose(self) -> None:
        """Do the same beside a loop that has others to serve; idempotent."""
        self._let_go()
        await asyncio.to_thread(self._context.term)

    def _let_go(self) -> None:
        for socket in self._opened:
            socket.close()
