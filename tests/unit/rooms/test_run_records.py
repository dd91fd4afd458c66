"""Output is cut into records of bounded size, and nothing of it is lost on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.rooms.runs import BATCH_LINES, _records


@given(st.integers(0, 3 * BATCH_LINES), st.sampled_from(["", "rest"]), st.sampled_from(["", "x", "line"]))
def test_records_are_the_text_in_order_and_small(lines: int, rest: str, line: str) -> None:
    text = f"{line}\n" * lines + rest
    pieces = list(_records(text))
    assert "".join(pieces) == text
    assert all(pieces)
    assert all(piece.count("\n") <= BATCH_LINES for piece in pieces)
    assert all(piece.endswith("\n") for piece in pieces[:-1])
