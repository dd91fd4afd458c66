"""One HTTP request to a program of the room, over a connection made inside it.

Tornado's HTTP/1.1 connection does the parsing; the body is handed on in order,
piece by piece, at the reader's pace.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError

from embedenv_jupyter.errors import RoomError
from embedenv_jupyter.sandbox.sandbox import Sandbox

CHUNK_BYTES = 16 << 10
HEADER_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 300.0
QUEUED_CHUNKS = 4


class CurlError(RoomError):
    """The program did not answer as HTTP does."""


@dataclass(frozen=True)
class Response:
    """The head of an answer; the body is read from :attr:`body`."""

    status: int
    reason: str
    headers: dict[str, str]


@dataclass
class _Receiver(HTTPMessageDelegate):
    """Puts what arrives on a bounded queue; Tornado waits while it is full."""

    queue: asyncio.Queue[Response | bytes | None] = field(
        default_factory=lambda: asyncio.Queue(QUEUED_CHUNKS)
    )

    async def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        assert isinstance(start_line, ResponseStartLine)
        if start_line.code >= 200 or start_line.code == 101:
            await self.queue.put(Response(start_line.code, start_line.reason, dict(headers)))

    async def data_received(self, chunk: bytes) -> None:
        await self.queue.put(chunk)


async def fetch(
    sandbox: Sandbox, *, method: str, port: int, target: str, headers: dict[str, str], body: bytes
) -> AsyncIterator[Response | bytes]:
    """Yield the response's head, then its body in order.

    Raises:
        ConnectionRefusedError: nothing listens on the port.
        CurlError: the answer is not HTTP, or nothing came for too long.
    """
    stream = IOStream(await sandbox.connect(port))
    receiver = _Receiver()
    exchange = asyncio.create_task(
        _exchange(stream, receiver, method, target, _completed(headers, port, body), body)
    )
    timeout_s = HEADER_TIMEOUT_S
    try:
        while True:
            async with asyncio.timeout(timeout_s):
                piece = await receiver.queue.get()
            if piece is None:
                break
            yield piece
            timeout_s = IDLE_TIMEOUT_S
        await exchange
    except TimeoutError:
        raise CurlError(f"Port {port} sent nothing for {timeout_s:g} s.") from None
    finally:
        exchange.cancel()
        await asyncio.gather(exchange, return_exceptions=True)
        stream.close()


async def _exchange(
    stream: IOStream,
    receiver: _Receiver,
    method: str,
    target: str,
    headers: HTTPHeaders,
    body: bytes,
) -> None:
    parameters = HTTP1ConnectionParameters(
        no_keep_alive=True, chunk_size=CHUNK_BYTES, max_header_size=256 << 10, max_body_size=1 << 50
    )
    connection = HTTP1Connection(stream, True, parameters)
    try:
        await connection.write_headers(RequestStartLine(method, target, ""), headers, body or None)
        connection.finish()
        if not await connection.read_response(receiver):
            raise CurlError("The program closed the connection before its answer was complete.")
    except (HTTPInputError, StreamClosedError) as exc:
        raise CurlError(f"The program did not answer as HTTP does: {exc}") from exc
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await receiver.queue.put(None)


def _completed(headers: dict[str, str], port: int, body: bytes) -> HTTPHeaders:
    """Add what every request needs and the member did not give."""
    complete = HTTPHeaders()
    for name, value in headers.items():
        complete.add(name, value)
    complete["Connection"] = "close"
    complete.setdefault("Host", f"localhost:{port}")
    complete.setdefault("User-Agent", "embedenv")
    complete.setdefault("Accept", "*/*")
    if body or "Content-Length" in complete:
        complete["Content-Length"] = str(len(body))
    return complete


class TextPieces:
    """Decodes a body to text in pieces of bounded size; what is not UTF-8 becomes U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        return self._decoder.decode(data)

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)
