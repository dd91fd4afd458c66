"""What handlers of ours share: those of WebSockets, and those that take a request piece by piece.

For WebSockets two classes and not Jupyter's ``WebSocketMixin``: its ping settings are in
milliseconds and shadow Tornado's, which are in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any, Protocol

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler, WebSocketProtocol13

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols.websocket import text_frame

log = logging.getLogger(__name__)

PING_INTERVAL_S = 30.0
SILENCE_S = 120.0
"""A peer that answers no ping, sends nothing and takes nothing for this long is gone."""


class StreamedRequestHandler(RequestHandler):
    """Base of handlers that may answer before a request is there as a whole."""

    is_read = False
    """Whether it is, or will be before the answer."""

    def finish(self, chunk: Any = None) -> asyncio.Future[None]:
        """End the answer, and say that the connection ends with it while more of the request may come.

        Tornado closes it then. A proxy that is not told so sends its next request to the same connection,
        and says in our name that the server is not available.
        """
        if not self.is_read and not self._headers_written:
            self.set_header("Connection", "close")
        return super().finish(chunk)


class InBandHandler(WebSocketHandler, JupyterHandler):
    """A published endpoint: who speaks is decided by keys inside the socket.

    Cookies, tokens and logins of Jupyter are never looked at here, so a foreign
    page that opens the socket has no authority to borrow. A request that comes
    from a page of another origin is refused all the same, unless listed.
    """

    def initialize(self, *, allowed_origins: frozenset[str] = frozenset()) -> None:
        self._allowed_origins = allowed_origins
        self._alive_at_s = 0.0
        self._is_handling = False
        self._next_ping: asyncio.TimerHandle | None = None

    @property
    def ping_interval(self) -> float:
        """Switch Tornado's pings off: to them, a peer that reads slowly is a dead one.

        A ping waits its turn behind the output that the peer has not read yet. Ours count
        whatever a peer sends or takes as a sign of life.
        """
        return 0

    async def prepare(self) -> None:  # type: ignore[override]  # we have no login to redirect to
        await JupyterHandler.prepare(self, _redirect_to_login=False)

    def set_default_headers(self) -> None:
        """Send none: they are for pages."""

    def get_compression_options(self) -> dict[str, Any] | None:
        return None

    def check_origin(self, origin: str | None = None) -> bool:
        """Accept the server's own pages, listed origins, and programs (which send none)."""
        sent = origin if origin is not None else self.request.headers.get("Origin")
        if sent is None or sent.rstrip("/") in self._allowed_origins or "*" in self._allowed_origins:
            return True
        return bool(JupyterHandler.check_origin(self, sent))

    def skip_check_origin(self) -> bool:
        """Never: a Jupyter token in the request must not switch the check off."""
        return False

    @allow_unauthenticated
    async def get(self, *args: str, **kwargs: str) -> None:
        await WebSocketHandler.get(self, *args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        # Without it, Nagle and the peer's delayed ACK add 40 ms to a short answer.
        self.set_nodelay(True)
        self._heard()
        self._ping_later()

    def on_pong(self, data: bytes) -> None:
        self._heard()

    def on_close(self) -> None:
        if self._next_ping is not None:
            self._next_ping.cancel()

    async def on_message(self, message: str | bytes) -> None:
        """Handle a message; while that takes its time, nothing is read, not even a pong."""
        self._is_handling = True
        try:
            await self.receive(message)
        finally:
            self._is_handling = False
            self._heard()

    async def receive(self, message: str | bytes) -> None:
        """Do what a message asks; the next one waits until this returns."""
        raise NotImplementedError

    def _heard(self) -> None:
        self._alive_at_s = asyncio.get_running_loop().time()

    def _ping_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_ping = loop.call_later(PING_INTERVAL_S, self._ping, loop.time() + PING_INTERVAL_S)

    def _ping(self, due_s: float) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - due_s > PING_INTERVAL_S or self._is_handling:
            self._heard()  # it was us who did not listen
        if now_s - self._alive_at_s > SILENCE_S:
            self.close_with(CloseCode.TOO_SLOW, f"no sign of life for {SILENCE_S:g} s")
            return
        try:
            self.ping(b"")
        except WebSocketClosedError:
            return
        self._ping_later()

    def limit_messages(self, size_bytes: int) -> None:
        """Close from now on at a message that announces more bytes than this, without reading it."""
        if isinstance(self.ws_connection, WebSocketProtocol13):
            self.ws_connection.params.max_message_size = size_bytes

    async def send_frames(self, frames: list[bytes]) -> None:
        """Write text frames in one go and wait until the socket has taken them.

        Raises:
            WebSocketClosedError: the peer is gone.
        """
        await self.send_framed(b"".join(map(text_frame, frames)))

    async def send_framed(self, data: bytes) -> None:
        """Write what is framed already, as :meth:`send_frames` does.

        Raises:
            WebSocketClosedError: the peer is gone.
        """
        connection = self.ws_connection
        if connection is None or connection.is_closing() or connection.stream is None:
            raise WebSocketClosedError
        try:
            # One write for all: write_message would be a system call for each frame.
            taken = connection.stream.write(data)
            was_full = not taken.done()
            await taken
        except StreamClosedError as exc:
            raise WebSocketClosedError from exc
        if was_full:
            self._heard()  # the peer must have read for this to go out

    @property
    def is_cut(self) -> bool:
        """Whether the peer has closed its side, which Tornado finds out when it reads the next message.

        Until then the kernel takes what is written, and nobody gets it.
        """
        connection = self.ws_connection
        if connection is None or connection.is_closing() or connection.stream is None:
            return True
        try:
            return connection.stream.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except ConnectionError:
            return True
        except (BlockingIOError, ValueError):  # nothing to read; or TLS, which cannot look ahead
            return False

    def part_with(self, frame: bytes, code: CloseCode, reason: str) -> None:
        """Write a last text frame without waiting until the peer takes it, then :meth:`close_with`."""
        connection = self.ws_connection
        if connection is not None and not connection.is_closing() and connection.stream is not None:
            with contextlib.suppress(StreamClosedError):
                connection.stream.write(text_frame(frame))
        self.close_with(code, reason)

    def close_with(self, code: CloseCode, reason: str) -> None:
        """Close with a code and a reason, cut to what a close frame holds (123 bytes)."""
        self.close(int(code), reason.encode()[:123].decode(errors="ignore"))


class Conversation(Protocol):
    """What one peer of a published protocol does, as its handler sees it."""

    async def receive(self, frame: str | bytes) -> None:
        """Do what one frame asks; TimeoutError and WebSocketClosedError say that the peer takes nothing."""

    async def aclose(self) -> None:
        """Leave, and end all tasks; idempotent."""


class ConversationHandler(InBandHandler):
    """A published endpoint that gives its frames to a conversation, and closes what says no hello."""

    hello_is = ""
    """What a peer has to say first; empty where it need not say anything."""

    def initialize(  # type: ignore[override]  # this one waits for a hello
        self, *, allowed_origins: frozenset[str], hello_timeout_s: float
    ) -> None:
        super().initialize(allowed_origins=allowed_origins)
        self._hello_timeout_s = hello_timeout_s
        self._conversation: Conversation | None = None
        self._hello: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        self._conversation = self.converse(**kwargs)
        if self.hello_is:
            self._hello = asyncio.get_running_loop().call_later(self._hello_timeout_s, self._too_late)

    def converse(self, **kwargs: str) -> Conversation:
        """Make the conversation with this peer; the arguments are those of the route."""
        raise NotImplementedError

    def _too_late(self) -> None:
        self.close_with(CloseCode.HELLO_TIMEOUT, f"{self.hello_is} first, and sooner")

    async def receive(self, message: str | bytes) -> None:
        assert self._conversation is not None, "open() comes first"
        if self._hello is not None:
            self._hello.cancel()  # whatever it says, it gets an answer
        try:
            await self._conversation.receive(message)
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, "takes no data; come back and resume")
        except WebSocketClosedError:
            return
        except Exception:
            log.exception("a frame was not handled by %s", type(self).__name__)
            self.close_with(CloseCode.INTERNAL_ERROR, "the gateway failed; its log says why")

    def on_close(self) -> None:
        super().on_close()
        if self._hello is not None:
            self._hello.cancel()
        if self._conversation is not None:
            self._leaving = asyncio.create_task(self._conversation.aclose(), name="leave")
