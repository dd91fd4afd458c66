"""What JSON text holds, counted without parsing it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.protocols import json_text
from embedenv_jupyter.protocols.json_text import Bounds

tricky = st.text('ab"\\{}[],:\n\u2028', max_size=6)
documents = st.recursive(
    st.none() | st.integers(0, 99) | tricky,
    lambda held: st.lists(held, max_size=4) | st.dictionaries(tricky, held, max_size=4),
    max_leaves=20,
)


def counted(held: Any) -> Bounds:
    """Count as the parsed document has it."""
    below = list(held.values()) if isinstance(held, dict) else held if isinstance(held, list) else []
    own = Bounds(
        isinstance(held, dict | list),
        len(held) if isinstance(held, dict) else 0,
        isinstance(held, dict | list) + max(0, len(below) - 1),
    )
    return Bounds(*map(sum, zip(own, *map(counted, below), strict=True)))


@given(documents, st.booleans())
def test_counts_are_exact_whatever_texts_hold(document: Any, is_ascii: bool) -> None:
    text = json.dumps(document, ensure_ascii=is_ascii, indent=1 if is_ascii else None).encode()
    found = counted(document)
    assert found.excess(text) == ""
    for name in ("containers", "entries", "values"):
        count = getattr(found, name)
        if count:
            assert found._replace(**{name: count - 1}).excess(text).startswith(f"more than {count - 1} ")


def test_what_is_beyond_is_named() -> None:
    text = b'[{"a": 1}, {"b": [2, 3]}]'
    assert Bounds(4, 2, 6).excess(text) == ""
    assert Bounds(3, 2, 6).excess(text) == "more than 3 lists and objects"
    assert Bounds(4, 1, 6).excess(text) == "more than 1 entries of objects"
    assert Bounds(4, 2, 5).excess(text) == "more than 5 values"


@pytest.mark.parametrize("at", range(6))
def test_texts_may_reach_over_the_pieces_that_are_counted(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "_PIECE_BYTES", 7 + at)
    text = json.dumps([["[[", '"['], {"{{{": "\\"}, ",,,,,,,,,,,,,,", []]).encode()
    assert Bounds(4, 1, 8).excess(text) == ""
    assert Bounds(3, 1, 8).excess(text) != ""
    assert Bounds(4, 1, 7).excess(text) != ""


@pytest.mark.parametrize("text", [b"", b'"', b'["', b"[[[", b'{"a', b"\xff[[[", b'\\"[['])
def test_what_is_no_json_is_counted_as_far_as_it_could_be_parsed(text: bytes) -> None:
    assert Bounds(9, 9, 9).excess(text) == ""
    if text == b"[[[":
        assert Bounds(2, 9, 9).excess(text) != ""


@pytest.mark.parametrize("value", [{}, [], "a", None, True, False, 1, -1.5])
def test_kinds_are_told_by_the_first_byte(value: Any) -> None:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    expected = str(value).lower() if isinstance(value, bool) else names.get(type(value), "a number")
    assert json_text.kind(json.dumps(value).encode()) == expected
