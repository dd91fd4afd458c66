"""Repairs links that lead to the root of a program's own server, in HTML and CSS that streams by.

A page at ``/a/b`` that says ``/static/app.css`` is shown below a path that it does not
know. The link becomes ``./../static/app.css``: relative, so that it is right below
any prefix, whichever proxies stand in front. What scripts make at run time is the
business of ``page.js``. Text is handled as Latin-1: every byte goes out as it came in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin

from embedenv_jupyter.previews.tags import Attribute, Tag, replaced

_OWN_HOST = r"(?:https?:)?//(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\]):%d(?=[/?#]|$)"
_REFERENCE = re.compile(
    r"(?P<before>url\(\s{0,8}(?:[\"']|&quot;|&#39;)?|@import\s{1,8}[\"'])"
    r"(?P<link>/(?![/\\])|(?:https?:)?//[^\s\"'()&/]{1,64}/)",
    re.IGNORECASE,
)
_HELD_CHARS = 128
"""No reference is longer than this up to where it is known whose it is."""
_LINKS = frozenset(
    ["src", "href", "action", "formaction", "poster", "background", "xlink:href", "manifest", "longdesc"]
)
_SETS = frozenset(["srcset", "imagesrcset"])
_CANDIDATE = re.compile(r"(^\s*|,\s*)([^\s,]+)")
_REFRESH = re.compile(r"^(\s*[\d.]*\s*[;,]?\s*url\s*=\s*[\"']?)(.*)$", re.IGNORECASE | re.DOTALL)


class Rewriter(Protocol):
    """Takes a body piece by piece and returns what goes out in its place."""

    def feed(self, data: bytes) -> bytes:
        """Take the next piece."""

    def finish(self) -> bytes:
        """Return what was held back."""


@dataclass(frozen=True)
class Place:
    """Where something of a program was found: its path there, the program's port, the preview's name."""

    path: str
    port: int
    capability: str = ""

    @property
    def root(self) -> str:
        """The root of the program's server, as a relative link from here."""
        return "./" + "../" * (self.path.partition("?")[0].count("/") - 1)

    def moved(self, link: str) -> str:
        """Return a link as it must be written here; one to another server, or a relative one, as it is."""
        target = link.strip(" \t\n\f\r")
        if own := re.match(_OWN_HOST % self.port, target, re.IGNORECASE):
            target = "/" + target[own.end() :].lstrip("/\\")
        elif not target.startswith("/") or target[1:2] in ("/", "\\"):
            return link
        if self.capability and f"/{self.capability}/" in target:
            return link  # a program that minds X-Forwarded-Prefix
        return self.root + target[1:]

    def based(self, link: str) -> Place | None:
        """Return the place that links count from after ``<base href>``; ``None`` where that is elsewhere."""
        target = re.sub(_OWN_HOST % self.port, "", link.strip(), count=1, flags=re.IGNORECASE) or "/"
        if re.match(r"[a-z][a-z0-9+.-]*:|[/\\]{2}", target, re.IGNORECASE):
            return None
        return Place(urljoin(self.path, target), self.port, self.capability)


def moved_in_css(text: str, place: Place) -> str:
    """Repair the references in a piece of CSS."""
    return _REFERENCE.sub(lambda found: found["before"] + place.moved(found["link"]), text)


class CssRewriter:
    """A style sheet."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._held = ""

    def feed(self, data: bytes) -> bytes:
        text = self._held + data.decode("latin-1")
        cut = max(0, len(text) - _HELD_CHARS)
        for found in _REFERENCE.finditer(text):
            if found.start() < cut < found.end():
                cut = found.end()
        # What begins before the cut and is not whole yet has less than is held.
        self._held = text[cut:]
        return moved_in_css(text[:cut], self._place).encode("latin-1")

    def finish(self) -> bytes:
        text, self._held = self._held, ""
        return moved_in_css(text, self._place).encode("latin-1")


class TagLinks:
    """Repairs the links of one tag after another; ``<base>`` changes where they count from."""

    def __init__(self, place: Place) -> None:
        self._from: Place = place
        self.place: Place | None = place
        """Where links count from now; ``None`` while they lead to another server."""

    def moved(self, tag: Tag) -> str:
        """Return a start tag as it must be written here."""
        if tag.name == "base":
            return self._base(tag)
        place = self.place
        if place is None:
            return tag.text
        return replaced(tag, lambda attribute: _new_value(tag, attribute, place))

    def _base(self, tag: Tag) -> str:
        href = tag.value("href")
        if href is None:
            return tag.text
        self.place = self._from.based(href)
        return replaced(
            tag, lambda found: self._from.moved(found.value) if found.name == "href" else found.value
        )


def _new_value(tag: Tag, attribute: Attribute, place: Place) -> str | None:
    """Return what an attribute has to say; ``None``: it has to go."""
    name, value = attribute.name, attribute.value
    if name in _LINKS or (name == "data" and tag.name == "object"):
        return place.moved(value)
    if name in _SETS and "data:" not in value:
        return _CANDIDATE.sub(lambda found: found[1] + place.moved(found[2]), value)
    if name == "style":
        return moved_in_css(value, place)
    if name == "integrity" and tag.name == "link" and _is_local(tag.value("href") or ""):
        return None  # a style sheet of the program is not what its hash was made of once it is repaired
    if name == "content" and tag.name == "meta" and (tag.value("http-equiv") or "").lower() == "refresh":
        return _REFRESH.sub(lambda found: found[1] + place.moved(found[2]), value)
    return value


def _is_local(link: str) -> bool:
    return re.match(r"\s*(?:[a-z][a-z0-9+.-]*:|//)", link, re.IGNORECASE) is None
