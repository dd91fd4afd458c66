"""Frames to bytes and back."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from embedenv_jupyter.protocols.faults import FRAME, Allowed, FrameError, explain, tags_of
from embedenv_jupyter.protocols.spaces.frames import (
    MAX_ID_CHARS,
    ClientFrame,
    Command,
    Event,
    Hello,
    Id,
    PublishedCommand,
    ServerFrame,
    TaggedFrame,
)
from embedenv_jupyter.protocols.text import mended

ALLOWED_FIRST: Allowed = {"type": tags_of(Hello)}
ALLOWED_PUBLISHED: Allowed = {"type": tags_of(ClientFrame), "command.type": tags_of(PublishedCommand)}
ALLOWED: Allowed = {"type": tags_of(ClientFrame), "command.type": tags_of(Command)}

_encoder = msgspec.json.Encoder()
_client_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_server_decoder: msgspec.json.Decoder[TaggedFrame] = msgspec.json.Decoder(TaggedFrame)
_object_decoder = msgspec.json.Decoder(dict[str, Any])


class _Head(Struct):
    id: Id | None = None


_id_decoder: msgspec.json.Decoder[str | None] = msgspec.json.Decoder(Id | None)
_head_decoder = msgspec.json.Decoder(_Head)


def encode(frame: ClientFrame | ServerFrame) -> bytes:
    """Write one frame. Text that no UTF-8 can carry is mended with U+FFFD; nothing raises."""
    plain: object = frame
    if isinstance(frame, Event):
        head = {"type": "event", "event": frame.event}
        plain = head | frame.details | head | {"n": frame.n}
    try:
        return _encoder.encode(plain)
    except UnicodeEncodeError:
        return _encoder.encode(mended(msgspec.to_builtins(plain)))


def decode_client_frame(text: str | bytes, allowed: Allowed = ALLOWED) -> ClientFrame:
    """Read a client's frame.

    Raises:
        FrameError: what is wrong with it, and what is ``allowed``.
    """
    try:
        return _client_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise FrameError(explain(exc, FRAME, allowed)) from None


def decode_server_frame(text: str | bytes) -> ServerFrame:
    """Read a server's frame as strictly as it is written; for tests and tools.

    Raises:
        FrameError: it is not one.
    """
    try:
        return _server_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        event = _decode_event(text)
        if event is None:
            raise FrameError(explain(exc, FRAME, {"type": tags_of(TaggedFrame)})) from None
        return event


def _decode_event(text: str | bytes) -> Event | None:
    try:
        fields = _object_decoder.decode(text)
        if fields.pop("type", None) != "event":
            return None
        return msgspec.convert({"event": fields.pop("event"), "n": fields.pop("n"), "details": fields}, Event)
    except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError):
        return None


def id_of(text: str | bytes) -> str | None:
    """Read only a command's id; ``None`` where there is none, or nothing that could be one."""
    try:
        return _head_decoder.decode(text).id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def read_id(raw: Raw | UnsetType) -> str | None:
    """Read the id of a command of a client that asks.

    Raises:
        FrameError: it is not a text of 1 to 64 characters.
    """
    if raw is UNSET:
        return None
    try:
        return _id_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise FrameError(f"'id' must be a text of 1 to {MAX_ID_CHARS} characters") from None
