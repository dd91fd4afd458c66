"""Looks at the rooms once a second: ends those that nobody uses, and puts out whose key has expired."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from embedenv_jupyter.rooms.events import IdleCountdown
from embedenv_jupyter.rooms.room import Room

LOOK_EVERY_S: Final = 1.0
COUNTDOWN_STEPS_S: Final = (60, 30, 10, 5)


class IdleWatch:
    """Owns the task that looks; ``idle_s`` is ``None`` where no room ends for being idle."""

    def __init__(
        self, rooms: Callable[[], Iterable[Room]], idle_s: float | None, clock: Callable[[], float]
    ) -> None:
        self._rooms = rooms
        self._idle_s = idle_s
        self._clock = clock
        self._warned: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; the loop must run."""
        if self._task is None:
            self._task = asyncio.create_task(self._look(), name="idle rooms")

    def stop_at(self, room: Room) -> int | None:
        """Return when a room ends if nobody comes (UTC seconds); ``None`` while it is used, or never."""
        if self._idle_s is None or room.is_busy:
            return None
        return round(self._clock() + room.last_active_s + self._idle_s - time.monotonic())

    def forget(self, room: Room) -> None:
        """Note the end of a room."""
        self._warned.pop(room.id, None)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for room in list(self._rooms()):
                room.people.revoke_expired()
                if self._idle_s is not None:
                    self._consider(room, self._idle_s)

    def _consider(self, room: Room, idle_s: float) -> None:
        """Count down in the log, then end the room; any sign of life starts anew."""
        if room.end_reason is not None:
            return  # its log may take no more, and no countdown was called off
        left_s = room.last_active_s + idle_s - time.monotonic()
        if room.is_busy or left_s > COUNTDOWN_STEPS_S[0]:
            if self._warned.pop(room.id, None) is not None:
                room.log.append(IdleCountdown(seconds=None, at=self._clock()))
            if room.is_busy:
                room.touch()
            return
        if left_s <= 0:
            room.begin_close("idle")
            return
        step = min(step for step in COUNTDOWN_STEPS_S if step >= left_s)
        if self._warned.get(room.id) != step:
            self._warned[room.id] = step
            room.log.append(IdleCountdown(seconds=round(left_s, 1), at=self._clock()))

    async def aclose(self) -> None:
        """Look no more; idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
