"""Reading and making Jupyter messages: headers only, contents where the gateway has something to say.

A kernel may say some 60 MiB at once, and all of this is read in the loop's thread. So only what is
used is decoded, by its type; what is passed on stays the text that it is (``msgspec.Raw``).

https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import sys
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols.json_text import Bounds
from embedenv_jupyter.protocols.kernels import Message

PROTOCOL_VERSION: Final = "5.4"
MAX_HEADER_BYTES: Final = 64 << 10

MAX_STATE_BYTES: Final = 64 << 10
"""Of the content of a ``status`` message, which is some 30 bytes."""

MAX_METADATA_BYTES: Final = 1 << 20
"""Of a kernel's metadata that get a further entry; of more, only their size is told."""

MAX_WHOLE_BYTES: Final = 8 << 20
"""Of content whose parts are looked at one by one, if they may be more than ``MAX_ENTRIES``."""

MAX_ENTRIES: Final = 200_000
"""Of the objects in such content; one takes some 250 bytes."""

_ENTRIES: Final = Bounds(containers=sys.maxsize, entries=MAX_ENTRIES, values=sys.maxsize)

_HEADER, _PARENT, _METADATA, _CONTENT = range(4)

T = TypeVar("T")


class Header(msgspec.Struct, frozen=True):
    """What the gateway reads of a header; the bytes themselves are passed on as they came."""

    msg_id: str
    msg_type: str
    session: str = ""
    username: str = ""


class StreamText(msgspec.Struct, frozen=True):
    """The content of a ``stream`` message."""

    name: str = "stdout"
    text: str = ""


class Fault(msgspec.Struct, frozen=True):
    """The content of an ``error`` message, or of a reply that is one."""

    ename: str = ""
    evalue: str = ""
    traceback: tuple[str, ...] = ()


class _Shown(msgspec.Struct, frozen=True):
    data: dict[str, msgspec.Raw] = {}


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


class _Code(msgspec.Struct, frozen=True):
    code: str = ""


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
_code = msgspec.json.Decoder(_Code)
_count = msgspec.json.Decoder(_Count)
_cell_metadata = msgspec.json.Decoder(_CellMetadata)
_stream = msgspec.json.Decoder(StreamText)
_fault = msgspec.json.Decoder(Fault)
_shown = msgspec.json.Decoder(_Shown)
_text = msgspec.json.Decoder(str)
_entries = msgspec.json.Decoder(dict[str, msgspec.Raw])
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


def with_code(message: Message, code: str) -> Message:
    """Return an ``execute_request`` with other code; raises RemoteProtocolError."""
    if _is_too_much(message.parts[_CONTENT]):
        raise RemoteProtocolError(
            f"the content of an execute_request has more than {MAX_ENTRIES} entries in its objects"
        )
    said = _content(_entries, message, "execute_request")
    content: dict[str, Any] = {**said, "code": code}
    return Message(message.channel, with_content(message.parts, content))


def input_reply(message: Message) -> InputReply:
    """Read what somebody answered; raises RemoteProtocolError."""
    return _content(_answer, message, "input_reply")


# A kernel of a room may say anything. What cannot be read is as if it had not been said.


def _said(decoder: msgspec.json.Decoder[T], raw: bytes) -> T | None:
    try:
        return decoder.decode(raw)
    except _UNREADABLE:
        return None


def _said_in_head(decoder: msgspec.json.Decoder[T], raw: bytes) -> T | None:
    return _said(decoder, raw) if len(raw) <= MAX_HEADER_BYTES else None


def _is_too_much(content: bytes) -> bool:
    """Tell whether to look at the entries of content one by one would take much memory, or much time."""
    if content.count(b":") <= MAX_ENTRIES:
        return False
    return len(content) > MAX_WHOLE_BYTES or bool(_ENTRIES.excess(content))


def id_of(parts: tuple[bytes, ...]) -> str:
    """Return the id of a message; "" where it cannot be read."""
    header = _said_in_head(_header, parts[_HEADER])
    return header.msg_id if header is not None else ""


def kind_of(parts: tuple[bytes, ...]) -> str:
    """Return the type of a message; "" where it cannot be read."""
    header = _said_in_head(_header, parts[_HEADER])
    return header.msg_type if header is not None else ""


def parent_id(parts: tuple[bytes, ...]) -> str:
    """Return which message this one answers; "" for none, or where it cannot be read."""
    return (_said_in_head(_parent, parts[_PARENT]) or _Parent()).msg_id


