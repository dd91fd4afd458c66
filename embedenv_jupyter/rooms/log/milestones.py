"""How much output there was before a record that is gone, so that gaps can be told in bytes."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable

KEPT = 32_768


class Milestones:
    """Remembers where dropped records began, in 16 bytes each, and all of the newest ``kept / 2``.

    When there are too many, every second one of the older half is forgotten. A
    look-up there then finds an earlier milestone: the bytes of such a gap are too many
    by what is between the two, never too few. Record 1 is never forgotten.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._firsts = array("Q", (1,))
        self._befores = array("Q", (0,))

    def __len__(self) -> int:
        return len(self._firsts)

    def add(self, first: int, before_bytes: int) -> None:
        """Remember that ``before_bytes`` of output came before the record that begins with ``first``."""
        firsts, befores = self._firsts, self._befores
        if first > firsts[-1]:
            firsts.append(first)
            befores.append(before_bytes)
        else:
            index = bisect_right(firsts, first)
            if firsts[index - 1] != first:
                firsts.insert(index, first)
                befores.insert(index, before_bytes)
        if len(firsts) > self._kept:
            self._thin()

    def add_all(self, records: Iterable[tuple[int, int]]) -> None:
        """Remember many records, each as its first number and the bytes before it."""
        for first, before_bytes in records:
            self.add(first, before_bytes)

    def _thin(self) -> None:
        half = self._kept // 2
        del self._firsts[1:half:2]
        del self._befores[1:half:2]

    def before_bytes(self, number: int) -> int:
        """Return the output before the dropped record that holds ``number``."""
        return self._befores[bisect_right(self._firsts, number) - 1]
