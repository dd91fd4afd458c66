"""Readers of the log: each is a position, and reads at its own pace."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from embedenv_jupyter.rooms.log.history import History
from embedenv_jupyter.rooms.log.records import Gap, Record
from embedenv_jupyter.rooms.log.segments import Chunk

READ_RECORDS: Final = 256
READ_BYTES: Final = 256 << 10
"""What one read returns at most of program output, if it is more than one record."""


class Watchers:
    """The attached watchers of one log, and how they are woken.

    All who wait share one :class:`asyncio.Event`; it is made when the first one
    begins to wait and thrown away when it is set, so that appending costs nothing
    while nobody waits, and any number of appends in one turn of the loop wake
    each reader once.
    """

    def __init__(self) -> None:
        self.attached: set[Watcher] = set()
        self._news: asyncio.Event | None = None
        self.is_pace = False
        self._progress: asyncio.Event | None = None
        self._on_progress: Callable[[], None] = lambda: None

    def on_progress(self, call: Callable[[], None]) -> None:
        """Have ``call`` called when a watcher has moved on, came or went, while ``is_pace`` is set."""
        self._on_progress = call

    @property
    def fastest(self) -> int | None:
        """The position of the watcher that has read most; ``None`` when nobody watches."""
        return max((watcher.position for watcher in self.attached), default=None)

    def ring(self) -> None:
        """Wake everybody who waits for news."""
        if self._news is not None:
            self._news.set()
            self._news = None

    async def news(self) -> None:
        """Wait for the next :meth:`ring`."""
        if self._news is None:
            self._news = asyncio.Event()
        await self._news.wait()

    def progressed(self) -> None:
        """Note that a watcher has moved on, came or went."""
        if self._progress is not None:
            self._progress.set()
            self._progress = None
        if self.is_pace:
            self._on_progress()

    async def come_to(self, number: int) -> None:
        """Wait until no attached watcher is behind ``number``."""
        while any(watcher.position < number for watcher in self.attached):
            if self._progress is None:
                self._progress = asyncio.Event()
            await self._progress.wait()


class _Stage(enum.Enum):
    NEW = enum.auto()
    ATTACHED = enum.auto()
    DETACHED = enum.auto()


class Watcher:
    """A position in a log. Made by :meth:`Log.watch`; attached while it is entered.

    ::

        async with room.log.watch(after=n) as watcher:
            async for batch in watcher:
                for item in batch:
                    ...  # a Record (mind its ``skip``) or a Gap

    One task reads. A read that is cancelled has taken nothing.
    """

    def __init__(
        self,
        history: History,
        watchers: Watchers,
        after: int,
        *,
        is_finished: Callable[[], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self.position = after
        self._history = history
        self._watchers = watchers
        self._is_finished = is_finished
        self._monotonic = monotonic
        self._stage = _Stage.NEW
        self._is_reading = False
        self._read_at_s = monotonic()
        self._bytes: int | None = None
        self._loaded: list[Record] = []
        self._ahead: Chunk | None = None
        self._current: Chunk | None = None  # only held, so that others find it while this reader is at it

    # Being attached.

    async def __aenter__(self) -> Self:
        if self._stage is not _Stage.NEW:
            raise RuntimeError("a watcher is entered once")
        self._stage = _Stage.ATTACHED
        self._read_at_s = self._monotonic()
        self._watchers.attached.add(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.detach()

    def detach(self) -> None:
        """Let go: producers no longer wait for this watcher. A read that waits fails. Idempotent."""
        if self._stage is _Stage.ATTACHED:
            self._watchers.attached.discard(self)
        self._stage = _Stage.DETACHED
        self._loaded, self._ahead, self._current = [], None, None
        self._watchers.ring()
        self._watchers.progressed()

    # How far behind.

    @property
    def lag_events(self) -> int:
        """How many numbers the watcher has not read."""
        return self._history.last - self.position

    @property
    def lag_bytes(self) -> int:
        """How much program output (UTF-8 bytes) the watcher has not read.

        Before its first read this is rounded up to what is on disk in one piece.
        """
        known = self._bytes
        if known is None:
            known = self._history.before_bytes(self.position + 1)
        return self._history.total_bytes - known

    @property
    def stalled_s(self) -> float:
        """For how many seconds there was something to read and the reader did not come for it.

        0 while the reader waits in :meth:`read`, or has read everything.
        """
        if self._is_reading or not self.lag_events:
            return 0.0
        return self._monotonic() - self._read_at_s

    # Reading.

    async def read(self, limit: int = READ_RECORDS) -> list[Record | Gap]:
        """Return what comes next, at least one item; wait until there is something.

        At most ``limit`` items, and about ``READ_BYTES``. An empty list is the
        end: the log is finished and everything was read.

        Raises:
            OSError: the disk cannot be read at the moment (no descriptors left).
            RuntimeError: the watcher is not attached, or is being read already.
        """
        if limit < 1:
            raise ValueError(f"a read returns at least 1 item, not {limit}")
        if self._is_reading:
            raise RuntimeError("this watcher is being read already")
        self._is_reading = True
        try:
            while True:
                self._require_attached()
                if items := self._next(limit):
                    return items
                if self.position < self._history.last:
                    await self._load()
                elif self._is_finished():
                    return []
                else:
                    await self._watchers.news()
        finally:
            self._is_reading = False
            self._read_at_s = self._monotonic()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Record | Gap]:
        items = await self.read()
        if not items:
            raise StopAsyncIteration
        return items

    def _require_attached(self) -> None:
        if self._stage is not _Stage.ATTACHED:
            raise RuntimeError(f"this watcher is {self._stage.name.lower()}: read it inside `async with`")

    def _next(self, limit: int) -> list[Record | Gap]:
        """Take what is there without waiting: from disk as loaded before, from memory, or a gap."""
        if self._loaded:
            records, self._loaded = self._loaded[:limit], self._loaded[limit:]
        else:
            records = self._history.recent(self.position, limit, READ_BYTES)
        if records:
            return self._advance_over(records)
        if self._ahead is None and (gap := self._history.gap(self.position, self._bytes)) is not None:
            self._advance(gap.last, self._history.before_bytes(gap.last + 1))
            return [gap]
        return []

    def _advance_over(self, records: list[Record]) -> list[Record | Gap]:
        newest = records[-1]
        items: list[Record | Gap] = [records[0].after(self.position), *records[1:]]
        self._advance(newest.last, newest.end_bytes)
        return items

    def _advance(self, position: int, before_bytes: int | None) -> None:
        self.position = position
        self._bytes = before_bytes
        self._watchers.progressed()

    async def _load(self) -> None:
        """Get the next block from disk, and begin to read the one behind it."""
        chunk = self._ahead or self._history.chunk(self.position)
        assert chunk is not None, "a number is in memory, on disk, or in a gap"
        self._ahead = self._current = chunk
        try:
            records = await self._history.load(chunk)
        except OSError:
            self._ahead = self._current = None  # the next read tries again
            raise
        self._ahead = None
        self._loaded = [record for record in records if record.last > self.position]
        if self._loaded and not self._history.recent(chunk.block.last, 1, 0):
            self._ahead = self._history.chunk(chunk.block.last)
