"""HTML as a stream of tags and what is between them (HTML Living Standard, section 13.2.5).

Only what is needed to change attributes: where tags begin and end, what is comment,
and what is text although it looks like a tag (scripts, styles, titles).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_TAG_CHARS = 1 << 20
"""A tag that is longer, and all that follows it, goes by as it is."""

_RAW = frozenset(["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"])
_NAME = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_ATTRIBUTE = re.compile(
    r"[\s/]*(?:(?P<end>>)|(?P<name>[^\s/>][^\s/>=]*)"
    r"(?:\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>][^\s>]*)|(?=>)))?)"
)
_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW}
_EMPTY_COMMENT = re.compile(r"<!---?>")
_COMMENT_END = re.compile(r"--!?>")
_OPEN_VALUE = re.compile(r"\s*(?:=|$)")


@dataclass(frozen=True)
class Attribute:
    """An attribute: its name in lower case, its value as it is written, and where both stand in the tag."""

    name: str
    value: str
    span: tuple[int, int]
    value_span: tuple[int, int]


@dataclass(frozen=True)
class Tag:
    """A start tag as it was written."""

    name: str
    text: str
    attributes: tuple[Attribute, ...]

    def value(self, name: str) -> str | None:
        """Return the value of an attribute, of the first where it is repeated."""
        return next((found.value for found in self.attributes if found.name == name), None)


@dataclass(frozen=True)
class Text:
    """What is no start tag; ``of`` is the element whose raw text it is, or ""."""

    text: str
    of: str = ""


def replaced(tag: Tag, value_of: Callable[[Attribute], str | None]) -> str:
    """Write a tag with other values; an attribute that gets ``None`` is left out."""
    parts: list[str] = []
    at = 0
    for attribute in tag.attributes:
        value = value_of(attribute)
        if value == attribute.value:
            continue
        begin, end = attribute.span if value is None else attribute.value_span
        parts += [tag.text[at:begin], value or ""]
        at = end
    return "".join([*parts, tag.text[at:]])


class Tokens:
    """Cuts HTML into start tags and the rest. What comes out, put together, is what went in."""

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._raw = ""
        """The element that goes on whose content is text whatever it looks like."""
        self._is_comment = False
        self._is_given_up = False

    def feed(self, text: str, *, is_last: bool = False) -> Iterator[Tag | Text]:
        """Take more, and yield what is whole."""
        self._text, self._at = self._text[self._at :] + text, 0
        while self._at < len(self._text):
            token = self._next(is_last)
            if token is None:
                return
            self._at += len(token.text)
            yield token

    def _next(self, is_last: bool) -> Tag | Text | None:
        if self._is_given_up:
            return Text(self._text[self._at :])
        if self._is_comment:
            return self._comment_text(is_last)
        if self._raw:
            return self._raw_text(is_last)
        begin = self._text.find("<", self._at)
        if begin != self._at:
            return Text(self._text[self._at : begin if begin >= 0 else None])
        return self._markup(is_last)

    def _raw_text(self, is_last: bool) -> Tag | Text | None:
        """Return the text of an element in which there are no tags, or what surely is of it."""
        raw = self._raw
        found = _ENDS[raw].search(self._text, self._at)
        if found is not None and found.start() == self._at:
            self._raw = ""
            return self._markup(is_last)
        end = len(self._text)
        if found is not None:
            end = found.start()
        elif not is_last and (begun := self._text.rfind("<", max(self._at, end - len(raw) - 2))) >= 0:
            end = begun
        return Text(self._text[self._at : end], raw) if end > self._at else None

    def _comment_text(self, is_last: bool) -> Text | None:
        found = _COMMENT_END.search(self._text, self._at)
        if found is not None:
            self._is_comment = False
            return Text(self._text[self._at : found.end()])
        end = len(self._text) - (0 if is_last else 3)
        return Text(self._text[self._at : end]) if end > self._at else None

    def _markup(self, is_last: bool) -> Tag | Text | None:
        rest = self._text[self._at : self._at + 4]
        if len(rest) < 4 and not is_last and not rest.endswith(">"):
            return None
        if rest == "<!--":
            return self._comment(is_last)
        if _NAME.match(rest):
            return self._tag(is_last)
        if rest[1:2] in ("!", "?", "/"):
            end = self._text.find(">", self._at)
            return self._whole(end + 1 if end >= 0 else None, is_last)
        return Text("<")

    def _comment(self, is_last: bool) -> Text | None:
        start = _EMPTY_COMMENT.match(self._text, self._at)
        if start is not None:
            return Text(start[0])
        if len(self._text) - self._at < 6 and not is_last:
            return None
        self._is_comment = True
        return Text("<!--")

    def _whole(self, end: int | None, is_last: bool) -> Text | None:
        """Return markup up to ``end``, or all where it has none and nothing more is to be expected."""
        if end is not None:
            return Text(self._text[self._at : end])
        if is_last or len(self._text) - self._at > MAX_TAG_CHARS:
            self._is_given_up = True
            return Text(self._text[self._at :])
        return None

    def _tag(self, is_last: bool) -> Tag | Text | None:
        name = _NAME.match(self._text, self._at)
        assert name is not None, "the caller has looked"
        attributes: list[Attribute] = []
        at = name.end()
        while (found := _ATTRIBUTE.match(self._text, at)) is not None:
            at = found.end()
            if found["end"]:
                return self._closed(name[0], at, attributes)
            kind = found.lastgroup or "name"
            if kind == "name" and _OPEN_VALUE.match(self._text, at) and not self._text.startswith(">", at):
                break  # a value that has no end yet
            span = found.span(kind) if kind != "name" else (at, at)
            base = self._at
            attributes.append(
                Attribute(
                    found["name"].lower(),
                    found[kind] if kind != "name" else "",
                    (found.start("name") - base, at - base),
                    (span[0] - base, span[1] - base),
                )
            )
        return self._whole(None, is_last)

    def _closed(self, opening: str, end: int, attributes: list[Attribute]) -> Tag | Text:
        text = self._text[self._at : end]
        if opening.startswith("</"):
            return Text(text)
        name = opening[1:].lower()
        if name in _RAW:
            self._raw = name
        elif name == "plaintext":
            self._is_given_up = True
        return Tag(name, text, tuple(attributes))
