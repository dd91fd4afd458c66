"""What all WebSocket handlers of ours share.

Two classes and not Jupyter's ``WebSocketMixin``: its ping settings are in
milliseconds and shadow Tornado's, which are in seconds.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols.websocket import text_frame

PING_INTERVAL_S = 30.0
PING_TIMEOUT_S = 20.0


class InBandHandler(WebSocketHandler, JupyterHandler):  # type: ignore[misc]
    """A published endpoint: who speaks is decided by keys inside the socket.

    Cookies, tokens and logins of Jupyter are never looked at here, so a foreign
    page that opens the socket has no authority to borrow. A request that comes
    from a page of another origin is refused all the same, unless listed.
    """

    def initialize(self, *, allowed_origins: frozenset[str] = frozenset()) -> None:
        self._allowed_origins = allowed_origins

    @property
    def ping_interval(self) -> float:
        return PING_INTERVAL_S

    @property
    def ping_timeout(self) -> float:
        return PING_TIMEOUT_S

    async def prepare(self) -> None:
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
        if connection is None or connection.is_closing():
            raise WebSocketClosedError
        try:
            # One write for all: write_message would be a system call for each frame.
            await connection.stream.write(data)
        except StreamClosedError as exc:
            raise WebSocketClosedError from exc

    def close_with(self, code: CloseCode, reason: str) -> None:
        """Close with a code and a reason, cut to what a close frame holds (123 bytes)."""
        self.close(int(code), reason.encode()[:123].decode(errors="ignore"))