def input_request(parts: tuple[bytes, ...]) -> InputRequest:
    """Read what a kernel asks, empty where it cannot be read."""
    return _said(_input, parts[_CONTENT]) or InputRequest()


def cell_id(parts: tuple[bytes, ...]) -> str:
    """Return which cell of its notebook a request runs; "" where it does not say, or not in a right way."""
    return (_said(_cell_metadata, parts[_METADATA]) or _CellMetadata()).cellId


def code_of(parts: tuple[bytes, ...]) -> str:
    """Return the code that a client asks something about; "" where it cannot be read."""
    return (_said(_code, parts[_CONTENT]) or _Code()).code


def count_of(parts: tuple[bytes, ...]) -> int:
    """Read the number that a kernel gave to a cell; 0 where it cannot be read."""
    return (_said(_count, parts[_CONTENT]) or _Count()).execution_count


def status_of(parts: tuple[bytes, ...]) -> Status:
    """Read the status of a reply, empty where it cannot be read."""
    return _said(_status, parts[_CONTENT]) or Status()


def state_of(parts: tuple[bytes, ...]) -> str:
    """Read the state that a ``status`` message tells, empty where it cannot be read."""
    if len(parts[_CONTENT]) > MAX_STATE_BYTES:
        return ""
    return status_of(parts).execution_state


def stream_of(parts: tuple[bytes, ...]) -> StreamText:
    """Read what a ``stream`` message says, empty where it cannot be read."""
    return _said(_stream, parts[_CONTENT]) or StreamText()


def fault_of(parts: tuple[bytes, ...]) -> Fault | None:
    """Read an error, empty where it cannot be read; ``None`` where it has more than ``MAX_WHOLE_BYTES``."""
    if len(parts[_CONTENT]) > MAX_WHOLE_BYTES:
        return None
    return _said(_fault, parts[_CONTENT]) or Fault()


def shown_of(parts: tuple[bytes, ...]) -> dict[str, msgspec.Raw] | None:
    """Read what is to be shown, each MIME type's as it was sent; empty where it cannot be read.

    ``None`` where it has more entries than are looked at; :func:`left_out` says so.
    """
    if _is_too_much(parts[_CONTENT]):
        return None
    return (_said(_shown, parts[_CONTENT]) or _Shown()).data


def text_of(raw: msgspec.Raw) -> str:
    """Read a text that was passed on as it was sent, empty where it is none."""
    return _said(_text, bytes(raw)) or ""


def left_out(parts: tuple[bytes, ...], kind: str) -> str:
    """Say what was not looked at, and why, after :func:`shown_of` or :func:`fault_of`."""
    bound = f"{MAX_WHOLE_BYTES} bytes" if kind == "error" else f"{MAX_ENTRIES} entries in its objects"
    return f"[{kind} of {len(parts[_CONTENT])} bytes left out: it has, or may have, more than {bound}]\n"


def with_shown(parts: tuple[bytes, ...], data: dict[str, msgspec.Raw]) -> tuple[bytes, ...]:
    """Return the parts of a message that shows something with other data, after :func:`shown_of`."""
    said = _said(_entries, parts[_CONTENT])
    content: dict[str, Any] = {**(said or {}), "data": data}
    return with_content(parts, content)


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
    """Return the parts with one more entry in the metadata; as they were where that cannot be read.

    Metadata of more than ``MAX_METADATA_BYTES`` are left out; then the entry says how
    many they were, as ``left_out_bytes``.
    """
    metadata: dict[str, Any]
    size_bytes = len(parts[_METADATA])
    if size_bytes > MAX_METADATA_BYTES:
        metadata = {name: {**value, "left_out_bytes": size_bytes}}
    else:
        said = _said(_entries, parts[_METADATA])
        if said is None:
            return parts
        metadata = {**said, name: value}
    return (*parts[:_METADATA], _encoder.encode(metadata), *parts[_METADATA + 1 :])


def with_parent(parts: tuple[bytes, ...], parent: bytes) -> tuple[bytes, ...]:
    """Return the parts as an answer to another message."""
    return (parts[_HEADER], parent, *parts[_METADATA:])


def error_content(name: str, text: str) -> dict[str, Any]:
    """Return the content of an ``error`` message, which says it in a cell's output."""
    return {"ename": name, "evalue": text, "traceback": [f"{name}: {text}"]}
