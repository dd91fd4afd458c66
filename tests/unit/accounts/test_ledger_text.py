"""What the ledger makes of texts that callers give it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.accounts.ledger import stored_key, stored_note

any_text = st.text(st.characters(codec=None), min_size=1, max_size=200) | st.text(
    "~\\x7eé\0\ud800", min_size=1
)


@given(any_text, any_text)
def test_different_keys_stay_different(one: str, other: str) -> None:
    assert (stored_key(one) == stored_key(other)) == (one == other)


@given(any_text)
def test_a_key_is_stored_as_printable_ascii_and_is_never_one_of_ours(key: str) -> None:
    assert stored_key(key).isascii()
    assert stored_key(key).isprintable()
    assert not stored_key(key).startswith("~")


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_keys_of_odd_length_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="1 to 200 characters"):
        stored_key(key)


def test_ordinary_keys_are_readable_in_the_ledger() -> None:
    assert stored_key("room-7:init") == "room-7:init"


@given(st.text(st.characters(codec=None)))
def test_a_note_is_one_printable_line(note: str) -> None:
    assert stored_note(note).isprintable()
    assert len(stored_note(note)) <= 500
