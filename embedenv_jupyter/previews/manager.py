"""The previews of rooms: who has the address sees a port, until it expires, is revoked or the room ends."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from embedenv_jupyter.errors import BusyError, PreviewError, RoomClosedError, UnknownPreviewError
from embedenv_jupyter.rooms.room import Room

MAX_PREVIEWS = 256
"""Of one room."""
MAX_ENDED = 4096
"""How many addresses are remembered that show nothing any more, to say so."""


class Preview:
    """An address that shows a port of a room to whoever has it, until ``expires_at`` (UTC seconds)."""

    def __init__(self, room: Room, port: int, expires_at: float) -> None:
        self.capability = secrets.token_urlsafe(32)
        self.room = room
        self.port = port
        self.expires_at = expires_at
        self.end_reason: str | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self._cuts: set[Callable[[], None]] = set()

    @contextlib.contextmanager
    def open(self, cut: Callable[[], None]) -> Iterator[None]:
        """Have ``cut`` called if the preview ends while something is shown.

        Raises:
            PreviewError: it has ended (410).
        """
        if self.end_reason is not None:
            raise PreviewError(410, self.end_reason)
        self._cuts.add(cut)
        try:
            yield
        finally:
            self._cuts.discard(cut)

    def end(self, reason: str) -> None:
        """Show nothing any more; idempotent."""
        if self.end_reason is not None:
            return
        self.end_reason = reason
        if self.expiry is not None:
            self.expiry.cancel()
        for cut in list(self._cuts):
            cut()


class PreviewManager:
    """All previews of a gateway, by the capability in their address."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._by_room: dict[str, dict[str, Preview]] = {}
        self._previews: dict[str, Preview] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()

    def make(self, room: Room, port: int, expires_s: float) -> Preview:
        """Make an address for a port of a room, whether anything listens there yet or not.

        Raises:
            BusyError: the room has as many as it may.
            RoomClosedError: it has ended.
        """
        if room.end_reason is not None:
            raise RoomClosedError(room.end_reason)
        if room.id not in self._by_room:
            self._by_room[room.id] = {}
            room.before_close(lambda: self._room_ends(room))
        of_room = self._by_room[room.id]
        if len(of_room) >= MAX_PREVIEWS:
            raise BusyError(f"This room has {MAX_PREVIEWS} previews already; revoke some of them first.")
        preview = Preview(room, port, self._clock() + expires_s)
        of_room[preview.capability] = self._previews[preview.capability] = preview
        preview.expiry = asyncio.get_running_loop().call_later(
            expires_s, self._end, preview, "This preview has expired."
        )
        return preview

    def of(self, room: Room) -> list[Preview]:
        """Return the previews of a room, the oldest first."""
        return list(self._by_room.get(room.id, {}).values())

    def find(self, capability: str) -> Preview:
        """Return the preview of an address.

        Raises:
            PreviewError: there is none (404), or there was one (410).
        """
        preview = self._previews.get(capability)
        if preview is not None:
            return preview
        if capability in self._ended:
            raise PreviewError(410, self._ended[capability])
        raise PreviewError(404, "There is no such preview.")

    def find_in(self, room: Room, capability: str) -> Preview:
        """Return a preview of one room.

        Raises:
            UnknownPreviewError: it has none of this name.
        """
        preview = self._by_room.get(room.id, {}).get(capability)
        if preview is None:
            raise UnknownPreviewError(capability)
        return preview

    def revoke(self, preview: Preview) -> None:
        """Let nobody see it any more; who does now is cut off. Idempotent."""
        self._end(preview, "This preview was taken back.")

    async def _room_ends(self, room: Room) -> None:
        for preview in self.of(room):
            self._end(preview, "The room of this preview has ended.")
        self._by_room.pop(room.id, None)

    def _end(self, preview: Preview, reason: str) -> None:
        self._previews.pop(preview.capability, None)
        self._by_room.get(preview.room.id, {}).pop(preview.capability, None)
        self._ended[preview.capability] = reason
        while len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)
        preview.end(reason)
