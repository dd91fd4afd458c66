"""What a session's log holds, as WebSocket frames in pieces of a size that is well written at once."""

from __future__ import annotations

from typing import Final

from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.codec import encode
from embedenv_jupyter.protocols.websocket import text_frame
from embedenv_jupyter.rooms.events import EngineFrame
from embedenv_jupyter.rooms.log import Gap, Record

PIECE_BYTES: Final = 256 << 10


def pieces(records: list[Record | Gap], session: str) -> list[bytes]:
    """Write records as WebSocket frames, several in one piece; each carries its number."""
    done: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for record in records:
        waiting.append(text_frame(_frame(record, session)))
        size += len(waiting[-1])
        if size >= PIECE_BYTES:
            done.append(b"".join(waiting))
            waiting, size = [], 0
    if waiting:
        done.append(b"".join(waiting))
    return done


def _frame(record: Record | Gap, session: str) -> bytes:
    if isinstance(record, Gap):
        return encode(frames.Gap(missing=record.events, session=session, n=record.last))
    event = record.event
    assert isinstance(event, EngineFrame), "a session's log has nothing else"
    return b'%b,"n":%d}' % (event.frame[:-1], record.last)
