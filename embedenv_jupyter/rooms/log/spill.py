"""Keeps the log within its bounds: moves old records to disk, lets go of the oldest, holds producers.

Theory of operation. What is in memory beyond ``memory_bytes`` is the *unwritten*
part. It shrinks in one of two ways: the writer task moves its oldest records to
disk, or, where there is no disk, they are dropped. Both may have to let go of
something for good: the oldest segment when the disk's share is used up, or the
oldest record. That is done at once when nobody watches or when the fastest
watcher has it; slower ones get a gap. When every watcher would lose it, nothing
moves until one of them reads on or leaves. Meanwhile the unwritten part grows,
and beyond ``unwritten_bytes`` :meth:`Spill.writable` holds the producers. So
there is one valve, whatever the reason, and the fastest watcher is the pace only
when all of them are that slow.

When the disk fails. A full disk is a smaller bound: own segments are let go of,
oldest first, under the rule above. If that does not help, or for any other
error, the log goes on in memory alone, and tries the disk again after a pause.
The records that could not be written are still in memory; they are dropped only
by the rule for logs without a disk, and that is reported as a gap. The members
are told by an event.

Events that are appended without asking :meth:`Spill.writable` (somebody joined)
are few, but a member can cause them. So there is a last resort: beyond twice
``unwritten_bytes`` the oldest records in memory are dropped, whoever misses them;
only the newest one stays, however large it is, for those who wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.rooms.log.blocks import Encoded
from embedenv_jupyter.rooms.log.history import History
from embedenv_jupyter.rooms.log.records import Record
from embedenv_jupyter.rooms.log.segments import SETTLE_TIMEOUT_S, Segment, Segments
from embedenv_jupyter.rooms.log.watcher import Watchers

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 1 << 20
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
REPORT_EVERY_S: Final = 60.0

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Bounds:
    """How much a log may hold. ``disk_bytes`` 0 means memory only."""

    memory_bytes: int
    unwritten_bytes: int
    disk_bytes: int
    segment_bytes: int

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "unwritten_bytes", "segment_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.disk_bytes < 0:
            raise ValueError(f"disk_bytes must not be negative: {self.disk_bytes}")

    @property
    def batch_bytes(self) -> int:
        """How much is written in one go: small against the disk's share, so that eviction is fine-grained."""
        return max(1, min(BATCH_BYTES, self.segment_bytes, self.disk_bytes // 4))


class Spill:
    """Owns the task that writes, and the valve that holds producers."""

    def __init__(
        self,
        history: History,
        watchers: Watchers,
        bounds: Bounds,
        *,
        report: Callable[[str], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._history = history
        self._watchers = watchers
        self._bounds = bounds
        self._report = report
        self._monotonic = monotonic
        self._open = asyncio.Event()
        self._open.set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._pause_s = FIRST_PAUSE_S
        self._retry_at_s = 0.0
        self._reported_at_s: float | None = None
        watchers.on_progress(self.relieve)

    @property
    def _excess_bytes(self) -> int:
        return self._history.window.weight_bytes - self._bounds.memory_bytes

    @property
    def _has_disk(self) -> bool:
        return self._history.segments is not None and self._monotonic() >= self._retry_at_s

    # The valve.

    async def writable(self) -> None:
        """Wait while too much is unwritten."""
        while not self._open.is_set():
            await self._open.wait()

    def _regulate(self) -> None:
        """Close the valve above the bound; open it again at half, so that it does not flutter."""
        self._watchers.is_pace = self._excess_bytes > 0
        if self._is_closing or self._excess_bytes <= self._bounds.unwritten_bytes // 2:
            self._open.set()
        elif self._excess_bytes > self._bounds.unwritten_bytes:
            self._open.clear()

    # What starts work.

    def relieve(self) -> None:
        """See whether something can be moved now: after an append, or when a watcher has moved."""
        if self._excess_bytes > 0:
            if self._has_disk:
                self._start()
            else:
                self._trim()
            self._drop_surplus()
        self._regulate()

    def _start(self) -> None:
        if self._task is None and not self._is_closing:
            self._task = asyncio.create_task(self._run(), name="log writer")
        self._wake.set()

    # Letting go.

    def _may_lose(self, last: int) -> bool:
        """Decide whether records up to the number ``last`` may be let go of."""
        fastest = self._watchers.fastest
        return self._is_closing or fastest is None or fastest >= last

    def _trim(self) -> None:
        """Drop the oldest records from memory, as far as that is allowed."""
        window = self._history.window
        fastest = self._watchers.fastest
        while self._excess_bytes > 0 and (oldest := window.oldest) is not None:
            if fastest is not None and fastest < oldest.last:
                return
            self._history.drop_oldest()

    def _drop_surplus(self) -> None:
        """The last resort against those who do not wait: memory stays bounded, whoever misses what."""
        window = self._history.window
        while self._excess_bytes > 2 * self._bounds.unwritten_bytes and len(window) > 1:
            self._history.drop_oldest()

    # The writer.

    async def _run(self) -> None:
        while not self._is_closing:
            await self._until_woken()
            while self._has_disk and (batch := self._batch()):
                try:
                    await self._move(batch)
                except Exception as exc:  # noqa: BLE001 - if the writer died, every program would be held
                    self._failed(exc)
                self._regulate()
                if self._is_closing:
                    return

    async def _until_woken(self) -> None:
        """Wait for work, or for the time to try the disk again: held producers wake nobody."""
        rest_s = self._retry_at_s - self._monotonic()
        with contextlib.suppress(TimeoutError):
            async with deadline(rest_s if rest_s > 0 and self._excess_bytes > 0 else None):
                await self._wake.wait()
        self._wake.clear()

    def _batch(self) -> list[Record]:
        """Choose what to write next: a good piece more than the excess, so that writes are few."""
        if self._excess_bytes <= 0:
            return []
        wanted = self._excess_bytes + self._bounds.memory_bytes // 4
        return self._history.window.oldest_of_weight(min(wanted, self._bounds.batch_bytes))

    async def _move(self, batch: Sequence[Record]) -> None:
        segments = self._history.segments
        assert segments is not None
        encoded = await segments.encode(batch)
        length = sum(len(block.data) for block in encoded)
        if length > self._bounds.disk_bytes:
            await self._drop_unstorable(batch[-1].last)
            return
        await self._make_room(segments, length, self._bounds.disk_bytes)
        await self._write(segments, encoded, length)
        self._pause_s = FIRST_PAUSE_S

    async def _drop_unstorable(self, last: int) -> None:
        """Let go of a record that is larger than the whole disk's share."""
        await self._until_may_lose(last)
        while (oldest := self._history.window.oldest) is not None and oldest.last <= last:
            self._history.drop_oldest()

    async def _write(self, segments: Segments, encoded: list[Encoded], length: int) -> None:
        while True:
            try:
                await self._history.store(encoded)
                return
            except OSError as exc:
                if exc.errno not in _FULL or segments.oldest is None:
                    segments.seal()
                    raise
                self._tell("The disk of this room's log is full: only as much is kept as there is space for.")
            await self._make_room(segments, length, segments.total_bytes)

    async def _make_room(self, segments: Segments, length: int, bound_bytes: int) -> None:
        """Let go of the oldest segments until ``length`` more bytes fit the bound, or none is left."""
        while segments.total_bytes + length > bound_bytes and (oldest := segments.oldest) is not None:
            await self._until_may_lose(oldest.last)
            await self._evict(segments, oldest)

    async def _evict(self, segments: Segments, segment: Segment) -> None:
        beginnings = await segments.survey(segment)
        if self._may_lose(segment.last):  # somebody may have come in the meantime
            self._history.drop_segment(segment, beginnings)
            await segments.delete(segment)

    async def _until_may_lose(self, last: int) -> None:
        while not self._may_lose(last):
            await self._wake.wait()
            self._wake.clear()

    # Trouble.

    def _failed(self, exc: Exception) -> None:
        """Go on in memory alone for a while."""
        is_bug = not isinstance(exc, OSError)
        log.error(
            "log: cannot be written, next try in %.3g s: %s",
            self._pause_s,
            exc,
            exc_info=exc if is_bug else None,
        )
        self._retry_at_s = self._monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        reason = (exc.strerror if isinstance(exc, OSError) else None) or "internal error"
        self._tell(
            f"The log of this room cannot be written to disk ({reason}): "
            f"for now only the newest {self._bounds.memory_bytes} bytes are kept."
        )
        self._trim()

    def _tell(self, text: str) -> None:
        """Tell the members, but not every time."""
        now_s = self._monotonic()
        if self._reported_at_s is None or now_s - self._reported_at_s >= REPORT_EVERY_S:
            self._reported_at_s = now_s
            if not self._is_closing:
                self._report(text)

    # The end.

    def finish(self) -> None:
        """Hold nobody any more. Idempotent."""
        self._is_closing = True
        self._regulate()
        self._wake.set()

    async def aclose(self, *, flush: bool) -> None:
        """Stop the writer; with ``flush``, first write what is in memory. Idempotent."""
        self.finish()
        if self._task is not None:
            # Not cancelled at once: a thread that writes now must not find its directory removed.
            await asyncio.wait((self._task,), timeout=SETTLE_TIMEOUT_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if flush and self._history.segments is not None:
            await self._flush()

    async def _flush(self) -> None:
        window = self._history.window
        try:
            while batch := window.oldest_of_weight(self._bounds.batch_bytes):
                await self._move(batch)
        except OSError as exc:
            log.error("log: its last %d records could not be written: %s", len(window), exc)
