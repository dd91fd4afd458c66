"""The client's side of ZMTP 3.0, the wire protocol of ZeroMQ, for one socket of a kernel.

A kernel runs in a room and is not trusted, and a ZeroMQ library keeps whatever a
peer sends in memory: any number of parts to a message. Here each message is
bounded, the reader decides when more is read, and a peer that breaks the protocol
gets a clear error. Only what a kernel needs is spoken: the NULL mechanism, one
peer, the socket types DEALER and SUB.

Specification: https://rfc.zeromq.org/spec/23/
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from embedenv_jupyter.errors import RemoteProtocolError

MAX_MESSAGE_BYTES: Final = 64 << 20
MAX_PARTS: Final = 4200
"""Identities, four parts of a Jupyter message, and its buffers."""

MAX_COMMAND_BYTES: Final = 4096

_GREETING_BYTES: Final = 64
_MECHANISM: Final = b"NULL".ljust(20, b"\0")
_GREETING: Final = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + _MECHANISM + bytes(32)

_MORE, _LONG, _COMMAND = 1, 2, 4
_SHORT_BYTES: Final = 255


def encode_message(parts: Sequence[bytes]) -> bytes:
    """Encode one message of one or more parts."""
    pieces: list[bytes] = []
    last = len(parts) - 1
    for index, part in enumerate(parts):
        pieces += (_frame_head(len(part), _MORE if index < last else 0), part)
    return b"".join(pieces)


def _frame_head(size: int, flags: int) -> bytes:
    if size <= _SHORT_BYTES:
        return bytes((flags, size))
    return struct.pack(">BQ", flags | _LONG, size)


def _ready(socket_type: str, identity: bytes) -> bytes:
    """Encode the command that ends the handshake (section "The NULL Security Mechanism")."""
    properties = {b"Socket-Type": socket_type.encode(), b"Identity": identity}
    body = b"\x05READY" + b"".join(
        bytes((len(name),)) + name + struct.pack(">I", len(value)) + value
        for name, value in properties.items()
    )
    return _frame_head(len(body), _COMMAND) + body


class ZmtpSession:
    """One connection: what to send first, and what the bytes that come mean."""

    def __init__(self, socket_type: str, identity: bytes = b"") -> None:
        self.is_ready = False
        """True once the peer is ready; a message that reaches it before ends the connection."""
        self._received = bytearray()
        self._greeted = False
        self._parts: list[bytes] = []
        self._size = 0
        self._ready_command = _ready(socket_type, identity)
        self._subscription = encode_message([b"\x01"]) if socket_type == "SUB" else b""

    def opening(self) -> bytes:
        """Return what to send at once."""
        return _GREETING + self._ready_command

    def subscription(self) -> bytes:
        """Return what a subscriber to everything says once the peer is ready; nothing for others."""
        return self._subscription

    def receive_data(self, data: bytes) -> list[tuple[bytes, ...]]:
        """Take what came and return the messages that are whole now.

        Raises:
            RemoteProtocolError: the peer does not speak ZMTP, or a message is too large.
        """
        self._received += data
        position = self._skip_greeting()
        messages: list[tuple[bytes, ...]] = []
        while self._greeted:
            frame = self._frame(position)
            if frame is None:
                break
            flags, begin, position = frame
            body = bytes(memoryview(self._received)[begin:position])
            if flags & _COMMAND:
                self._command(body)
            elif message := self._part(body, more=bool(flags & _MORE)):
                messages.append(message)
        if position:
            del self._received[:position]
        return messages

    def _skip_greeting(self) -> int:
        if self._greeted:
            return 0
        if len(self._received) < _GREETING_BYTES:
            return 0
        greeting = bytes(self._received[:_GREETING_BYTES])
        if greeting[0] != 0xFF or greeting[9] != 0x7F or greeting[10] < 3:
            raise RemoteProtocolError("the kernel's socket does not speak ZMTP 3")
        if greeting[12:32] != _MECHANISM:
            raise RemoteProtocolError("the kernel's socket wants another security mechanism than NULL")
        self._greeted = True
        return _GREETING_BYTES

    def _frame(self, position: int) -> tuple[int, int, int] | None:
        """Return a frame's flags, and where its body begins and ends; ``None`` until all of it is here."""
        received = self._received
        available = len(received) - position
        if available < 2:
            return None
        flags = received[position]
        if flags & ~(_MORE | _LONG | _COMMAND):
            raise RemoteProtocolError(f"a frame of the kernel has unknown flags: {flags:#x}")
        if flags & _LONG:
            if available < 9:
                return None
            (size,) = struct.unpack_from(">Q", received, position + 1)
            begin = position + 9
        else:
            size, begin = received[position + 1], position + 2
        self._allow(size, is_command=bool(flags & _COMMAND))
        end = begin + size
        return (flags, begin, end) if len(received) >= end else None

    def _allow(self, size: int, *, is_command: bool) -> None:
        if is_command:
            if size > MAX_COMMAND_BYTES:
                raise RemoteProtocolError(f"a command of the kernel's socket has {size} bytes")
        elif self._size + size > MAX_MESSAGE_BYTES:
            raise RemoteProtocolError(
                f"a message of the kernel has more than the {MAX_MESSAGE_BYTES} bytes that are allowed"
            )
        elif len(self._parts) >= MAX_PARTS:
            raise RemoteProtocolError(f"a message of the kernel has more than {MAX_PARTS} parts")

    def _part(self, body: bytes, *, more: bool) -> tuple[bytes, ...] | None:
        self._parts.append(body)
        self._size += len(body)
        if more:
            return None
        message = tuple(self._parts)
        self._parts, self._size = [], 0
        return message

    def _command(self, body: bytes) -> None:
        name = body[1 : 1 + body[0]] if body else b""
        if name == b"READY":
            self.is_ready = True
        elif name == b"ERROR":
            raise RemoteProtocolError(
                f"the kernel's socket refused us: {body[7:207].decode(errors='replace')}"
            )
