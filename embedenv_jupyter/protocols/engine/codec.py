"""Frames to bytes and back, on a gateway's side."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from embedenv_jupyter.protocols.engine.frames import (
    Ack,
    Authenticated,
    Batch,
    ClientFrame,
    Closed,
    Number,
    Pong,
    Resumed,
    RunId,
    ServerFrame,
    StreamFrame,
    Work,
)
from embedenv_jupyter.protocols.faults import FRAME, Allowed, FrameError, explain, tags_of
from embedenv_jupyter.protocols.text import mended

ALLOWED: Allowed = {"action": tags_of(ClientFrame)}

_encoder = msgspec.json.Encoder()
_client_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_stream_decoder: msgspec.json.Decoder[StreamFrame] = msgspec.json.Decoder(StreamFrame)
StreamsFrame = StreamFrame | Ack | Authenticated | Resumed | Closed | Pong
"""Whatever a gateway sends to a client that asks for streams only."""

_streams_decoder: msgspec.json.Decoder[StreamsFrame] = msgspec.json.Decoder(StreamsFrame)
_work_decoder = msgspec.json.Decoder(Work)
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


class _Head(msgspec.Struct):
    id: RunId | None = None


class _BatchHead(msgspec.Struct):
    runs: Raw | UnsetType = UNSET


class Stranger(msgspec.Struct, frozen=True):
    """A frame of a type that this version does not know; its number counts all the same."""

    type: str
    n: Number | UnsetType = UNSET


_stranger_decoder = msgspec.json.Decoder(Stranger)
_batch_head_decoder = msgspec.json.Decoder(_BatchHead)
_batch_decoder = msgspec.json.Decoder(Batch)
_head_decoder = msgspec.json.Decoder(_Head)


def encode(frame: ServerFrame | ClientFrame) -> bytes:
    """Write one frame. Text that no UTF-8 can carry is mended with U+FFFD; nothing raises."""
    try:
        return _encoder.encode(frame)
    except UnicodeEncodeError:
        return _encoder.encode(mended(msgspec.to_builtins(frame)))


def decode_client_frame(data: str | bytes) -> ClientFrame:
    """Read a client's frame.

    Raises:
        FrameError: what is wrong with it, and what is allowed; with the run's id, where it has one.
    """
    try:
        return _client_decoder.decode(data)
    except _UNREADABLE as exc:
        raise FrameError(explain(exc, FRAME, ALLOWED), id=_id_of(data)) from None


def decode_stream_frame(data: str | bytes) -> StreamFrame:
    """Read a frame of a stream as strictly as it is written; for clients of ours, tests and tools.

    Raises:
        FrameError: it is not one.
    """
    try:
        return _stream_decoder.decode(data)
    except _UNREADABLE as exc:
        raise FrameError(explain(exc, FRAME, {"type": tags_of(StreamFrame)})) from None


def decode_streams_frame(data: str | bytes) -> StreamsFrame | Stranger:
    """Read what a gateway sends to a client that asks for streams only.

    Raises:
        FrameError: it is no frame.
    """
    try:
        return _streams_decoder.decode(data)
    except _UNREADABLE as exc:
        stranger = _stranger(data)
        if stranger is not None:
            return stranger
        raise FrameError(explain(exc, FRAME, {"type": tags_of(StreamsFrame)})) from None


def _stranger(data: str | bytes) -> Stranger | None:
    try:
        frame = _stranger_decoder.decode(data)
    except _UNREADABLE:
        return None
    return None if frame.type in tags_of(StreamsFrame) else frame


def decode_work(data: bytes) -> Work:
    """Read the body of ``POST api/v1/execute``.

    Raises:
        FrameError: what is wrong with it.
    """
    try:
        return _work_decoder.decode(data)
    except _UNREADABLE as exc:
        raise FrameError(explain(exc, "the body")) from None


def is_batch(data: bytes) -> bool:
    """Tell whether a body has ``runs``, and so is to be read as a batch."""
    try:
        return bool(_batch_head_decoder.decode(data).runs is not UNSET)
    except _UNREADABLE:
        return False


def decode_batch(data: bytes) -> Batch:
    """Read the body of ``POST api/v1/execute`` with several runs.

    Raises:
        FrameError: what is wrong with it.
    """
    try:
        return _batch_decoder.decode(data)
    except _UNREADABLE as exc:
        raise FrameError(explain(exc, "the body")) from None


def _id_of(data: str | bytes) -> str | None:
    try:
        return _head_decoder.decode(data).id
    except _UNREADABLE:
        return None
