"""``embedenv/previews/CAPABILITY/…``: what a program of a room serves, to whoever has the address.

The address is all that is asked for. Cookies and logins are not looked at, neither
ours nor anybody's, so a foreign page that sends a request here borrows nothing.
docs/previews.md says what a preview is kept from.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from contextlib import ExitStack, aclosing
from typing import Any

import websockets
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import CloseCode, PreviewError, SandboxUnavailableError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.base import InBandHandler, StreamedRequestHandler
from embedenv_jupyter.previews import headers, upstream
from embedenv_jupyter.previews.html import page_script
from embedenv_jupyter.previews.links import Place
from embedenv_jupyter.previews.manager import Preview
from embedenv_jupyter.previews.pages import CONTENT_SECURITY_POLICY, page_of
from embedenv_jupyter.previews.repair import rewriter_for
from embedenv_jupyter.previews.sockets import MAX_MESSAGE_BYTES, close_code_for, open_socket

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 40
"""None is kept here: what a program takes is its own business."""
SEND_TIMEOUT_S = 600.0
"""A browser may take its time: it stops reading a video that is paused."""
WEBDAV = ("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "QUERY")


@stream_request_body
class PreviewHandler(StreamedRequestHandler, InBandHandler):
    """One request to a preview: HTTP, or the beginning of a WebSocket."""

    SUPPORTED_METHODS = (*InBandHandler.SUPPORTED_METHODS, *WEBDAV)

    def initialize(self, *, gateway: Gateway) -> None:  # type: ignore[override]
        super().initialize()
        self._gateway = gateway
        self._held = ExitStack()
        self._exchange: upstream.Exchange | None = None
        self._answering: asyncio.Task[None] | None = None
        self._upstream: websockets.ClientConnection | None = None
        self._carrier: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    @property
    def max_message_size(self) -> int:
        return MAX_MESSAGE_BYTES

    def check_origin(self, origin: str | None = None) -> bool:
        """Accept any: a sandboxed page has none of its own, and the address is what counts."""
        return True

    def check_xsrf_cookie(self) -> None:
        """No cookie counts here, so none can be abused."""

    async def prepare(self) -> None:  # type: ignore[override]
        self.current_user = self._jupyter_current_user = None  # not asked: an answer could set a cookie
        for name in ("Server", "Content-Type", "Date"):
            self.clear_header(name)
        if not JupyterHandler.check_host(self):
            raise HTTPError(403)
        self._is_upgrade = "websocket" in self.request.headers.get("Upgrade", "").lower()
        try:
            await self._begin(await self._preview())
        except PreviewError as exc:
            self._refuse(exc)
            self.finish()

    async def _preview(self) -> Preview:
        """Return what is to be shown, which is cut off from now on when it ends."""
        try:
            await self._gateway.ready()
        except SandboxUnavailableError as exc:
            raise PreviewError(503, str(exc)) from exc
        preview = self._gateway.previews.find(self.path_kwargs["capability"])
        self._held.enter_context(preview.open(self._cut))
        preview.room.touch()
        return preview

    async def _begin(self, preview: Preview) -> None:
        """Ask the program, as soon as the head of the request is there."""
        request, name = self.request, f"/previews/{preview.capability}"
        before, _, rest = (request.uri or "").partition(name)
        path, _, query = rest.partition("?")
        if not path:
            self.redirect(f"{preview.capability}/" + (f"?{query}" if query else ""))
            return
        pairs = list(request.headers.get_all())
        if (allowed := headers.preflight(pairs)) is not None and request.method == "OPTIONS":
            self._set_headers(allowed)
            self.set_status(204)
            self.finish()
            return
        if request.headers.get("Service-Worker"):
            raise PreviewError(403, "A preview has no service workers.")
        target = headers.target_of(path, query)
        passed = headers.to_program(
            pairs, port=preview.port, host=request.host, scheme=request.protocol, prefix=before + name
        )
        if self._is_upgrade:
            self._upstream = await open_socket(
                preview.room.sandbox, preview.port, target, passed, _offered(request.headers)
            )
            return
        request.connection.set_max_body_size(MAX_BODY_BYTES)  # type: ignore[union-attr]
        connection = await upstream.connect(preview.room.sandbox, preview.port)
        exchange = self._held.enter_context(upstream.Exchange(connection, preview.port))
        await exchange.send_head(request.method or "GET", target, [*passed, *_framing(request.headers)])
        self._exchange = exchange
        place = Place(path, preview.port, preview.capability)
        self._answering = asyncio.create_task(self._answer(exchange, place), name="answer of a preview")

    # HTTP.

    async def data_received(self, chunk: bytes) -> None:
        if self._exchange is not None:
            with contextlib.suppress(PreviewError):  # its answer says more, or its silence does
                await self._exchange.send_body(chunk)

    @allow_unauthenticated
    async def proxied(self, *args: str, **kwargs: str) -> None:
        """Say that the request is whole, and wait until the answer is passed on."""
        self.is_read = True
        if self._exchange is None or self._answering is None:
            return
        with contextlib.suppress(PreviewError):
            await self._exchange.end_body()
        await asyncio.wait({self._answering})
        if not self._answering.cancelled():
            self._answering.result()

    head = post = put = patch = delete = options = proxied
    propfind = proppatch = mkcol = copy = move = lock = unlock = report = search = query = proxied

    async def _answer(self, exchange: upstream.Exchange, place: Place) -> None:
        """Pass the answer on, as fast as the browser takes it."""
        try:
            await self._pass_on(exchange, place)
        except PreviewError as exc:
            if self._headers_written:
                log.info("an answer of port %d was cut: %s", place.port, exc)
                self._cut()
            else:
                self._refuse(exc)
        except (TimeoutError, StreamClosedError):
            self._cut()

    async def _pass_on(self, exchange: upstream.Exchange, place: Place) -> None:
        head = await exchange.head()
        rewriter = rewriter_for(head, self.request.headers.get("Sec-Fetch-Dest"), place, page_script)
        self.set_status(head.status, head.reason or "Unknown")
        self._set_headers(headers.to_browser(head.headers, place, is_repaired=rewriter is not None))
        await self._send(b"")
        async with aclosing(exchange.body()) as body:
            async for piece in body:
                await self._send(rewriter.feed(piece) if rewriter is not None else piece)
        if rewriter is not None and self.request.method != "HEAD":
            await self._send(rewriter.finish())

    async def _send(self, data: bytes) -> None:
        if data:
            self.write(data)
        async with deadline(SEND_TIMEOUT_S):
            await self.flush()

    def _set_headers(self, pairs: headers.Headers) -> None:
        for name, value in pairs:
            self.add_header(name, value)

    def _refuse(self, error: PreviewError) -> None:
        """Show a small page instead."""
        self.set_status(error.status)
        self._set_headers(headers.OWN[1:])
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(page_of(error))

    def _cut(self) -> None:
        """End what is being shown: the browser sees that it is not whole."""
        if self._upstream is not None and self.ws_connection is not None:
            self.close_with(CloseCode.GOING_AWAY, "this preview has ended")
            return
        if self._answering is not None:
            self._answering.cancel()
        self.request.connection.stream.close()  # type: ignore[union-attr]

    def on_connection_close(self) -> None:
        if self.ws_connection is not None:
            super().on_connection_close()
            return
        RequestHandler.on_connection_close(self)
        self._release()

    def on_finish(self) -> None:
        if self.get_status() != 101:  # the head that begins a WebSocket is finished, too
            self._release()

    def _release(self) -> None:
        """Give back the connection to the program; idempotent."""
        if self._answering is not None:
            self._answering.cancel()
        self._held.close()
        if self._upstream is not None and self._leaving is None:
            self._leaving = asyncio.create_task(self._leave(self._upstream), name="leave a preview")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Say nothing of a browser that goes in the middle: they do."""
        if not isinstance(value, StreamClosedError):
            super().log_exception(typ, value, tb)

    # WebSocket.

    @allow_unauthenticated
    async def get(self, *args: str, **kwargs: str) -> None:
        if self._is_upgrade and self._upstream is not None:
            self.is_read = True
            await WebSocketHandler.get(self, *args, **kwargs)
        else:
            await self.proxied()

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return self._upstream.subprotocol if self._upstream is not None else None

    def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        assert self._upstream is not None, "get() comes first"
        self._carrier = asyncio.create_task(self._carry(self._upstream), name="socket of a preview")

    async def _carry(self, program: websockets.ClientConnection) -> None:
        """Pass messages of the program on, as fast as the browser takes them; then its close."""
        try:
            async for message in program:
                async with deadline(SEND_TIMEOUT_S):
                    await self.write_message(message, binary=isinstance(message, bytes))
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, f"took no data for {SEND_TIMEOUT_S:g} s")
        except WebSocketClosedError:
            return
        except websockets.ConnectionClosed:
            pass
        code, reason = close_code_for(program)
        self.close(code, reason)

    async def receive(self, message: str | bytes) -> None:
        assert self._upstream is not None, "open() comes first"
        try:
            async with deadline(upstream.SEND_TIMEOUT_S):
                await self._upstream.send(message)
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, "the program takes no messages")
        except websockets.ConnectionClosed:
            return

    def on_close(self) -> None:
        super().on_close()
        self._release()

    async def _leave(self, program: websockets.ClientConnection) -> None:
        if self._carrier is not None:
            self._carrier.cancel()
            await asyncio.gather(self._carrier, return_exceptions=True)
        code = self.close_code or CloseCode.GOING_AWAY
        is_sendable = code in (1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011) or 3000 <= code < 5000
        await program.close(code if is_sendable else CloseCode.GOING_AWAY, self.close_reason or "")


def _offered(sent: Any) -> list[str]:
    """Return the subprotocols that the browser speaks."""
    return [name.strip() for name in sent.get("Sec-WebSocket-Protocol", "").split(",") if name.strip()]


def _framing(sent: Any) -> headers.Headers:
    """Return how the body is framed for the program: by its length where that is known."""
    if "Content-Length" in sent:
        return [("Content-Length", sent["Content-Length"])]
    return [("Transfer-Encoding", "chunked")] if "Transfer-Encoding" in sent else []
