"""How records lie on disk: blocks of consecutive records, each whole or not there.

    block  := header body
    header := "EEL1"  crc32:u32  length:u32  records:u32  first:u64  before:u64     (little endian)
    body   := numbers:u32 × records   sizes:u32 × records   events

``crc32`` covers everything behind it, ``length`` is the body's. ``first`` is the
number of the first record, ``before`` the output in bytes in all records before
it; ``numbers`` and ``sizes`` are how many numbers and how much output each
record has; ``events`` is one msgpack array. Pure: no input or output here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from embedenv_jupyter.rooms.events import Event
from embedenv_jupyter.rooms.log.records import RECORD_WEIGHT, Record, Shelf

BLOCK_BYTES: Final = 256 << 10
"""A block is closed when its records weigh this much; it is the unit of reading."""

MAGIC: Final = b"EEL1"
HEADER: Final = struct.Struct("<4sIIIQQ")
_CHECKED_FROM: Final = 8
_U32_BYTES: Final = 4

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[Event]] = msgspec.msgpack.Decoder(list[Event])


class CorruptBlockError(ValueError):
    """What was read is no block, or not the one that was written."""


class Encoded(NamedTuple):
    """A block ready to be written, and what it holds."""

    first: int
    last: int
    before_bytes: int
    data: bytes


class Header(NamedTuple):
    """The fixed part of a block, as read; not trusted before the check sum is verified."""

    crc: int
    length: int
    records: int
    first: int
    before_bytes: int

    @property
    def table_bytes(self) -> int:
        """The length of ``numbers`` and ``sizes``."""
        return 2 * _U32_BYTES * self.records


def encode(records: Sequence[Record]) -> list[Encoded]:
    """Pack consecutive records into blocks."""
    return [_encode_block(group) for group in _groups(records)]


def _groups(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    begin, weight = 0, 0
    for end, record in enumerate(records, 1):
        weight += record.weight_bytes
        if weight >= BLOCK_BYTES:
            yield records[begin:end]
            begin, weight = end, 0
    if begin < len(records):
        yield records[begin:]


def _encode_block(group: Sequence[Record]) -> Encoded:
    table = struct.pack(
        f"<{2 * len(group)}I", *(record.count for record in group), *(record.size_bytes for record in group)
    )
    events = _encoder.encode([record.event for record in group])
    first, before_bytes = group[0].first, group[0].before_bytes
    head = HEADER.pack(MAGIC, 0, len(table) + len(events), len(group), first, before_bytes)
    crc = zlib.crc32(events, zlib.crc32(table, zlib.crc32(head[_CHECKED_FROM:])))
    data = b"".join((MAGIC, struct.pack("<I", crc), head[_CHECKED_FROM:], table, events))
    return Encoded(first, group[-1].last, before_bytes, data)


def parse_header(data: bytes) -> Header:
    """Read the fixed part of a block.

    Raises:
        CorruptBlockError: too short, or not the beginning of a block.
    """
    if len(data) < HEADER.size:
        raise CorruptBlockError(f"a block begins with {HEADER.size} bytes, there are {len(data)}")
    magic, *fields = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise CorruptBlockError(f"a block begins with {MAGIC!r}, not {magic!r}")
    return Header(*fields)


def decode(data: bytes, shelf: Shelf | None = None) -> list[Record]:
    """Return the records of one whole block; frames made for them are kept on ``shelf``.

    Raises:
        CorruptBlockError: the block is cut short or was changed.
    """
    header = parse_header(data)
    if len(data) != HEADER.size + header.length or header.length < header.table_bytes:
        raise CorruptBlockError(f"a block of {header.length} bytes is cut to {len(data) - HEADER.size}")
    view = memoryview(data)
    if zlib.crc32(view[_CHECKED_FROM:]) != header.crc:
        raise CorruptBlockError(f"the check sum of the block at number {header.first} is wrong")
    body = view[HEADER.size :]
    try:
        events = _decoder.decode(body[header.table_bytes :])
    except msgspec.DecodeError as exc:
        raise CorruptBlockError(f"the block at number {header.first} holds unknown events: {exc}") from exc
    if len(events) != header.records:
        raise CorruptBlockError(f"the block at number {header.first} holds {len(events)} events")
    rows = zip(events, _rows(header, body), strict=True)
    return [
        Record(first, last, event, before, size, RECORD_WEIGHT + size, shelf)
        for event, (first, last, before, size) in rows
    ]


def beginnings(header: Header, table: bytes) -> list[tuple[int, int]]:
    """Return where each record of a block begins: its first number, the output before it."""
    return [(first, before) for first, _, before, _ in _rows(header, table)]


def _rows(header: Header, table: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield the first and last number, the output before and the output in each record."""
    values = struct.unpack_from(f"<{2 * header.records}I", table)
    numbers, sizes = values[: header.records], values[header.records :]
    firsts = accumulate(numbers, initial=header.first)
    befores = accumulate(sizes, initial=header.before_bytes)
    for number, size, first, before in zip(numbers, sizes, firsts, befores, strict=False):
        yield first, first + number - 1, before, size
