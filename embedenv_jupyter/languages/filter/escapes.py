r"""Escapes in the texts of most languages: ``\n``, ``\x2f``, ``\057``, ``\u002f``."""

from __future__ import annotations

import re
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{1,2})|u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))",
    re.DOTALL,
)
_NAMED: Final = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "e": "\x1b",
}


def decoded(text: str) -> str:
    """Write the characters that the escapes in ``text`` stand for."""
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    hexadecimal = match[1] or match[2] or match[3] or match[4]
    if hexadecimal:
        code = int(hexadecimal, 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
    if match[5]:
        return chr(int(match[5], 8) & 0xFF)
    return _NAMED.get(match[6], match[6])
