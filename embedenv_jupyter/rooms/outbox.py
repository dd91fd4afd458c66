"""What waits to be sent to one of several who write in a document."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MAX_WAITING_BYTES: Final = 4 << 20
"""Whoever takes less is sent the whole document instead of what was missed."""


class Outbox:
    """Frames for one reader, in order. ``whole`` makes the frames that stand for all that were missed."""

    def __init__(self, whole: Callable[[], list[bytes]]) -> None:
        self._whole = whole
        self._frames: list[bytes] = []
        self._size_bytes = 0
        self._is_behind = False
        self._filled = asyncio.Event()

    def put(self, frame: bytes) -> None:
        """Let a frame be sent."""
        self._filled.set()
        if self._is_behind:
            return
        self._frames.append(frame)
        self._size_bytes += len(frame)
        if self._size_bytes > MAX_WAITING_BYTES and len(self._frames) > 1:
            self._is_behind = True
            self._frames.clear()

    async def take(self) -> list[bytes]:
        """Wait until there is something to send, and return all of it."""
        await self._filled.wait()
        self._filled.clear()
        frames, self._frames = self._frames, []
        self._size_bytes = 0
        if self._is_behind:
            self._is_behind = False
            return self._whole()
        return frames
