"""Everything that was appended to a log: where each number is now, and what is missing.

A number is in the window (memory), in a segment (disk) or gone. Gone are mostly
the oldest, but there can be holes between disk and memory as well, where the
disk failed; nothing here depends on where they are.
"""

from __future__ import annotations

import errno
import logging
from typing import Final

from embedenv_jupyter.rooms.events import Event
from embedenv_jupyter.rooms.log.blocks import CorruptBlockError, Encoded
from embedenv_jupyter.rooms.log.milestones import Milestones
from embedenv_jupyter.rooms.log.records import Gap, Record, Shelf, measure
from embedenv_jupyter.rooms.log.segments import Block, Chunk, Segment, Segments
from embedenv_jupyter.rooms.log.window import Window

log = logging.getLogger(__name__)

_TRANSIENT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN)


class History:
    """The records of a log. ``segments`` is ``None`` for a log that lives in memory only."""

    def __init__(self, segments: Segments | None, shelf: Shelf) -> None:
        self.last = 0
        self.total_bytes = 0
        self.window = Window()
        self.segments = segments
        self._milestones = Milestones()
        self._shelf = shelf

    def append(self, event: Event) -> Record:
        """Give an event its numbers.

        Raises:
            TypeError: its fields have wrong types.
            ValueError: it stands for nothing, so it has no number.
        """
        event, size, weight = measure(event)
        count = event.count
        if count < 1:
            raise ValueError(f"{type(event).__name__} without any text has no place in the log")
        first = self.last + 1
        record = Record(first, self.last + count, event, self.total_bytes, size, weight, self._shelf)
        self.last += count
        self.total_bytes += size
        self.window.append(record)
        return record

    # Reading.

    def recent(self, position: int, limit: int, limit_bytes: int) -> list[Record]:
        """Return the records after a number from memory; none when the next one is not there."""
        oldest = self.window.oldest
        if oldest is None or oldest.first > position + 1 or position >= self.last:
            return []
        return self.window.after(position, limit, limit_bytes)

    def chunk(self, position: int) -> Chunk | None:
        """Begin to read what follows a number from disk; ``None`` when it is not there."""
        block = self._block(position + 1)
        if self.segments is None or block is None or block.first > position + 1:
            return None
        return self.segments.chunk(block)

    def _block(self, number: int) -> Block | None:
        return self.segments.find(number) if self.segments is not None else None

    async def load(self, chunk: Chunk) -> list[Record]:
        """Return the records of a chunk; none when they are lost, which the next look-up shows.

        Raises:
            OSError: it cannot be read now, but perhaps later.
        """
        try:
            return await chunk.records()
        except (OSError, CorruptBlockError) as exc:
            if isinstance(exc, OSError) and exc.errno in _TRANSIENT:
                raise
            block = chunk.block
            if self.segments is not None and self.segments.drop_block(block):
                self._milestones.add(block.first, block.before_bytes)
                log.error("log: numbers %d to %d cannot be read: %s", block.first, block.last, exc)
            return []

    def gap(self, position: int, before_bytes: int | None) -> Gap | None:
        """Return the missing numbers right after a number, if they are missing.

        ``before_bytes`` is the output up to there if the reader knows.
        """
        next_first, next_bytes = self.last + 1, self.total_bytes
        if (oldest := self.window.oldest) is not None:
            next_first, next_bytes = oldest.first, oldest.before_bytes
        block = self._block(position + 1)
        if block is not None and block.first < next_first:
            next_first, next_bytes = block.first, block.before_bytes
        if next_first <= position + 1:
            return None
        if before_bytes is None:
            before_bytes = self._milestones.before_bytes(position + 1)
        return Gap(position + 1, next_first - 1, next_bytes - before_bytes)

    def before_bytes(self, number: int) -> int:
        """Return the output before the record that holds a number; on disk, before its block."""
        oldest = self.window.oldest
        if number > self.last:
            return self.total_bytes
        if oldest is not None and oldest.first <= number:
            return self.window.before_bytes(number)
        block = self._block(number)
        if block is not None and block.first <= number:
            return block.before_bytes
        return self._milestones.before_bytes(number)

    # Moving and letting go.

    async def store(self, encoded: list[Encoded]) -> None:
        """Write the oldest records of the window to disk and drop them from memory.

        Raises:
            OSError: they are still in memory.
        """
        assert self.segments is not None
        await self.segments.write(encoded)
        self.window.pop_through(encoded[-1].last)

    def drop_oldest(self) -> None:
        """Forget the oldest record in memory."""
        record = self.window.pop_oldest()
        self._milestones.add(record.first, record.before_bytes)

    def drop_segment(self, segment: Segment, beginnings: list[tuple[int, int]]) -> None:
        """Forget a segment, whose records begin where a survey found them."""
        assert self.segments is not None
        self._milestones.add_all(beginnings)
        self.segments.drop(segment)

    def clear(self) -> None:
        """Forget everything; who still reads is told what it misses."""
        while len(self.window):
            self.drop_oldest()
