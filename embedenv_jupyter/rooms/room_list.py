"""What one connection to ``rooms/events`` is told: the rooms that it may see, whenever they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.protocols import rooms as protocol
from embedenv_jupyter.protocols.faults import FrameError
from embedenv_jupyter.rooms.manager import RoomManager
from embedenv_jupyter.rooms.peer import SEND_TIMEOUT_S, Socket, guarded
from embedenv_jupyter.rooms.room import Room

PAUSE_S: Final = 0.25
"""Between two lists at least: what changes meanwhile is told together."""

Describe = Callable[[Room], Mapping[str, Any] | None]
"""Returns the model of a room for this peer; ``None`` where it may not see it."""


class RoomsConversation:
    """One peer, from :meth:`begin` to :meth:`aclose`; it may only ping."""

    def __init__(
        self,
        rooms: RoomManager,
        describe: Describe,
        socket: Socket,
        *,
        send_timeout_s: float = SEND_TIMEOUT_S,
    ) -> None:
        self._rooms = rooms
        self._describe = describe
        self._socket = socket
        self._send_timeout_s = send_timeout_s
        self._models: dict[str, Mapping[str, Any]] = {}
        self._changed: set[Room] = set()
        self._news = asyncio.Event()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._telling: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Send the list, and again when it has changed."""
        self._unsubscribe = self._rooms.on_change(self._room_changed)
        self._changed.update(self._rooms)
        self._news.set()
        self._telling = asyncio.create_task(
            guarded(self._tell, self._socket.close_with, self._send_timeout_s, "the list of rooms"),
            name="list of rooms",
        )

    def _room_changed(self, room: Room) -> None:
        self._changed.add(room)
        self._news.set()

    async def receive(self, frame: str | bytes) -> None:
        """Answer a ping; anything else is refused, and the connection lives."""
        try:
            asked = protocol.decode_ping(frame)
        except FrameError as exc:
            await self._send([protocol.Error(str(exc), protocol.FRAME_ERROR)])
        else:
            await self._send([protocol.Pong(asked.id)])

    async def _tell(self) -> None:
        before: list[Mapping[str, Any]] | None = None
        while True:
            await self._news.wait()
            self._news.clear()
            frames: list[protocol.ServerFrame] = [*self._update()]
            rooms = list(self._models.values())
            if rooms != before or frames:
                frames.append(protocol.Rooms(tuple(rooms)))  # last: of what is missing now, the end is told
                before = rooms
                await self._send(frames)
            await asyncio.sleep(PAUSE_S)

    def _update(self) -> list[protocol.Ended]:
        """Look again at the rooms that have changed; return the ends of those that have ended."""
        ends: list[protocol.Ended] = []
        changed, self._changed = self._changed, set()
        for room in sorted(changed, key=lambda room: room.created_at):
            model = None if room.ended.is_set() else self._describe(room)
            if model is not None:
                self._models[room.id] = model
            elif self._models.pop(room.id, None) is not None:
                ending = self._rooms.endings.find(room.id)
                if ending is not None:
                    ends.append(protocol.Ended(msgspec.to_builtins(ending.shown)))
        return ends

    async def _send(self, frames: list[protocol.ServerFrame]) -> None:
        async with deadline(self._send_timeout_s):
            await self._socket.send_frames(list(map(protocol.encode, frames)))

    async def aclose(self) -> None:
        """End the task; idempotent."""
        self._unsubscribe()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
