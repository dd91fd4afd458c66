"""One HTTP request to a program of a room, streamed both ways over a connection made inside it.

h11 reads and writes the protocol: what goes out is framed anew, whatever came in.
Nothing is buffered beyond one piece: each side is read as fast as the other one takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Self

import h11

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import PreviewError, SandboxError
from embedenv_jupyter.previews.headers import Headers
from embedenv_jupyter.sandbox.sandbox import Sandbox

READ_BYTES = 64 << 10
MAX_HEAD_BYTES = 64 << 10
HEAD_TIMEOUT_S = 600.0
"""How long a program may think about its answer; after that, silence is its own business (event streams)."""
SEND_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Head:
    """The head of an answer."""

    status: int
    reason: str
    headers: Headers

    def value(self, name: str) -> str:
        """Return a header, "" where there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


async def connect(sandbox: Sandbox, port: int) -> socket.socket:
    """Connect to a program of a room.

    Raises:
        PreviewError: nothing listens there (502), or the room does not answer (503, 504).
    """
    try:
        return await sandbox.connect(port)
    except ConnectionRefusedError as exc:
        raise PreviewError(502, f"Nothing listens on port {port} of this room.", may_come=True) from exc
    except TimeoutError as exc:
        raise PreviewError(504, f"The program on port {port} takes no connection.") from exc
    except (SandboxError, OSError) as exc:
        raise PreviewError(503, f"Port {port} of this room cannot be reached now.") from exc


class Exchange:
    """A request and its answer. Enter, send the head and the body, meanwhile read the answer."""

    def __init__(self, connection: socket.socket, port: int) -> None:
        self._connection = connection
        self._port = port
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._takes_body = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    async def send_head(self, method: str, target: str, headers: Headers) -> None:
        """Begin the request; the connection is used for one only.

        Raises:
            PreviewError: this is no request (400).
        """
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        try:
            request = h11.Request(
                method=method, target=target.encode("latin-1"), headers=[*encoded, (b"Connection", b"close")]
            )
            data = self._protocol.send(request)
        except (h11.LocalProtocolError, UnicodeEncodeError) as exc:
            raise PreviewError(400, f"This request cannot be passed on: {exc}.") from exc
        await self._send(data)

    async def send_body(self, data: bytes) -> None:
        """Send a piece of the body, at the program's pace; one that refuses the rest has its answer read."""
        await self._send(self._protocol.send(h11.Data(data)))

    async def end_body(self) -> None:
        """Say that the request is whole."""
        await self._send(self._protocol.send(h11.EndOfMessage()))

    async def _send(self, data: bytes | None) -> None:
        if not data or not self._takes_body:
            return
        try:
            async with deadline(SEND_TIMEOUT_S):
                await asyncio.get_running_loop().sock_sendall(self._connection, data)
        except TimeoutError:
            raise PreviewError(504, f"The program on port {self._port} takes no data.") from None
        except OSError:
            self._takes_body = False

    async def head(self) -> Head:
        """Wait for the head of the answer.

        Raises:
            PreviewError: there is none (502), or not in time (504).
        """
        try:
            async with deadline(HEAD_TIMEOUT_S):
                while not isinstance(event := await self._event(), h11.Response):
                    if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                        raise PreviewError(502, f"The program on port {self._port} answered something else.")
        except TimeoutError:
            raise PreviewError(504, f"The program on port {self._port} has not answered.") from None
        pairs = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items()
        ]
        reason = event.reason.decode("latin-1")
        return Head(event.status_code, reason if reason.isascii() and reason.isprintable() else "", pairs)

    async def body(self) -> AsyncGenerator[bytes, None]:
        """Yield the body, piece by piece.

        Raises:
            PreviewError: it ends before it is whole.
        """
        while not isinstance(event := await self._event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    async def _event(self) -> h11.Event:
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as exc:
                raise PreviewError(
                    502, f"The answer of the program on port {self._port} is not whole."
                ) from exc
            if event is h11.NEED_DATA:
                self._protocol.receive_data(await self._receive())
            elif isinstance(event, h11.Event) and not isinstance(event, h11.ConnectionClosed):
                return event
            else:
                raise PreviewError(502, f"The program on port {self._port} answered something else.")

    async def _receive(self) -> bytes:
        with contextlib.suppress(ConnectionError):
            return await asyncio.get_running_loop().sock_recv(self._connection, READ_BYTES)
        return b""
