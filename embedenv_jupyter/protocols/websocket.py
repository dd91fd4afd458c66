"""Framing of server messages (RFC 6455 section 5), so that many can go in one write."""

from __future__ import annotations

import struct

_TEXT = 0x81  # FIN and opcode 1


def text_frame(payload: bytes) -> bytes:
    """Frame an unmasked, final text message (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", _TEXT, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload
