"""How a WebSocket is opened, and what its end says.

Everything that can go wrong before or at the end of a connection is sorted here
into "not this time" (``ConnectionLostError``: worth another attempt) and "no".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import (
    ConnectionClosed,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from embedenv_jupyter.client.address import Endpoint
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import CloseCode, ConnectionLostError, RemoteProtocolError, RoomClosedError

log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 32 << 20
FINAL_CODES = frozenset(
    {
        CloseCode.POLICY_VIOLATION,
        CloseCode.ROOM_ENDED,
        CloseCode.REVOKED,
        CloseCode.PROTOCOL_ERROR,
        1003,
        1007,
    }
)
"""After these a new attempt would end the same way; 1003 and 1007 say that our messages are no text."""
PASSING_STATUSES = frozenset({408, 424, 425, 429})
"""HTTP statuses below 500 that say "later", not "no" (424: a hub whose server is starting)."""


@dataclass(frozen=True)
class Heartbeat:
    """Pings: how often, and how long to wait for any sign of life; in seconds."""

    every_s: float = 20.0
    deadline_s: float = 20.0


@dataclass(frozen=True)
class Transport:
    """How sockets are opened; ``headers`` are for what stands before the server (a hub, a proxy)."""

    endpoint: Endpoint
    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | None
    heartbeat: Heartbeat
    greeting_s: float
    open_s: float = 10.0
    close_s: float = 2.0


@dataclass(frozen=True)
class Ending:
    """How a connection ended: the server's close code and reason, or ``None`` when it was cut."""

    code: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        if self.code is None:
            return "the connection was cut"
        reason = f" ({self.reason})" if self.reason else ""
        return f"the server closed the connection with code {self.code}{reason}"


async def open_socket(
    transport: Transport, subprotocols: Sequence[str] = (), max_size_bytes: int = MAX_FRAME_BYTES
) -> ClientConnection:
    """Open a WebSocket.

    Raises:
        ConnectionLostError: not this time.
        RefusedError: this will never be one.
    """
    tls: dict[str, Any] = {} if transport.tls is None else {"ssl": transport.tls}
    try:
        return await _SameOrigin(
            transport.endpoint.url,
            additional_headers=dict(transport.headers),
            # A proxy is for the world outside; it could not reach this machine's loopback.
            proxy=None if transport.endpoint.is_loopback else True,
            compression=None,
            open_timeout=transport.open_s,
            close_timeout=transport.close_s,
            ping_interval=None,
            logger=_NoFrames(log),
            max_size=max_size_bytes,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            **tls,
        )
    except InvalidStatus as exc:
        status = exc.response.status_code
        if status >= 500 or status in PASSING_STATUSES:
            raise ConnectionLostError(f"HTTP status {status}") from exc
        raise RefusedError(f"{transport.endpoint} takes no WebSocket: HTTP status {status}.", status) from exc
    except (InvalidURI, InvalidProxy, ssl.SSLCertVerificationError) as exc:
        reason = getattr(exc, "msg", exc)  # The library's own texts would show the query, and its token.
        raise RefusedError(f"{transport.endpoint} cannot be used: {reason}") from exc
    except (OSError, WebSocketException, EOFError) as exc:
        raise ConnectionLostError(str(exc) or type(exc).__name__) from exc


async def shut_socket(socket: ClientConnection, close_s: float) -> None:
    """Close a socket within its deadline; what still arrives is thrown away."""
    try:
        async with deadline(close_s), asyncio.TaskGroup() as group:
            # A closing handshake needs a peer that reads: without this, a full queue would hold it up.
            drain = group.create_task(_drain(socket), name="drain of a socket")
            await socket.close()
            drain.cancel()
    except TimeoutError:
        pass
    finally:
        socket.transport.abort()


async def _drain(socket: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv(decode=False)


class _SameOrigin(open_websocket):
    """Follows redirects only within the origin: the first frame carries secrets in its body."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        outcome = super().process_redirect(exc)
        if isinstance(outcome, str):
            before, after = self.ws_uri, parse_uri(outcome)
            if (after.secure, after.host, after.port) != (before.secure, before.host, before.port):
                place = f"{after.host}:{after.port}"
                return RefusedError(f"The server redirects to {place}; connect there if you trust it.")
        return outcome


class _NoFrames(logging.LoggerAdapter[logging.Logger]):
    """The library's log without its debug lines: they hold whole frames, and so secrets."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the name is logging's
        return level > logging.DEBUG and super().isEnabledFor(level)


def ending_of(exc: ConnectionClosed) -> Ending:
    """Read how it ended.

    Raises:
        RemoteProtocolError: we ended it, because the server broke the WebSocket protocol or our bounds.
    """
    if exc.rcvd is None and exc.sent is not None and exc.sent.code in (1002, 1007, CloseCode.TOO_BIG):
        raise RemoteProtocolError(f"the server's message cannot be taken: {exc.sent.reason}")
    return Ending(exc.rcvd.code, exc.rcvd.reason) if exc.rcvd is not None else Ending()


def raise_if_final(ending: Ending) -> None:
    """Say no to another attempt where the close code does.

    Raises:
        RoomClosedError, RefusedError: it does.
    """
    if ending.code == CloseCode.ROOM_ENDED:
        raise RoomClosedError(ending.reason or "no reason given")
    if ending.code in FINAL_CODES:
        raise RefusedError(ending.reason or str(ending), ending.code)
