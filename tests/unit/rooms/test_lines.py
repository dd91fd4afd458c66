"""Lines are never lost, doubled or torn, wherever the bytes are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.rooms.lines import MAX_PARTIAL_CHARS, LineBuffer


@given(st.text(), st.lists(st.integers(0, 200)))
def test_any_cuts_give_the_same_text(text: str, cuts: list[int]) -> None:
    data = text.encode("utf-8", "replace")
    lines = LineBuffer()
    taken = ""
    position = 0
    for cut in [*cuts, len(data)]:
        taken += lines.feed(data[position : position + cut])
        position += cut
        assert "\n" not in lines.partial
    assert taken + lines.finish() == data.decode()


@given(st.lists(st.binary()))
def test_what_is_no_utf8_is_replaced_not_dropped(pieces: list[bytes]) -> None:
    lines = LineBuffer()
    taken = "".join(map(lines.feed, pieces)) + lines.finish()
    assert taken == b"".join(pieces).decode("utf-8", "replace")


def test_a_line_without_end_is_passed_on_in_pieces() -> None:
    lines = LineBuffer()
    assert lines.feed(b"x" * MAX_PARTIAL_CHARS) == ""
    assert lines.feed(b"y") == "x" * MAX_PARTIAL_CHARS + "y"
    assert lines.partial == ""


def test_taking_the_partial_line_keeps_a_broken_character_for_later() -> None:
    lines = LineBuffer()
    assert lines.feed("Größe: ".encode() + "é".encode()[:1]) == ""
    assert lines.take() == "Größe: "
    assert lines.feed("é".encode()[1:] + b"\n") == "é\n"
