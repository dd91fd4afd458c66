"""From records of a room's log to the bytes of ``rooms/{id}/events``, once for all who watch it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from embedenv_jupyter.protocols import rooms as protocol
from embedenv_jupyter.protocols.websocket import text_frame
from embedenv_jupyter.rooms import events
from embedenv_jupyter.rooms.log import Gap, Record

PIECE_BYTES: Final = 128 << 10
_KEY: Final = "rooms"
_RENAMED: Final = {"colour": "color", "by": "user"}
"""What an event's fields are called on the wire, where it is something else."""


def render(records: Sequence[Record | Gap]) -> Iterator[bytes]:
    """Yield the framed messages of these records, in order, some ``PIECE_BYTES`` at a time."""
    piece = bytearray()
    for record in records:
        if isinstance(record, Gap):
            piece += text_frame(protocol.encode(protocol.Gap(record.first, record.events, record.bytes)))
        else:
            piece += record.rendered(_KEY, _framed)[0]
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _framed(record: Record) -> Sequence[bytes]:
    event = record.event
    if isinstance(event, events.Output) and record.skip:
        pieces = list(event.pieces())[
            : -1 if event.prompt else None
        ]  # the line end after a prompt is no text
        event = msgspec.structs.replace(event, text="".join(pieces[record.skip :]))
    name, details = described(event)
    return (text_frame(protocol.render_event(record.last, name, event.at, details)),)


def described(event: events.Event) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of an event, as docs/protocols/rooms.md lists them."""
    fields = msgspec.structs.asdict(event)
    del fields["at"]
    if isinstance(event, events.RoleChanged):
        return "role", fields
    return str(type(event).__struct_config__.tag), {_RENAMED.get(name, name): fields[name] for name in fields}
