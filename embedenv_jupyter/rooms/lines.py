"""From the bytes of a terminal to text that ends where lines end."""

from __future__ import annotations

import codecs

MAX_PARTIAL_CHARS = 32 << 10
"""A line that grows beyond this is passed on in pieces."""


class LineBuffer:
    """Decodes UTF-8 incrementally and holds back the line that is not complete yet.

    What is not UTF-8 becomes U+FFFD; nothing is dropped.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""

    @property
    def partial(self) -> str:
        """The beginning of a line that was not taken yet."""
        return self._partial

    def feed(self, data: bytes) -> str:
        """Take bytes in; return the text up to the last line end, or ``""``."""
        text = self._partial + self._decoder.decode(data)
        cut = text.rfind("\n") + 1
        if len(text) - cut > MAX_PARTIAL_CHARS:
            cut = len(text)
        self._partial = text[cut:]
        return text[:cut]

    def take(self) -> str:
        """Return the partial line and forget it."""
        partial, self._partial = self._partial, ""
        return partial

    def finish(self) -> str:
        """Return what is left at the end, a broken last character included."""
        return self.take() + self._decoder.decode(b"", final=True)
