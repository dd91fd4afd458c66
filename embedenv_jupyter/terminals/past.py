"""What a terminal has shown last: a bounded past that readers go through at their own pace.

Text is kept in UTF-8, in blocks that begin and end between characters. A position
is the number of bytes that the terminal has shown until there; it only grows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

PAST_BYTES = 1 << 20
BLOCK_BYTES = 16 << 10
"""Small pieces, such as the echo of one key, are put together up to this; the oldest goes in such blocks."""


@dataclass(frozen=True)
class Piece:
    """What was shown after some position: ``skipped`` bytes are gone, then ``data``, up to ``position``."""

    skipped: int
    data: bytes
    position: int


class Past:
    """The last ``limit_bytes`` of a terminal, or a block more."""

    def __init__(self, limit_bytes: int = PAST_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._blocks: deque[bytearray] = deque()
        self.start = 0
        """The position of the oldest byte that is left."""
        self.end = 0

    def append(self, data: bytes) -> None:
        """Take what is shown next; whole characters."""
        if self._blocks and len(self._blocks[-1]) + len(data) <= BLOCK_BYTES:
            self._blocks[-1] += data
        elif data:
            self._blocks.append(bytearray(data))
        self.end += len(data)
        while len(self._blocks) > 1 and self.end - self.start - len(self._blocks[0]) >= self._limit_bytes:
            self.start += len(self._blocks.popleft())

    def read(self, position: int, limit_bytes: int) -> Piece | None:
        """Return what was shown after ``position``, some ``limit_bytes`` of it; ``None``: nothing yet.

        ``position`` is 0 or that of an earlier piece. What is gone is skipped up to the beginning of a line.
        """
        if position >= self.end:
            return None
        begin = position
        if position < self.start:
            begin = self._line_begin()
        parts: list[bytes] = []
        at, size = self.start, 0
        for block in self._blocks:
            if at + len(block) > begin:
                parts.append(bytes(block[max(0, begin - at) :]))
                size += len(parts[-1])
                if size >= limit_bytes:
                    break
            at += len(block)
        return Piece(begin - position, b"".join(parts), begin + size)

    def _line_begin(self) -> int:
        """Return where the first whole line begins; a torn one may begin within an escape sequence."""
        newline = self._blocks[0].find(b"\n")
        return self.start + newline + 1 if 0 <= newline < len(self._blocks[0]) - 1 else self.start
