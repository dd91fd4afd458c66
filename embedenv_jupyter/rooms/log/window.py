"""The newest records, in memory: append, drop the oldest, and read from any number in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from operator import attrgetter

from embedenv_jupyter.rooms.events import RoomError
from embedenv_jupyter.rooms.log.records import Record

_last = attrgetter("last")
_end_bytes = attrgetter("end_bytes")

_COMPACT_AT = 256
_GONE = Record(0, 0, RoomError("", at=0), 0, 0, 0)
"""Stands where a record was, so that the list does not keep the record."""


class Window:
    """A list of records whose front is cut off lazily, so that every operation is quick.

    A deque would do for both ends, but takes time in proportion to the distance
    for an index in the middle, where slow readers are.
    """

    def __init__(self) -> None:
        self.weight_bytes = 0
        self._records: list[Record] = []
        self._start = 0

    def __len__(self) -> int:
        return len(self._records) - self._start

    @property
    def oldest(self) -> Record | None:
        """The oldest record in memory."""
        return self._records[self._start] if len(self) else None

    def append(self, record: Record) -> None:
        self._records.append(record)
        self.weight_bytes += record.weight_bytes

    def pop_oldest(self) -> Record:
        """Drop the oldest record and return it."""
        record = self._records[self._start]
        self._records[self._start] = _GONE
        self.weight_bytes -= record.weight_bytes
        self._start += 1
        if self._start >= _COMPACT_AT and self._start * 2 >= len(self._records):
            self._compact()
        return record

    def pop_through(self, last: int) -> None:
        """Drop all records up to the one that ends with the number ``last``."""
        end = bisect_right(self._records, last, lo=self._start, key=_last)
        self.weight_bytes -= sum(record.weight_bytes for record in self._records[self._start : end])
        self._start = end
        self._compact()

    def _compact(self) -> None:
        del self._records[: self._start]
        self._start = 0

    def after(self, position: int, limit: int, limit_bytes: int) -> list[Record]:
        """Return the records that follow a number: at least one, then as many as both limits allow."""
        records = self._records
        if records[-1].first <= position + 1:  # most readers are at the end
            return records[-1:]
        begin = bisect_right(records, position, lo=self._start, key=_last)
        end = min(begin + limit, len(records))
        if end - begin > 1:
            allowed = records[begin].before_bytes + limit_bytes
            if records[end - 1].end_bytes > allowed:
                end = max(begin + 1, bisect_right(records, allowed, lo=begin, hi=end, key=_end_bytes))
        return records[begin:end]

    def before_bytes(self, number: int) -> int:
        """Return the output before the record that holds ``number``, which must be in memory."""
        return self._records[bisect_left(self._records, number, lo=self._start, key=_last)].before_bytes

    def oldest_of_weight(self, weight_bytes: int) -> list[Record]:
        """Return the fewest oldest records that have at least this weight together."""
        chosen: list[Record] = []
        for index in range(self._start, len(self._records)):
            if weight_bytes <= 0:
                break
            chosen.append(self._records[index])
            weight_bytes -= chosen[-1].weight_bytes
        return chosen
