"""JSON text of a stranger, looked at before it is parsed.

Three bytes of text, ``{},``, become some hundred bytes of objects: what a text costs
is not its size, but how many values it holds. Counting them takes no memory for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

_PIECE_BYTES: Final = 1 << 18

_KINDS: Final = {
    b"{": "an object", b"[": "a list", b'"': "a text", b"n": "null", b"t": "true", b"f": "false",
}  # fmt: skip


class Bounds(NamedTuple):
    """How much JSON text may hold."""

    containers: int
    """Lists and objects."""
    entries: int
    """Names in objects, each with its value."""
    values: int
    """What lists and objects hold, and these themselves."""

    def excess(self, text: bytes) -> str:
        """Name the first bound that text is beyond, as in "more than 7 values"; "" if it is within all.

        What stands in a text counts for nothing. Text that is no JSON is counted up to
        where it stops being JSON, at least.
        """
        if not self._beyond(_counted(text)):
            return ""
        found = Bounds(0, 0, 0)
        for piece in _outside_of_texts(text):
            found = Bounds(*map(sum, zip(found, _counted(piece), strict=True)))
            if beyond := self._beyond(found):
                return beyond
        return ""

    def _beyond(self, found: Bounds) -> str:
        names = ("lists and objects", "entries of objects", "values")
        for count, bound, name in zip(found, self, names, strict=True):
            if count > bound:
                return f"more than {bound} {name}"
        return ""


def kind(text: bytes) -> str:
    """Name what JSON text is, by its first byte."""
    return _KINDS.get(text[:1], "a number")


def _counted(text: bytes) -> Bounds:
    brackets = text.count(b"{") + text.count(b"[")
    return Bounds(brackets, text.count(b":"), brackets + text.count(b","))


def _outside_of_texts(text: bytes) -> Iterator[bytes]:
    """Yield what is not between quotes; in pieces, between which other threads get their turn."""
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    is_inside = False
    for at in range(0, len(plain), _PIECE_BYTES):
        parts = plain[at : at + _PIECE_BYTES].split(b'"')
        yield b"".join(parts[is_inside::2])
        is_inside ^= len(parts) % 2 == 0
