"""WS ``embedenv/rooms/{room}/api/kernels/{id}/channels``: one client of a kernel.

The protocol: docs/protocols/kernels.md.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Iterator

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError

from embedenv_jupyter.errors import CloseCode, EmbedEnvError, RemoteProtocolError
from embedenv_jupyter.handlers.room_sockets import RoomSocketHandler
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.kernels.rendering import Piece, Renderer
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.protocols.websocket import text_frame
from embedenv_jupyter.rooms.log import Watcher
from embedenv_jupyter.rooms.room import Room

MAX_SESSION_CHARS = 200
MAX_NUMBER_DIGITS = 19


class KernelChannelsHandler(RoomSocketHandler):
    """One connection of a client of a kernel, which may come back and resume."""

    kind = "kernel"
    _kernel: Kernel
    _watcher: Watcher
    _session: KernelSession | None = None
    _is_resumable = False

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
    async def get(self, room_id: str, **named: str) -> None:  # type: ignore[override]  # as its base
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if not {protocol.V1, protocol.RESUMABLE} & {name.strip() for name in offered.split(",")}:
            raise HTTPError(400, f"ask for the subprotocol {protocol.V1}")
        await super().get(room_id, **named)

    async def find(self, room: Room, name: str) -> None:
        self._kernel = self._gateway.kernels.of(room).find(name)

    async def open(self, *args: str, **kwargs: str) -> None:  # type: ignore[override]
        super().open()
        id = self.get_query_argument("session_id", "") or uuid.uuid4().hex
        try:
            await self._join(id)
        except EmbedEnvError as exc:
            self.end_with(CloseCode.POLICY_VIOLATION, str(exc))
        except WebSocketClosedError:
            return

    async def _join(self, id: str) -> None:
        if len(id) > MAX_SESSION_CHARS:
            raise RemoteProtocolError(f"a session_id has at most {MAX_SESSION_CHARS} characters")
        kernel, owner = self._kernel, self._who.owner
        before = kernel.sessions.get(id)
        member = self.enter(before.member.token if before is not None and before.owner == owner else None)
        try:
            session = await kernel.join(id, member, owner)
            self._watcher = kernel.log.watch(self._start(session))
        except BaseException:
            self.leave()
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
        self.start_carrier()

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

    async def take(self, message: str | bytes) -> None:
        session = self._session
        assert session is not None, "open() comes first"
        if isinstance(message, str):
            raise RemoteProtocolError("kernel messages are binary", CloseCode.UNSUPPORTED_DATA)
        async with session.taking:
            if not self._is_resumable:
                await self._kernel.receive(session, protocol.decode(message, protocol.CLIENT_CHANNELS))
                return
            number, decoded = protocol.decode_numbered(message, protocol.CLIENT_CHANNELS)
            receiver = session.receiver
            if receiver.receive(number):
                await self._kernel.receive(session, decoded)
            is_answered = messages.kind_of(decoded.parts).endswith("_request")
            if receiver.done(number, len(message), is_answered=is_answered):
                await self.send_in_time(self._owed(session))

    async def carry(self) -> None:
        session, watcher = self._session, self._watcher
        assert session is not None, "open() comes first"
        renderer = Renderer(session.id, is_resumable=self._is_resumable)
        async with watcher:
            async for records in watcher:
                await self._send_all(session, renderer.render(records))
                self._note(session, watcher.position)
        self.close_with(CloseCode.ROOM_ENDED, "this kernel has ended")

    async def _send_all(self, session: KernelSession, pieces: Iterator[Piece]) -> None:
        for piece in pieces:
            await self.send_in_time(self._owed(session) + piece.data)
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

    def leave(self) -> None:
        session = self._session
        if session is not None and session.connection is self:
            says_goodbye = self._is_resumable and self.close_code == CloseCode.NORMAL
            session.connection = None
            session.left_at_s = -math.inf if says_goodbye else time.monotonic()
        super().leave()
