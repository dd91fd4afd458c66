"""WS ``embedenv/rooms/{room}/api/kernels/{id}/channels``: one client of a kernel.

The protocol: docs/protocols/kernels.md.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Iterator

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from embedenv_jupyter.errors import CloseCode, EmbedEnvError, RemoteProtocolError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import Principal, entered
from embedenv_jupyter.handlers.base import InBandHandler
from embedenv_jupyter.handlers.problems import problem_of
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.kernels.rendering import Piece, Renderer
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.protocols.websocket import text_frame
from embedenv_jupyter.rooms.log import Watcher
from embedenv_jupyter.rooms.members import Member

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 60.0
MAX_SESSION_CHARS = 200
MAX_NUMBER_DIGITS = 19


class KernelChannelsHandler(InBandHandler):
    """Authenticated as REST is, by Jupyter's login or a key; then messages, both ways."""

    def initialize(self, *, gateway: Gateway) -> None:  # type: ignore[override]
        super().initialize()
        self._gateway = gateway
        self._kernel: Kernel | None = None
        self._principal: Principal | None = None
        self._session: KernelSession | None = None
        self._member: Member | None = None
        self._is_over = False
        self._carrier: asyncio.Task[None] | None = None
        self._is_resumable = False

    @property
    def max_message_size(self) -> int:
        return protocol.MAX_MESSAGE_BYTES

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        for known in (protocol.RESUMABLE, protocol.V1):
            if known in subprotocols:
                self._is_resumable = known == protocol.RESUMABLE
                return known
        return None

    @allow_unauthenticated
    async def get(self, room_id: str, kernel_id: str) -> None:  # type: ignore[override]
        """Find out who asks, and for what, before the upgrade: a refusal is an HTTP answer."""
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if not {protocol.V1, protocol.RESUMABLE} & {name.strip() for name in offered.split(",")}:
            raise HTTPError(400, f"ask for the subprotocol {protocol.V1}")
        try:
            await self._gateway.ready()
            room, self._principal = await entered(self, self._gateway, room_id, "execute")
            self._kernel = self._gateway.kernels.of(room).find(kernel_id)
        except EmbedEnvError as exc:
            raise HTTPError(problem_of(exc).status_code, str(exc).replace("%", "%%")) from exc
        await WebSocketHandler.get(self, room_id, kernel_id)

    async def open(self, *args: str, **kwargs: str) -> None:  # type: ignore[override]
        super().open()
        assert self._kernel is not None and self._principal is not None, "get() comes first"
        id = self.get_query_argument("session_id", "") or uuid.uuid4().hex
        try:
            await self._enter(self._kernel, self._principal, id)
        except EmbedEnvError as exc:
            self.close_with(CloseCode.POLICY_VIOLATION, str(exc))
        except WebSocketClosedError:
            return

    async def _enter(self, kernel: Kernel, who: Principal, id: str) -> None:
        if len(id) > MAX_SESSION_CHARS:
            raise RemoteProtocolError(f"a session_id has at most {MAX_SESSION_CHARS} characters")
        before = kernel.sessions.get(id)
        token = before.member.token if before is not None and before.owner == who.owner else None
        member = self._member = kernel.room.people.enter(who.visitor, token=token, put_out=self._put_out)
        try:
            session = await kernel.join(id, member, who.owner)
            watcher = kernel.log.watch(self._start(session))
        except BaseException:
            self._leave()
            raise
        if self._is_over:  # the client has gone, or was put out, while the kernel was busy with others
            return
        if isinstance(session.connection, KernelChannelsHandler):
            session.connection.end_with(CloseCode.GOING_AWAY, "this session has connected again")
        session.connection = self
        self._session = session
        if self._is_resumable:
            hello = protocol.Hello(n=kernel.log.last, received=session.receiver.received)
            await self.send_frames([protocol.encode_notice(hello).encode()])
        self._carrier = asyncio.create_task(self._carry(kernel, session, watcher), name=f"carrier of {id}")

    def _put_out(self, reason: str) -> None:
        self.end_with(CloseCode.REVOKED, reason)

    def end_with(self, code: CloseCode, reason: str) -> None:
        """Close, and until the client has heard of it neither send it nor take from it anything more."""
        self._is_over = True
        if self._carrier is not None:
            self._carrier.cancel()
        self.close_with(code, reason)

    def _start(self, session: KernelSession) -> int:
        """Return the number after which the client wants to read on.

        Raises:
            RemoteProtocolError: it says a number that is none.
        """
        asked = self.get_query_argument("resume", "")
        if not self._is_resumable or not asked:
            return session.position
        if not asked.isdecimal() or len(asked) > MAX_NUMBER_DIGITS:
            raise RemoteProtocolError(f"resume is a number, not {asked!r:.40}")
        return int(asked)

    async def receive(self, message: str | bytes) -> None:
        session, kernel = self._session, self._kernel
        if session is None or kernel is None or self._is_over:
            return
        try:
            async with session.taking:
                await self._take(kernel, session, message)
        except RemoteProtocolError as exc:
            log.info("kernel %s closes a client: %s", kernel.id, exc)
            self.close_with(exc.code, str(exc))
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, "the kernel takes no messages")
        except WebSocketClosedError:
            return
        except Exception:
            log.exception("a message to kernel %s was not handled", kernel.id)
            self.close_with(CloseCode.INTERNAL_ERROR, "the gateway failed; its log says why")

    async def _take(self, kernel: Kernel, session: KernelSession, message: str | bytes) -> None:
        if isinstance(message, str):
            raise RemoteProtocolError("kernel messages are binary", CloseCode.UNSUPPORTED_DATA)
        if not self._is_resumable:
            await kernel.receive(session, protocol.decode(message, protocol.CLIENT_CHANNELS))
            return
        number, decoded = protocol.decode_numbered(message, protocol.CLIENT_CHANNELS)
        receiver = session.receiver
        if receiver.receive(number):
            await kernel.receive(session, decoded)
        is_answered = messages.kind_of(decoded.parts).endswith("_request")
        if receiver.done(number, len(message), is_answered=is_answered):
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self.send_framed(self._owed(session))

    async def _carry(self, kernel: Kernel, session: KernelSession, watcher: Watcher) -> None:
        """Send what the kernel's log has for this client, at the client's pace."""
        renderer = Renderer(session.id, is_resumable=self._is_resumable)
        try:
            async with watcher:
                async for records in watcher:
                    await self._send_all(session, renderer.render(records))
                    self._note(session, watcher.position)
            self.close_with(CloseCode.ROOM_ENDED, "this kernel has ended")
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, f"took no data for {SEND_TIMEOUT_S:g} s; come back")
        except WebSocketClosedError:
            return
        except Exception:
            log.exception("the log of kernel %s was not carried to a client", kernel.id)
            self.close_with(CloseCode.INTERNAL_ERROR, "the gateway failed; its log says why")

    async def _send_all(self, session: KernelSession, pieces: Iterator[Piece]) -> None:
        for piece in pieces:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self.send_framed(self._owed(session) + piece.data)
            self._note(session, piece.last)
            await asyncio.sleep(0)

    def _owed(self, session: KernelSession) -> bytes:
        """Return the acknowledgement that the client is owed, framed; empty where it is owed none."""
        ack = session.receiver.acknowledgement()
        return b"" if ack is None else text_frame(protocol.encode_notice(ack).encode())

    def _note(self, session: KernelSession, number: int) -> None:
        """Note how far the client was sent everything, unless it has another connection by now."""
        if session.connection is self:
            session.position = number

    def on_close(self) -> None:
        super().on_close()
        self._is_over = True
        if self._carrier is not None:
            self._carrier.cancel()
        self._leave()

    def _leave(self) -> None:
        """Give back the place and the member; idempotent."""
        member, self._member = self._member, None
        if member is None or self._kernel is None:
            return
        session = self._session
        if session is not None and session.connection is self:
            says_goodbye = self._is_resumable and self.close_code == CloseCode.NORMAL
            session.connection = None
            session.left_at_s = -math.inf if says_goodbye else time.monotonic()
        self._kernel.room.people.leave(member, self._put_out)
