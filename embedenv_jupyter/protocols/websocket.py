"""Framing of server messages (RFC 6455 section 5), so that many can go in one write."""

from __future__ import annotations

import struct

_TEXT = 0x81  # FIN and opcode 1
_BINARY = 0x82


def text_frame(payload: bytes) -> bytes:
    """Frame an unmasked, final text message (RFC 6455 section 5.2)."""
    return _head(_TEXT, len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """Frame an unmasked, final binary message."""
    return _head(_BINARY, len(payload)) + payload


def _head(opcode: int, size: int) -> bytes:
    if size < 126:
        return struct.pack("!BB", opcode, size)
    if size < 1 << 16:
        return struct.pack("!BBH", opcode, 126, size)
    return struct.pack("!BBQ", opcode, 127, size)
