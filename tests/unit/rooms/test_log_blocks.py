"""The format on disk: what is written comes back, and what was changed is noticed."""

from __future__ import annotations

import struct
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.rooms.events import Event, Output
from embedenv_jupyter.rooms.log import Record
from embedenv_jupyter.rooms.log.blocks import (
    BLOCK_BYTES,
    HEADER,
    CorruptBlockError,
    beginnings,
    decode,
    encode,
    parse_header,
)
from embedenv_jupyter.rooms.log.history import History
from embedenv_jupyter.rooms.log.records import Shelf
from tests.unit.rooms.log_model import lines, run_ended
from tests.unit.rooms.test_log_events import ONE_OF_EACH


def appended(*events: Event) -> list[Record]:
    history = History(None, Shelf(1 << 20))
    return [history.append(event) for event in events]


def facts(records: list[Record]) -> list[tuple[int, int, Event, int, int]]:
    return [(r.first, r.last, r.event, r.before_bytes, r.size_bytes) for r in records]


texts = st.text(st.characters(codec="utf-8"), min_size=1)


@given(st.lists(st.builds(lines, texts, prompt=st.booleans()), min_size=1, max_size=20), st.integers(0, 19))
def test_encoding_and_decoding_is_identity_from_any_number_on(events: list[Output], skipped: int) -> None:
    records = appended(*events)[skipped:]
    found = [record for block in encode(records) for record in decode(block.data)]
    assert facts(found) == facts(records)


def test_every_kind_of_event_comes_back() -> None:
    records = appended(*ONE_OF_EACH)
    (block,) = encode(records)
    assert facts(decode(block.data)) == facts(records)
    assert (block.first, block.last, block.before_bytes) == (1, records[-1].last, 0)


def test_records_are_cut_into_blocks_of_bounded_weight() -> None:
    records = appended(*[lines("x" * 60_000)] * 20, lines("y" * (3 * BLOCK_BYTES)), run_ended())
    blocks = encode(records)
    assert all(len(block.data) < BLOCK_BYTES + 61_000 for block in blocks[:-2])
    assert [block.first for block in blocks[1:]] == [block.last + 1 for block in blocks[:-1]]
    assert facts([record for block in blocks for record in decode(block.data)]) == facts(records)


def test_the_table_tells_where_records_begin_without_decoding_them() -> None:
    records = appended(lines("a\n", "b\n"), run_ended(), lines("ccc"), lines("d"))
    (block,) = encode(records[1:])
    header = parse_header(block.data)
    table = block.data[HEADER.size : HEADER.size + header.table_bytes]
    assert beginnings(header, table) == [(5, 4), (7, 4), (8, 7)]


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    (block,) = encode(appended(lines("hello\n"), run_ended()))
    at = data.draw(st.integers(0, len(block.data) - 1))
    changed = bytearray(block.data)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptBlockError):
        decode(bytes(changed))


@given(st.data())
def test_any_cut_is_noticed(data: st.DataObject) -> None:
    (block,) = encode(appended(lines("hello\n"), run_ended()))
    with pytest.raises(CorruptBlockError):
        decode(block.data[: data.draw(st.integers(0, len(block.data) - 1))])


@given(st.binary(max_size=200))
def test_any_bytes_give_records_or_a_corrupt_block(data: bytes) -> None:
    with pytest.raises(CorruptBlockError):
        decode(data)


def test_events_of_an_unknown_kind_are_a_corrupt_block() -> None:
    body = struct.pack("<2I", 1, 0) + msgspec.msgpack.encode([{"type": "from-the-future", "at": 1.0}])
    rest = struct.pack("<IIQQ", len(body), 1, 1, 0)
    data = b"EEL1" + struct.pack("<I", zlib.crc32(rest + body)) + rest + body
    with pytest.raises(CorruptBlockError, match="unknown events"):
        decode(data)
