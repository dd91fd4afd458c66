"""One HTTP request to a program of the room, over a connection made inside it.

h11 reads and writes the protocol; this module moves the bytes. The body is handed
on in order, piece by piece: the program is read at the reader's pace.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import socket
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

import h11

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import RoomError
from embedenv_jupyter.sandbox.sandbox import Sandbox

READ_BYTES = 16 << 10
MAX_HEAD_BYTES = 256 << 10
HEAD_TIMEOUT_S = 60.0
IDLE_TIMEOUT_S = 300.0

_OURS = ("connection", "content-length", "host", "transfer-encoding")
_WITH_BODY = ("POST", "PUT", "PATCH")


class CurlError(RoomError):
    """The program did not answer as HTTP does."""


@dataclass(frozen=True)
class Response:
    """The head of an answer."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]


async def fetch(
    sandbox: Sandbox, *, method: str, port: int, target: str, headers: dict[str, str], body: bytes
) -> AsyncGenerator[Response | bytes, None]:
    """Yield the response's head, then its body in order.

    Raises:
        ConnectionRefusedError: nothing listens on the port.
        CurlError: the answer is not HTTP or not whole, or nothing came for too long.
    """
    with await sandbox.connect(port) as connection:
        exchange = Exchange(port, method)
        request = exchange.request(target, headers, body)
        # Meanwhile the answer is read: a program may refuse a large body before it has read it.
        sending = asyncio.create_task(_send(connection, request), name="curl body")
        try:
            while not exchange.is_complete:
                exchange.receive(await _receive(connection, port, exchange.timeout_s))
                for piece in exchange.pieces():
                    yield piece
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _send(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # what came back until then says more
        await asyncio.get_running_loop().sock_sendall(connection, data)


async def _receive(connection: socket.socket, port: int, timeout_s: float) -> bytes:
    try:
        async with deadline(timeout_s):
            return await asyncio.get_running_loop().sock_recv(connection, READ_BYTES)
    except TimeoutError:
        raise CurlError(f"The program on port {port} sent nothing for {timeout_s:g} s.") from None
    except ConnectionError as exc:
        raise CurlError(f"The program on port {port} cut the connection: {exc.strerror}.") from exc


class Exchange:
    """A request and its answer, without I/O."""

    def __init__(self, port: int, method: str) -> None:
        self.is_complete = False
        self._port = port
        self._method = method
        self._has_head = False
        self._has_bytes = False
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)

    @property
    def timeout_s(self) -> float:
        return IDLE_TIMEOUT_S if self._has_head else HEAD_TIMEOUT_S

    def request(self, target: str, headers: dict[str, str], body: bytes) -> bytes:
        """Return the request as it goes over the wire."""
        completed = self._completed(headers, body)
        try:
            parts = [
                self._connection.send(h11.Request(method=self._method, target=target, headers=completed))
            ]
            if body:
                parts.append(self._connection.send(h11.Data(body)))
            parts.append(self._connection.send(h11.EndOfMessage()))
        except h11.LocalProtocolError as exc:
            raise CurlError(f"This request cannot be sent: {exc}.") from exc
        return b"".join(part for part in parts if part)

    def _completed(self, headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
        """Add what every request needs; values that are not ASCII go out as UTF-8."""
        given = {name.lower(): value for name, value in headers.items()}
        complete = {
            "Host": given.get("host") or f"localhost:{self._port}",
            "Connection": "close",
            **{name: value for name, value in headers.items() if name.lower() not in _OURS},
        }
        complete |= {
            name: value
            for name, value in {"User-Agent": "embedenv", "Accept": "*/*"}.items()
            if name.lower() not in given
        }
        if body or self._method in _WITH_BODY:
            complete["Content-Length"] = str(len(body))
        return [(name.encode(), value.encode()) for name, value in complete.items()]

    def receive(self, data: bytes) -> None:
        """Take what was read from the connection, ``b""`` at its end."""
        self._has_bytes = self._has_bytes or bool(data)
        self._connection.receive_data(data)

    def pieces(self) -> Iterator[Response | bytes]:
        """Yield what has arrived of the answer.

        Raises:
            CurlError: it is not HTTP, or not whole.
        """
        body = bytearray()
        for event in self._events():
            match event:
                case h11.Response():
                    self._has_head = True
                    yield _head(event)
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    self.is_complete = True
        if body:
            yield bytes(body)

    def _events(self) -> Iterator[h11.Event]:
        while not self.is_complete:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as exc:
                raise CurlError(self._fault(exc)) from exc
            if event is h11.NEED_DATA:
                return
            if event is h11.PAUSED:
                raise CurlError(self._switched)
            assert isinstance(event, h11.Event)
            yield event

    @property
    def _switched(self) -> str:
        return f"The program on port {self._port} changed to another protocol, which cannot be shown."

    def _fault(self, exc: h11.RemoteProtocolError) -> str:
        if "_SWITCH_" in str(exc):  # it did so unasked, and h11 has no better way to say it
            return self._switched
        if self._has_head:
            return f"The answer of the program on port {self._port} is not whole: {exc}."
        if not self._has_bytes:
            return f"The program on port {self._port} closed the connection without an answer."
        return f"The program on port {self._port} did not answer as HTTP does: {exc}."


def _head(event: h11.Response) -> Response:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
    return Response(event.status_code, event.reason.decode("latin-1"), headers)


class TextPieces:
    """Decodes a body to text in pieces of bounded size; what is not UTF-8 becomes U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        return self._decoder.decode(data)

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)
