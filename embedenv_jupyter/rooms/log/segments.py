"""Which records are on disk, and where. The files themselves are touched in threads only."""

from __future__ import annotations

import asyncio
import weakref
from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeVar

from embedenv_jupyter.rooms.log import disk
from embedenv_jupyter.rooms.log.blocks import Encoded, encode
from embedenv_jupyter.rooms.log.records import Record, Shelf

T = TypeVar("T")

SETTLE_TIMEOUT_S: Final = 30.0
"""How long closing waits for reads and writes that a disk does not finish."""

_last = attrgetter("last")


@dataclass(eq=False)
class Segment:
    """A file of the log; ``last`` is the newest number that was ever in it."""

    path: Path
    last: int = 0
    size_bytes: int = 0
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Block:
    """Where the records from ``first`` to ``last`` are."""

    segment: Segment
    first: int
    last: int
    before_bytes: int
    offset: int
    length: int


class Chunk:
    """A block on its way from disk, shared by all who want it at the same time."""

    __slots__ = ("__weakref__", "_loading", "block")

    def __init__(self, block: Block, loading: asyncio.Future[list[Record] | Exception]) -> None:
        self.block = block
        self._loading = loading

    @property
    def has_failed(self) -> bool:
        """True when it could not be read; another try may do better."""
        return self._loading.done() and isinstance(self._loading.result(), Exception)

    async def records(self) -> list[Record]:
        """Return its records. The list is shared: do not change it.

        Raises:
            OSError, CorruptBlockError: it cannot be read.
        """
        if not self._loading.done():
            # Not awaited directly: one reader who is cancelled must not cancel it for the others.
            await asyncio.wait((self._loading,))
        loaded = self._loading.result()
        if isinstance(loaded, Exception):
            raise loaded
        return loaded


class Segments:
    """The part of a log that is on disk, oldest segment first. It never deletes by itself."""

    def __init__(
        self, directory: Path, *, segment_bytes: int, shelf: Shelf, executor: Executor | None = None
    ) -> None:
        self.total_bytes = 0
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._shelf = shelf
        self._executor = executor
        self._segments: list[Segment] = []
        self._is_prepared = False
        self._is_sealed = True
        self._chunks: weakref.WeakValueDictionary[tuple[Path, int], Chunk] = weakref.WeakValueDictionary()
        self._in_flight: set[asyncio.Future[object]] = set()

    @property
    def oldest(self) -> Segment | None:
        """The segment to delete first."""
        return self._segments[0] if self._segments else None

    def find(self, number: int) -> Block | None:
        """Return the block that holds ``number``, or else the next one after it."""
        for index in range(bisect_left(self._segments, number, key=_last), len(self._segments)):
            blocks = self._segments[index].blocks
            place = bisect_left(blocks, number, key=_last)
            if place < len(blocks):
                return blocks[place]
        return None

    # Writing. One writer: the log's spill.

    async def encode(self, records: Sequence[Record]) -> list[Encoded]:
        """Pack records, in a thread because large ones take their time."""
        return await self._off_loop(encode, records)

    async def write(self, encoded: Sequence[Encoded]) -> None:
        """Put blocks behind the newest ones; afterwards they are found.

        Raises:
            OSError: none of them is there.
        """
        if not self._is_prepared:
            await self._off_loop(disk.prepare, self._directory)
            self._is_prepared = True
        pieces = [block.data for block in encoded]
        total = sum(map(len, pieces))
        segment = self._segment_for(total, encoded[0].first)
        await self._off_loop(disk.append, segment.path, segment.size_bytes, pieces)
        if segment.size_bytes == 0:
            self._segments.append(segment)
            self._is_sealed = False
        for first, last, before_bytes, block_data in encoded:
            length = len(block_data)
            segment.blocks.append(Block(segment, first, last, before_bytes, segment.size_bytes, length))
            segment.size_bytes += length
            segment.last = last
        self.total_bytes += total

    def _segment_for(self, length: int, first: int) -> Segment:
        newest = self._segments[-1] if self._segments else None
        if newest is None or self._is_sealed or newest.size_bytes + length > self._segment_bytes:
            return Segment(self._directory / disk.segment_name(first))
        return newest

    def seal(self) -> None:
        """Begin a new segment with the next write, because the newest one cannot be written to."""
        self._is_sealed = True

    # Reading.

    def chunk(self, block: Block) -> Chunk:
        """Begin to read a block, or join those who do already."""
        key = (block.segment.path, block.offset)
        chunk = self._chunks.get(key)
        if chunk is None or chunk.has_failed:
            path, offset = key
            loading = self._off_loop(disk.read_block, path, offset, block.length, self._shelf)
            chunk = self._chunks[key] = Chunk(block, loading)
        return chunk

    # Letting go.

    def drop_block(self, block: Block) -> bool:
        """Stop finding a block that cannot be read; false when it was dropped before."""
        if block.segment not in self._segments or block not in block.segment.blocks:
            return False
        block.segment.blocks.remove(block)
        return True

    async def survey(self, segment: Segment) -> list[tuple[int, int]]:
        """Return the first number of each record of a segment and the output before it."""
        blocks = list(segment.blocks)
        known = {block.first: block.before_bytes for block in blocks}
        read = await self._off_loop(disk.survey, segment.path, blocks)
        return sorted((known | dict(read)).items())

    def drop(self, segment: Segment) -> None:
        """Stop finding a segment; its file is to be deleted next."""
        self._segments.remove(segment)

    async def delete(self, segment: Segment) -> None:
        """Delete the file of a dropped segment.

        Raises:
            OSError: it still takes its space.
        """
        await self._off_loop(disk.remove, segment.path)
        self.total_bytes -= segment.size_bytes

    async def settle(self) -> None:
        """Wait until no thread works for this log any more."""
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=SETTLE_TIMEOUT_S)

    async def delete_all(self) -> None:
        """Delete all files and the directory.

        Raises:
            OSError: some could not be deleted.
        """
        self._segments.clear()
        if self._is_prepared:
            await self._off_loop(disk.remove_all, self._directory)
            self._is_prepared = False
        self.total_bytes = 0

    def _off_loop(self, call: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Do what blocks in a thread; the only place of the log where that happens."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, call, *arguments)
        self._in_flight.add(future)  # type: ignore[arg-type]
        future.add_done_callback(self._in_flight.discard)
        return future
