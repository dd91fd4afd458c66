"""Text that UTF-8 can carry: programs print half characters, and JSON can escape them."""

from __future__ import annotations

import re
from typing import Any, Final

_HALF_CHARACTERS: Final = re.compile("[\ud800-\udfff]+")


def whole(text: str) -> str:
    """Replace what is no character (lone surrogates) by U+FFFD, and join halves that belong together."""
    return _HALF_CHARACTERS.sub(
        lambda halves: halves[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), text
    )


def mended(value: Any) -> Any:
    """Return a JSON value with all of its texts :func:`whole`."""
    match value:
        case str():
            return whole(value)
        case dict():
            return {whole(key): mended(item) for key, item in value.items()}
        case list() | tuple():
            return [mended(item) for item in value]
    return value
