"""WS ``embedenv/rooms/{room}/documents/PATH``: one of those who write in a text file together.

The protocol is that of ``y-websocket`` (:mod:`embedenv_jupyter.protocols.shared_documents`).
For users: docs/files.md.
"""

from __future__ import annotations

import asyncio
import logging

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from embedenv_jupyter.errors import CloseCode, EmbedEnvError, RemoteProtocolError, RoleError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import Principal, entered
from embedenv_jupyter.handlers.base import InBandHandler
from embedenv_jupyter.handlers.problems import problem_of
from embedenv_jupyter.protocols import shared_documents as protocol
from embedenv_jupyter.protocols.websocket import binary_frame
from embedenv_jupyter.rooms.contents import api_path
from embedenv_jupyter.rooms.members import Member
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.rooms.shared_documents import Place, SharedDocument

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 60.0


class SharedDocumentHandler(InBandHandler):
    """Authenticated as REST is, by Jupyter's login or a key; then frames, both ways."""

    def initialize(self, *, gateway: Gateway) -> None:  # type: ignore[override]
        super().initialize()
        self._gateway = gateway
        self._room: Room | None = None
        self._principal: Principal | None = None
        self._document: SharedDocument | None = None
        self._member: Member | None = None
        self._place: Place | None = None
        self._carrier: asyncio.Task[None] | None = None

    @property
    def max_message_size(self) -> int:
        return protocol.MAX_MESSAGE_BYTES

    @allow_unauthenticated
    async def get(self, room_id: str, path: str) -> None:  # type: ignore[override]
        """Find out who asks, and open the file, before the upgrade: a refusal is an HTTP answer."""
        try:
            await self._gateway.ready()
            self._room, self._principal = await entered(self, self._gateway, room_id, "read")
            self._document = await self._room.documents.open(api_path(path))
        except EmbedEnvError as exc:
            raise HTTPError(problem_of(exc).status_code, str(exc).replace("%", "%%")) from exc
        await WebSocketHandler.get(self, room_id, path)

    def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        room, who, document = self._room, self._principal, self._document
        assert room is not None and who is not None and document is not None, "get() comes first"
        try:
            self._member = room.enter(who.visitor)
        except EmbedEnvError as exc:
            self.close_with(CloseCode.ROOM_ENDED, str(exc))
            return
        self._member.put_out.append(self._put_out)
        self._place = document.join(self._member, self.close_with)
        self._carrier = asyncio.create_task(self._carry(self._place), name=f"carrier of {document.path}")

    def _put_out(self, reason: str) -> None:
        self.close_with(CloseCode.REVOKED, reason)

    async def receive(self, message: str | bytes) -> None:
        document, place = self._document, self._place
        if document is None or place is None:
            return
        try:
            if isinstance(message, str):
                raise RemoteProtocolError("frames of a document are binary", CloseCode.UNSUPPORTED_DATA)
            document.receive(place, protocol.decode(message))
        except RoleError as exc:
            self.close_with(CloseCode.REVOKED, str(exc))
        except RemoteProtocolError as exc:
            log.info("a document of room %s closes a client: %s", self._room and self._room.id, exc)
            self.close_with(exc.code, str(exc))
        except Exception:
            log.exception("a frame of a document was not handled")
            self.close_with(CloseCode.INTERNAL_ERROR, "the gateway failed; its log says why")

    async def _carry(self, place: Place) -> None:
        """Send what the document has for this client, at the client's pace."""
        try:
            while True:
                frames = await place.outbox.take()
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self.send_framed(b"".join(map(binary_frame, frames)))
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, f"took no data for {SEND_TIMEOUT_S:g} s; come back")
        except WebSocketClosedError:
            return
        except Exception:
            log.exception("a document was not carried to a client")
            self.close_with(CloseCode.INTERNAL_ERROR, "the gateway failed; its log says why")

    def on_close(self) -> None:
        super().on_close()
        if self._carrier is not None:
            self._carrier.cancel()
        if self._document is not None and self._place is not None:
            self._document.leave(self._place)
        member, self._member = self._member, None
        if member is not None and self._room is not None:
            if self._put_out in member.put_out:
                member.put_out.remove(self._put_out)
            self._room.leave(member)
