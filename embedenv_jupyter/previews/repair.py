"""Decides what of a program's answers is repaired, and how."""

from __future__ import annotations

from collections.abc import Callable

from embedenv_jupyter.previews.html import HtmlRewriter, Injection
from embedenv_jupyter.previews.links import CssRewriter, Place, Rewriter
from embedenv_jupyter.previews.upstream import Head

_PAGES = frozenset(["text/html", "application/xhtml+xml"])
_DOCUMENTS = frozenset(["document", "iframe", "frame", "embed", "object"])


def rewriter_for(
    head: Head, destination: str | None, place: Place, script_for: Callable[[int], str]
) -> Rewriter | None:
    """Return what repairs an answer; ``None`` where it goes by as it is.

    ``destination`` is what the browser wants it for (Fetch Metadata, ``Sec-Fetch-Dest``). What a script has
    asked for is the script's: it may put a fragment into a page that stands elsewhere.
    """
    kind = head.value("content-type").lower()
    mime = kind.partition(";")[0].strip()
    is_whole = head.status not in (204, 206, 304)
    is_readable = head.value("content-encoding").lower() in ("", "identity") and "utf-16" not in kind
    is_download = head.value("content-disposition").lower().startswith("attachment")
    if not is_whole or not is_readable or is_download or destination == "empty":
        return None
    if mime == "text/css":
        return CssRewriter(place)
    if mime in _PAGES:
        injection = Injection.ALWAYS if destination in _DOCUMENTS else Injection.IF_DOCUMENT
        return HtmlRewriter(place, script_for(place.port), injection)
    return None
