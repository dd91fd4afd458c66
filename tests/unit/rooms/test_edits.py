"""Edits turn one text into another and touch little."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.rooms.edits import MAX_LINE_PAIRS, Edit, edits_between

TEXTS = st.text(alphabet="ab\n\r😀é", max_size=60)


def applied(text: str, edits: list[Edit]) -> str:
    for edit in edits:
        text = text[: edit.start] + edit.text + text[edit.stop :]
    return text


@given(TEXTS, TEXTS)
def test_edits_lead_from_one_text_to_the_other(old: str, new: str) -> None:
    edits = edits_between(old, new)
    assert applied(old, edits) == new
    assert all(edit.start <= edit.stop for edit in edits)
    assert all(later.start >= earlier.stop for later, earlier in pairwise(edits))
    assert (edits == []) == (old == new)


def test_only_what_differs_is_touched() -> None:
    old = "one\ntwo\nthree\nfour\n"
    assert edits_between(old, "one\ntwo!\nthree\nfive\n") == [Edit(15, 18, "ive"), Edit(7, 7, "!")]
    assert edits_between(old, "zero\n" + old) == [Edit(0, 0, "zero\n")]
    assert edits_between(old, old + "five\n") == [Edit(19, 19, "five\n")]
    assert edits_between(old, "one\nthree\nfour\n") == [Edit(5, 9, "")]


def test_texts_that_share_nothing_are_replaced_at_a_bounded_price() -> None:
    count = int(MAX_LINE_PAIRS**0.5) + 10
    old, new = "a\n" * count + "x", "b\n" * count + "y"
    assert edits_between(old, new) == [Edit(0, len(old), new)]
