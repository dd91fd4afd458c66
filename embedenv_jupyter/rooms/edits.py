"""What to change in one text to make it another one, as little as can be found at a bounded price.

Carets and selections in a shared document hold on to the characters around them: whatever
is not replaced, they stay in.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_LINE_PAIRS: Final = 250_000
"""So many pairs of lines are compared; of more, all but the common beginning and end is replaced."""


@dataclass(frozen=True)
class Edit:
    """Replace the characters from ``start`` up to, not with, ``stop`` of the old text."""

    start: int
    stop: int
    text: str


def edits_between(old: str, new: str) -> list[Edit]:
    """Return the edits, the last in the text first, so that each leaves the places of the others as they are.

    May take some tenths of a second: not for the loop's thread.
    """
    edits = list(_edits(old, new))
    edits.reverse()
    return edits


def _edits(old: str, new: str) -> Iterator[Edit]:
    start, stop, text = _trimmed(old, new)
    if start == stop and not text:
        return
    old_lines, new_lines = old[start:stop].splitlines(keepends=True), text.splitlines(keepends=True)
    if len(old_lines) * len(new_lines) > MAX_LINE_PAIRS:
        yield Edit(start, stop, text)
        return
    at = start
    places = [at := at + len(line) for line in ("", *old_lines)]
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old_lines, new_lines).get_opcodes():
        if kind != "equal":
            piece, replacement = old[places[i1] : places[i2]], "".join(new_lines[j1:j2])
            first, last, inner = _trimmed(piece, replacement)
            yield Edit(places[i1] + first, places[i1] + last, inner)


def _trimmed(old: str, new: str) -> tuple[int, int, str]:
    """Leave out what both begin and end with; return from where to where to replace what, and by what."""
    start = _common(old, new)
    shortest = min(len(old), len(new)) - start
    end = min(shortest, _common(old[start:][::-1], new[start:][::-1]))
    return start, len(old) - end, new[start : len(new) - end]


def _common(left: str, right: str) -> int:
    """Return how many characters both begin with."""
    low, high = 0, min(len(left), len(right))
    while low < high:  # comparing slices is fast, characters one by one is not
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
