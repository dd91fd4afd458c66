"""The log of a room: its numbered events, in memory, then on disk, then as gaps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import RoomClosedError, UnknownNumberError
from embedenv_jupyter.rooms.events import Event, RoomError
from embedenv_jupyter.rooms.log.history import History
from embedenv_jupyter.rooms.log.records import Record, Shelf
from embedenv_jupyter.rooms.log.segments import Segments
from embedenv_jupyter.rooms.log.spill import Bounds, Spill
from embedenv_jupyter.rooms.log.watcher import Watcher, Watchers

log = logging.getLogger(__name__)

LINGER_S: Final = 10.0
"""How long closing waits for watchers that have not read everything."""


class Log:
    """An ordered list of events that only grows; used from one event loop.

    ``directory`` is made when the first record is written, and must not hold
    another log; ``None`` keeps the log in memory. Sizes in bytes:

    * ``memory_bytes``: the newest records, as they weigh in memory. Frames that
      are kept with them (:meth:`Record.rendered`) may take as much again.
    * ``unwritten_bytes``: how much may wait for the disk before producers are held.
    * ``disk_bytes``: all segment files together; 0 keeps the log in memory.
    * ``segment_bytes``: one segment file, the piece in which the oldest is deleted.

    ``executor`` does what blocks (default: the loop's own). ``clock`` dates the
    log's own events, ``monotonic`` measures time.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        memory_bytes: int = 1 << 20,
        unwritten_bytes: int = 4 << 20,
        disk_bytes: int = 256 << 20,
        segment_bytes: int = 4 << 20,
        executor: Executor | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        bounds = Bounds(memory_bytes, unwritten_bytes, disk_bytes, segment_bytes)
        shelf = Shelf(memory_bytes)
        segments = None
        if directory is not None and disk_bytes:
            piece_bytes = max(1, min(segment_bytes, disk_bytes // 4))
            segments = Segments(directory, segment_bytes=piece_bytes, shelf=shelf, executor=executor)
        self._memory_bytes = memory_bytes
        self._clock = clock
        self._monotonic = monotonic
        self._is_finished = False
        self._is_closed = False
        self._segments = segments
        self._history = History(segments, shelf)
        self._watchers = Watchers()
        self._spill = Spill(
            self._history, self._watchers, bounds, report=self._tell_members, monotonic=monotonic
        )
        self._closing = asyncio.Lock()

    @property
    def last(self) -> int:
        """The newest number; 0 while the log is empty."""
        return self._history.last

    @property
    def total_bytes(self) -> int:
        """The program output that ever went through the log, in UTF-8 bytes."""
        return self._history.total_bytes

    @property
    def memory_bytes(self) -> int:
        """What the records in memory weigh now."""
        return self._history.window.weight_bytes

    @property
    def disk_bytes(self) -> int:
        """What the segment files take now."""
        return self._segments.total_bytes if self._segments is not None else 0

    @property
    def is_finished(self) -> bool:
        """True when nothing can be appended any more."""
        return self._is_finished

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """Those who are attached; see :attr:`Watcher.lag_bytes` and :attr:`Watcher.stalled_s`."""
        return tuple(self._watchers.attached)

    # Producers.

    def append(self, event: Event) -> Record:
        """Give an event the next numbers and wake who waits for it. Never waits.

        Raises:
            RoomClosedError: the log is finished.
            TypeError: a field of the event has a wrong type.
            ValueError: an output without text, which stands for no number.
        """
        if self._is_finished:
            raise RoomClosedError("its log is finished")
        record = self._history.append(event)
        self._watchers.ring()
        if self._history.window.weight_bytes > self._memory_bytes:
            self._spill.relieve()
        return record

    async def writable(self) -> None:
        """Wait while the log cannot take more; whoever appends much awaits this after each append."""
        await self._spill.writable()

    def _tell_members(self, text: str) -> None:
        self.append(RoomError(text, at=self._clock()))

    # Watchers.

    def watch(self, after: int) -> Watcher:
        """Make a watcher for somebody who has all numbers up to ``after``; 0 is the beginning.

        Raises:
            UnknownNumberError: the log has not come that far. Numbers from the
                future mean that the reader got them from another room.
        """
        if not 0 <= after <= self.last:
            raise UnknownNumberError(after, self.last)
        return Watcher(
            self._history,
            self._watchers,
            after,
            is_finished=lambda: self._is_finished,
            monotonic=self._monotonic,
        )

    # The end.

    def finish(self) -> None:
        """Take no more events; watchers come to an end after the last one. Idempotent."""
        self._is_finished = True
        self._spill.finish()
        self._watchers.ring()

    async def aclose(self, *, delete: bool = False, linger_s: float = LINGER_S) -> None:
        """Finish, let watchers read to the end for up to ``linger_s``, and close. Idempotent.

        With ``delete`` the files go, too, and who still reads gets a gap;
        otherwise everything is written, for :func:`replay`, and can still be read.
        """
        self.finish()
        async with self._closing:
            if not self._is_closed:
                with contextlib.suppress(TimeoutError):
                    async with deadline(linger_s):
                        await self._watchers.come_to(self.last)
            self._is_closed = True
            await self._spill.aclose(flush=not delete)
            if delete:
                await self._delete()
            if self._segments is not None:
                await self._segments.settle()
            self._watchers.ring()

    async def _delete(self) -> None:
        self._history.clear()
        if self._segments is not None:
            await self._segments.settle()
            try:
                await self._segments.delete_all()
            except OSError as exc:
                log.error("log: its files could not be deleted: %s", exc)
