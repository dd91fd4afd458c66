"""A bounded queue of events between a program's pipes and whoever reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from embedenv_jupyter.engine.events import Displayed, Event, Outcome, Output

MAX_WAITING_BYTES: Final = 256 << 10
"""How much output may wait for a reader before the program is not read any more."""


class EventQueue:
    """Events in order, for one reader; who puts output in waits while too much of it is unread."""

    def __init__(self, limit_bytes: int = MAX_WAITING_BYTES) -> None:
        self._limit = limit_bytes
        self._events: deque[Event] = deque()
        self._waiting_bytes = 0
        self._error: BaseException | None = None
        self._is_over = False
        self._readable = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def put(self, event: Event) -> None:
        """Add an event; output waits until there is room for it."""
        if size := _size_of(event):
            await self._has_room.wait()
            self._count(size)
        if not self._is_over:
            self._events.append(event)
            self._readable.set()

    def fail(self, error: BaseException) -> None:
        """Let the reader meet an error after what there is; for faults of our own."""
        self._error = error
        self._readable.set()

    def discard(self) -> None:
        """Take no more, and let nobody wait, here or there; idempotent."""
        self._is_over = True
        self._events.clear()
        self._has_room.set()
        self._readable.set()

    async def events(self) -> AsyncIterator[Event]:
        """Yield the events up to the outcome, or until they are discarded."""
        while True:
            await self._readable.wait()
            if self._events:
                event = self._events.popleft()
                self._count(-_size_of(event))
                yield event
                if isinstance(event, Outcome):
                    return
            elif self._error is not None:
                raise self._error
            elif self._is_over:
                return
            else:
                self._readable.clear()

    def _count(self, change: int) -> None:
        self._waiting_bytes += change
        if self._waiting_bytes < self._limit or self._is_over:
            self._has_room.set()
        else:
            self._has_room.clear()


def _size_of(event: Event) -> int:
    """Return how much of the bound an event takes; what has no size is never waited with."""
    match event:
        case Output(data=data):
            return len(data)
        case Displayed(size_bytes=size_bytes):
            return size_bytes
    return 0
