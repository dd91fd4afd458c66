"""Reading and making Jupyter messages: headers only, contents where the gateway has something to say.

https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols.kernels import Message

PROTOCOL_VERSION: Final = "5.4"
MAX_HEADER_BYTES: Final = 64 << 10

_HEADER, _PARENT, _METADATA, _CONTENT = range(4)

T = TypeVar("T")


class Header(msgspec.Struct, frozen=True):
    """What the gateway reads of a header; the bytes themselves are passed on as they came."""

    msg_id: str
    msg_type: str
    session: str = ""
    username: str = ""


class _Parent(msgspec.Struct, frozen=True):
    msg_id: str = ""


class ExecuteRequest(msgspec.Struct, frozen=True):
    """The content of an ``execute_request``, as far as a receipt needs it."""

    code: str
    silent: bool = False
    allow_stdin: bool = True
    stop_on_error: bool = True


class InputRequest(msgspec.Struct, frozen=True):
    """The content of an ``input_request``."""

    prompt: str = ""
    password: bool = False


class InputReply(msgspec.Struct, frozen=True):
    """The content of an ``input_reply``."""

    value: str = ""


class _CellMetadata(msgspec.Struct, frozen=True):
    """The metadata of an ``execute_request`` as JupyterLab sends it; ids as nbformat 4.5 has them."""

    cellId: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$")] = ""  # noqa: N815 (JupyterLab's name)


class _Count(msgspec.Struct, frozen=True):
    execution_count: int = 0


class Status(msgspec.Struct, frozen=True):
    """The content of a reply, or of a ``status`` message."""

    status: str = ""
    execution_state: str = ""


_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What a decoder raises for text that is no JSON, no UTF-8, or nested without an end."""

_header = msgspec.json.Decoder(Header)
_parent = msgspec.json.Decoder(_Parent)
_execute = msgspec.json.Decoder(ExecuteRequest)
_input = msgspec.json.Decoder(InputRequest)
_status = msgspec.json.Decoder(Status)
_answer = msgspec.json.Decoder(InputReply)
_count = msgspec.json.Decoder(_Count)
_cell_metadata = msgspec.json.Decoder(_CellMetadata)
_object = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


def header_of(message: Message) -> Header:
    """Read a message's header.

    Raises:
        RemoteProtocolError: it is no header of a Jupyter message.
    """
    raw = message.parts[_HEADER]
    if len(raw) > MAX_HEADER_BYTES:
        raise RemoteProtocolError(f"a header has {len(raw)} bytes, {MAX_HEADER_BYTES} are allowed")
    try:
        return _header.decode(raw)
    except _UNREADABLE as exc:
        raise RemoteProtocolError(f"the header of a Jupyter message is not right: {exc}") from exc


def _content(decoder: msgspec.json.Decoder[T], message: Message, kind: str) -> T:
    """Read what a client sent.

    Raises:
        RemoteProtocolError: the content is not right.
    """
    try:
        return decoder.decode(message.parts[_CONTENT])
    except _UNREADABLE as exc:
        raise RemoteProtocolError(f"the content of an {kind} is not right: {exc}") from exc


def execute_request(message: Message) -> ExecuteRequest:
    """Read what is to be executed; raises RemoteProtocolError."""
    return _content(_execute, message, "execute_request")


def input_reply(message: Message) -> InputReply:
    """Read what somebody answered; raises RemoteProtocolError."""
    return _content(_answer, message, "input_reply")


# A kernel of a room may say anything. What cannot be read is as if it had not been said.


def _said(decoder: msgspec.json.Decoder[T], raw: bytes) -> T | None:
    try:
        return decoder.decode(raw)
    except _UNREADABLE:
        return None


def id_of(parts: tuple[bytes, ...]) -> str:
    """Return the id of a message; "" where it cannot be read."""
    header = _said(_header, parts[_HEADER])
    return header.msg_id if header is not None else ""


def kind_of(parts: tuple[bytes, ...]) -> str:
    """Return the type of a message; "" where it cannot be read."""
    header = _said(_header, parts[_HEADER])
    return header.msg_type if header is not None else ""


def parent_id(parts: tuple[bytes, ...]) -> str:
    """Return which message this one answers; "" for none, or where it cannot be read."""
    return (_said(_parent, parts[_PARENT]) or _Parent()).msg_id


def input_request(parts: tuple[bytes, ...]) -> InputRequest:
    """Read what a kernel asks, empty where it cannot be read."""
    return _said(_input, parts[_CONTENT]) or InputRequest()


def cell_id(parts: tuple[bytes, ...]) -> str:
    """Return which cell of its notebook a request runs; "" where it does not say, or not in a right way."""
    return (_said(_cell_metadata, parts[_METADATA]) or _CellMetadata()).cellId


def count_of(parts: tuple[bytes, ...]) -> int:
    """Read the number that a kernel gave to a cell; 0 where it cannot be read."""
    return (_said(_count, parts[_CONTENT]) or _Count()).execution_count


def status_of(parts: tuple[bytes, ...]) -> Status:
    """Read the status of a reply or of a ``status`` message, empty where it cannot be read."""
    return _said(_status, parts[_CONTENT]) or Status()


def content_of(parts: tuple[bytes, ...]) -> dict[str, Any]:
    """Read the content of any message, empty where it is no object."""
    return _said(_object, parts[_CONTENT]) or {}


def with_content(parts: tuple[bytes, ...], content: dict[str, Any]) -> tuple[bytes, ...]:
    """Return the parts with another content."""
    return (*parts[:_CONTENT], _encoder.encode(content), *parts[_CONTENT + 1 :])


def make(
    channel: str,
    msg_type: str,
    content: dict[str, Any],
    *,
    parent: bytes = b"{}",
    metadata: dict[str, Any] | None = None,
    session: str = "embedenv",
    username: str = "embedenv",
) -> Message:
    """Make a message of our own; ``parent`` is the header that it answers, as bytes."""
    header = {
        "msg_id": uuid.uuid4().hex,
        "msg_type": msg_type,
        "session": session,
        "username": username,
        "date": datetime.now(UTC).isoformat(),
        "version": PROTOCOL_VERSION,
    }
    return Message(
        channel, (_encoder.encode(header), parent, _encoder.encode(metadata or {}), _encoder.encode(content))
    )


def with_metadata(parts: tuple[bytes, ...], name: str, value: dict[str, Any]) -> tuple[bytes, ...]:
    """Return the parts with one more entry in the metadata; as they were where that cannot be read."""
    try:
        metadata = _encoder.encode({**_object.decode(parts[_METADATA]), name: value})
    except _UNREADABLE:
        return parts
    return (*parts[:_METADATA], metadata, *parts[_METADATA + 1 :])


def with_parent(parts: tuple[bytes, ...], parent: bytes) -> tuple[bytes, ...]:
    """Return the parts as an answer to another message."""
    return (parts[_HEADER], parent, *parts[_METADATA:])


def error_content(name: str, text: str) -> dict[str, Any]:
    """Return the content of an ``error`` message, which says it in a cell's output."""
    return {"ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}
