"""The bounded past of a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.terminals.past import BLOCK_BYTES, Past

TEXTS = st.lists(st.text(max_size=40), max_size=60)


@given(TEXTS, st.integers(1, 200))
def test_reader_in_time_gets_everything_in_order(texts: list[str], limit_bytes: int) -> None:
    past, position, seen = Past(), 0, ""
    for text in texts:
        past.append(text.encode())
        if len(text) % 3 == 0 and (piece := past.read(position, limit_bytes)) is not None:
            seen, position = seen + piece.data.decode(), piece.position
            assert piece.skipped == 0
    while (piece := past.read(position, limit_bytes)) is not None:
        seen, position = seen + piece.data.decode(), piece.position
    assert seen == "".join(texts)
    assert position == past.end


@given(st.integers(1, 40), st.integers(1, 3 * BLOCK_BYTES))
def test_late_reader_is_told_what_is_gone(count: int, size: int) -> None:
    past = Past(4 * BLOCK_BYTES)
    for _ in range(count):
        past.append("ü".encode() * size)
    assert past.end - past.start < 4 * BLOCK_BYTES + max(BLOCK_BYTES, 2 * size)
    piece = past.read(0, past.end)
    assert piece is not None
    assert piece.skipped == past.start and piece.position == past.end
    assert piece.skipped + len(piece.data) == 2 * size * count
    assert set(piece.data.decode()) == {"ü"}


def test_what_is_left_begins_with_a_whole_line() -> None:
    past = Past(BLOCK_BYTES)
    for number in range(10_000):
        past.append(f"\x1b[1mline {number}\x1b[0m\r\n".encode())
    piece = past.read(0, past.end)
    assert piece is not None and piece.data.startswith(b"\x1b[1mline ")
    assert piece.skipped > 0 and piece.data.endswith(b"line 9999\x1b[0m\r\n")


def test_nothing_new_is_nothing() -> None:
    past = Past()
    assert past.read(0, 100) is None
    past.append(b"a")
    assert past.read(1, 100) is None
