"""The gateway's connections to the sockets of one kernel, read at the gateway's pace."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols.zmtp import ZmtpSession, encode_message

CONNECT_TIMEOUT_S: Final = 10.0
READ_BYTES: Final = 256 << 10
DELIMITER: Final = b"<IDS|MSG>"

_PARTS: Final = 4


class Signer:
    """Signs messages as a kernel wants it: HMAC-SHA256 of header, parent, metadata and content."""

    def __init__(self, key: str) -> None:
        self._fresh = hmac.new(key.encode(), digestmod=hashlib.sha256)

    def wrapped(self, parts: Sequence[bytes]) -> list[bytes]:
        """Return the message with what goes before it on the wire."""
        return [DELIMITER, self._signature(parts), *parts]

    def matches(self, signature: bytes, parts: Sequence[bytes]) -> bool:
        """Tell whether a message was signed with this key."""
        return hmac.compare_digest(signature, self._signature(parts))

    def _signature(self, parts: Sequence[bytes]) -> bytes:
        digest = self._fresh.copy()
        for part in parts[:_PARTS]:
            digest.update(part)
        return digest.hexdigest().encode()


def unwrapped(frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the parts of a message behind identities, delimiter and signature.

    The signature is not looked at: whatever runs in the room could have made it.

    Raises:
        RemoteProtocolError: it is no Jupyter message.
    """
    try:
        at = frames.index(DELIMITER)
    except ValueError:
        raise RemoteProtocolError("the kernel sent a message without a delimiter") from None
    parts = frames[at + 2 :]
    if len(parts) < _PARTS:
        raise RemoteProtocolError(f"the kernel sent a message of {len(parts)} parts, {_PARTS} are the least")
    return parts


class Channel:
    """One connection to one socket of a kernel."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: ZmtpSession
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._session = session

    @classmethod
    async def connect(cls, path_fd: int, socket_type: str, identity: bytes = b"") -> Channel:
        """Connect to the socket that an ``O_PATH`` descriptor names.

        Raises:
            OSError: nobody listens there.
            RemoteProtocolError: who listens does not speak as a kernel does.
            TimeoutError: it does not speak at all.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            # The descriptor leads to the very socket that was opened, whatever its name leads to now.
            connection.connect(f"/proc/{os.getpid()}/fd/{path_fd}")
            reader, writer = await asyncio.open_unix_connection(sock=connection, limit=READ_BYTES)
        except BaseException:
            connection.close()
            raise
        channel = cls(reader, writer, ZmtpSession(socket_type, identity))
        try:
            async with deadline(CONNECT_TIMEOUT_S):
                await channel._greet()
        except BaseException:
            await channel.aclose()
            raise
        return channel

    async def _greet(self) -> None:
        self._writer.write(self._session.opening())
        while not self._session.is_ready:
            data = await self._reader.read(READ_BYTES)
            if not data or self._session.receive_data(data):
                raise RemoteProtocolError("the kernel's socket ended the handshake")
        self._writer.write(self._session.subscription())

    async def messages(self) -> AsyncIterator[list[tuple[bytes, ...]]]:
        """Yield the messages that come, as many at a time as there are, until the kernel is gone.

        Raises:
            RemoteProtocolError: the peer does not speak as it should.
        """
        try:
            while data := await self._reader.read(READ_BYTES):
                if messages := self._session.receive_data(data):
                    yield messages
        except ConnectionError:
            return

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send a message; wait while the kernel does not read. One that is gone gets nothing."""
        self._writer.write(encode_message(frames))
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    async def aclose(self) -> None:
        """Close the connection, without waiting for a peer that does not read; idempotent."""
        self._writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
