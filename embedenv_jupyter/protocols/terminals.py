"""The frames of a terminal's socket: terminado's, as JupyterLab's Terminal widget speaks them.

Text frames, JSON arrays whose first element is the kind. docs/terminals.md has the
conversation. Source: terminado 0.18, ``terminado/websocket.py``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError

MAX_MESSAGE_BYTES = 16 << 20
"""One frame of a client. A paste is one frame, and JSON may make two bytes out of one, or six."""
MAX_LENGTH = 10_000
"""Rows or columns; more than any screen has."""

Length = Annotated[int, msgspec.Meta(ge=0, le=MAX_LENGTH)]


class Stdin(msgspec.Struct, frozen=True, array_like=True, tag="stdin"):
    """Client to server: what was typed or pasted."""

    text: str


class SetSize(msgspec.Struct, frozen=True, array_like=True, tag="set_size"):
    """Client to server: how much the client can show, in characters; then in pixels, which nobody needs.

    A widget that is hidden says 0.
    """

    rows: Length
    columns: Length
    height: float = 0
    width: float = 0


class Setup(msgspec.Struct, frozen=True, array_like=True, tag="setup"):
    """Server to client: the first frame."""

    options: dict[str, str] = {}


class Stdout(msgspec.Struct, frozen=True, array_like=True, tag="stdout"):
    """Server to client: what the terminal shows."""

    text: str


class Disconnect(msgspec.Struct, frozen=True, array_like=True, tag="disconnect"):
    """Server to client: the terminal has ended; the last frame."""

    code: int = 1


ClientFrame = Stdin | SetSize
ServerFrame = Setup | Stdout | Disconnect

_DECODER: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_ENCODER = msgspec.json.Encoder()


def decode(message: str | bytes) -> ClientFrame:
    """Read a client's frame.

    Raises:
        RemoteProtocolError: it is none; the text says what is wrong.
    """
    if isinstance(message, bytes):
        raise RemoteProtocolError("frames of a terminal are text", CloseCode.UNSUPPORTED_DATA)
    try:
        return _DECODER.decode(message)
    except (msgspec.MsgspecError, UnicodeEncodeError) as exc:
        raise RemoteProtocolError(f"not a frame of a terminal: {exc}") from exc


def encode(frame: ServerFrame) -> bytes:
    """Write a frame for a client."""
    return _ENCODER.encode(frame)
