"""WS ``embedenv/rooms/{room}/documents/PATH``: one of those who write in a text file together.

The protocol is that of ``y-websocket`` (:mod:`embedenv_jupyter.protocols.shared_documents`).
For users: docs/files.md.
"""

from __future__ import annotations

from embedenv_jupyter.errors import CloseCode, EmbedEnvError, RemoteProtocolError, RoleError
from embedenv_jupyter.handlers.room_sockets import RoomSocketHandler
from embedenv_jupyter.protocols import shared_documents as protocol
from embedenv_jupyter.protocols.websocket import binary_frame
from embedenv_jupyter.rooms.contents import api_path
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.rooms.shared_documents import Place, SharedDocument


class SharedDocumentHandler(RoomSocketHandler):
    """One connection to a document."""

    kind = "document"
    action = "read"
    _document: SharedDocument
    _place: Place | None = None

    @property
    def max_message_size(self) -> int:
        return protocol.MAX_MESSAGE_BYTES

    async def find(self, room: Room, name: str) -> None:
        self._document = await room.documents.open(api_path(name))

    def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        try:
            member = self.enter()
        except EmbedEnvError as exc:
            self.end_with(CloseCode.ROOM_ENDED, str(exc))
            return
        self._place = self._document.join(member, self.close_with)
        self.start_carrier()

    async def take(self, message: str | bytes) -> None:
        assert self._place is not None, "open() comes first"
        if isinstance(message, str):
            raise RemoteProtocolError("frames of a document are binary", CloseCode.UNSUPPORTED_DATA)
        try:
            self._document.receive(self._place, protocol.decode(message))
        except RoleError as exc:
            self.close_with(CloseCode.REVOKED, str(exc))

    async def carry(self) -> None:
        assert self._place is not None, "open() comes first"
        while True:
            frames = await self._place.outbox.take()
            await self.send_in_time(b"".join(map(binary_frame, frames)))

    def leave(self) -> None:
        if self._place is not None:
            self._document.leave(self._place)
        super().leave()
