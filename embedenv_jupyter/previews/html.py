"""Repairs a page while it streams by: its links, its styles, and a script that does the rest at run time."""

from __future__ import annotations

import enum
from importlib.resources import files

from embedenv_jupyter.previews.links import CssRewriter, Place, TagLinks
from embedenv_jupyter.previews.tags import Tag, Text, Tokens


class Injection(enum.Enum):
    """Whether a page gets the script: a fragment that another page puts into itself must not."""

    ALWAYS = enum.auto()
    IF_DOCUMENT = enum.auto()
    NEVER = enum.auto()


def page_script(port: int) -> str:
    """Return the element that repairs at run time what no server can see (``page.js``)."""
    source = files("embedenv_jupyter.previews").joinpath("page.js").read_text("ascii")
    return f'<script data-embedenv-port="{port}">{source}</script>'


class HtmlRewriter:
    """A page of a program."""

    def __init__(self, place: Place, script: str, injection: Injection) -> None:
        self._tokens = Tokens()
        self._links = TagLinks(place)
        self._script = script
        self._injection = injection
        self._styles: CssRewriter | None = None

    def feed(self, data: bytes) -> bytes:
        return self._take(data.decode("latin-1"))

    def finish(self) -> bytes:
        return self._take("", is_last=True) + self._end_of_styles().encode("latin-1")

    def _take(self, text: str, *, is_last: bool = False) -> bytes:
        parts = [self._written(token) for token in self._tokens.feed(text, is_last=is_last)]
        return "".join(parts).encode("latin-1")

    def _written(self, token: Tag | Text) -> str:
        if isinstance(token, Text) and token.of == "style":
            return self._style(token.text)
        before = self._end_of_styles()
        if isinstance(token, Text):
            if token.text[:9].lower() == "<!doctype":
                self._is_document()
            return before + token.text
        return before + self._with_script(token, self._links.moved(token))

    def _is_document(self) -> None:
        if self._injection is Injection.IF_DOCUMENT:
            self._injection = Injection.ALWAYS

    def _with_script(self, tag: Tag, text: str) -> str:
        """Put the script where it runs before all others: first in the head."""
        if tag.name == "html":
            self._is_document()
            return text
        if self._injection is not Injection.ALWAYS:
            return text
        self._injection = Injection.NEVER
        return text + self._script if tag.name == "head" else self._script + text

    def _style(self, text: str) -> str:
        if self._styles is None:
            if self._links.place is None:
                return text
            self._styles = CssRewriter(self._links.place)
        return self._styles.feed(text.encode("latin-1")).decode("latin-1")

    def _end_of_styles(self) -> str:
        styles, self._styles = self._styles, None
        return "" if styles is None else styles.finish().decode("latin-1")
