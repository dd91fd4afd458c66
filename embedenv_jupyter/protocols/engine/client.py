"""The Engine protocol, as a client: one object with code goes out, one object with its output comes back.

The published page (docs/protocols/engine.md says what of it we speak) shows JSON
objects, one in each message of a WebSocket, and no number that would tie an answer
to its request. So one request waits at a time, and the first frame that has a field
of an answer is its answer. What else a gateway sends, a greeting for example, is
passed over.

Frames and session only: no input, no output, no clock.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from embedenv_jupyter.errors import EmbedEnvError, LocalProtocolError, RemoteProtocolError
from embedenv_jupyter.protocols.text import mended, whole

MAX_CODE_BYTES: Final = 8 << 20
"""The longest code that we send; the page names no limit, and a cell is never as long."""

MAX_STRAYS: Final = 1000
"""How many frames that are no answer may come while a request waits."""

MAX_MESSAGE_CHARS: Final = 2000
"""How much of a refusal is kept."""

_SHOWN_CHARS: Final = 80
_DURATION: Final = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*(ms|s|)\s*", re.ASCII)
_MS: Final = {"ms": 1.0, "": 1.0, "s": 1000.0}

LanguageName = Annotated[str, Meta(min_length=1, max_length=40)]
ExitCode = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Duration = (
    Annotated[int, Meta(ge=0, le=2**53)] | Annotated[float, Meta(ge=0)] | Annotated[str, Meta(max_length=40)]
)
"""The page's sample for sockets takes a number of milliseconds, the one for REST shows ``"87ms"``."""


class Execute(msgspec.Struct, frozen=True, tag="execute", tag_field="action"):
    """Client to server: run ``code``; ``api_key`` says who pays. Its ``repr`` shows neither."""

    language: LanguageName
    code: str
    api_key: str

    def __repr__(self) -> str:
        return f"Execute(language={self.language!r}, code of {len(self.code)} characters)"


class Answer(msgspec.Struct, frozen=True):
    """Server to client: the program has ended, and this is all that it wrote."""

    stdout: str
    stderr: str | None = None
    exit_code: ExitCode | None = None
    execution_time: Duration | None = None

    @property
    def execution_time_ms(self) -> float | None:
        """How long it ran; ``None`` where that was not said in milliseconds or seconds."""
        if not isinstance(self.execution_time, str):
            return self.execution_time
        match = _DURATION.fullmatch(self.execution_time)
        return float(match[1]) * _MS[match[2]] if match else None


class Refusal(msgspec.Struct, frozen=True):
    """Server to client: it was not run, or not to its end.

    The page has no such frame; ``{"type": "error", "message"}`` and ``{"error"}`` are read as one.
    """

    message: str
    stdout: str = ""
    stderr: str = ""


class Stray(msgspec.Struct, frozen=True):
    """Server to client: anything that answers nothing; ``shown`` is how it begins."""

    shown: str


ServerFrame = Answer | Refusal | Stray

_encoder = msgspec.json.Encoder()
_client_decoder: msgspec.json.Decoder[Execute] = msgspec.json.Decoder(Execute)
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


class CodeTooLargeError(EmbedEnvError):
    """The code has ``size_bytes``, which is more than we send."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes

    def __str__(self) -> str:
        return f"The code has {self.size_bytes} bytes; at most {MAX_CODE_BYTES} are sent."


def encode(frame: Execute) -> bytes:
    """Write a request. Half characters, which no UTF-8 can carry, become U+FFFD."""
    return _encoder.encode(
        Execute(language=whole(frame.language), code=whole(frame.code), api_key=whole(frame.api_key))
    )


def encode_server_frame(frame: Answer | Refusal) -> bytes:
    """Write what a gateway sends; for tests and tools."""
    if isinstance(frame, Refusal):
        fields = {"type": "error", "message": frame.message, "stdout": frame.stdout, "stderr": frame.stderr}
        return _encoder.encode({name: value for name, value in fields.items() if value or name == "message"})
    return _encoder.encode(frame)


def decode_client_frame(data: str | bytes) -> Execute:
    """Read a request.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        return _client_decoder.decode(data)
    except _UNREADABLE as exc:
        raise RemoteProtocolError(f"not an execute frame: {exc}") from None


def decode_server_frame(data: str | bytes) -> ServerFrame:
    """Read what a gateway sent.

    Raises:
        RemoteProtocolError: it has a field of an answer and is none; the text names the field.
    """
    fields = _fields(data)
    if fields is None:
        return Stray(_shown(data))
    refusal = _refusal(fields)
    if refusal is not None:
        return refusal
    if not fields.keys() & set(Answer.__struct_fields__):
        return Stray(_shown(data))
    try:
        return msgspec.convert(fields, Answer)
    except msgspec.ValidationError as exc:
        raise RemoteProtocolError(f"the answer is not as published: {exc}") from None


class EngineSession:
    """One connection to a gateway: whether a request waits, and what answers it."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self.is_waiting = False
        self.strays = 0
        """How many frames were passed over since the request."""
        self.last_stray = ""

    def execute(self, language: str, code: str) -> bytes:
        """Return the frame of a request, which waits from now on.

        Raises:
            CodeTooLargeError: the code is longer than we send.
            LocalProtocolError: another request waits.
        """
        if self.is_waiting:
            raise LocalProtocolError("one request waits already, and answers carry no number")
        size_bytes = len(code.encode("utf-8", "replace"))
        if size_bytes > MAX_CODE_BYTES:
            raise CodeTooLargeError(size_bytes)
        frame = encode(Execute(language, code, self._api_key))
        self.is_waiting, self.strays, self.last_stray = True, 0, ""
        return frame

    def receive_frame(self, data: str | bytes) -> Answer | Refusal | None:
        """Read a frame; ``None`` for one that answers nothing, or that nothing waits for.

        Raises:
            RemoteProtocolError: the answer is not one, or too many frames answer nothing.
        """
        if not self.is_waiting:
            return None
        frame = decode_server_frame(data)
        if not isinstance(frame, Stray):
            self.is_waiting = False
            return frame
        self.strays += 1
        self.last_stray = frame.shown
        if self.strays > MAX_STRAYS:
            raise RemoteProtocolError(f"more than {MAX_STRAYS} frames answer nothing, at last {frame.shown}")
        return None


def _fields(data: str | bytes) -> dict[str, Any] | None:
    """Read a JSON object; ``None`` for anything else."""
    try:
        value = msgspec.json.decode(data)
    except _UNREADABLE:
        value = _read_with_halves(data)
    return value if isinstance(value, dict) else None


def _read_with_halves(data: str | bytes) -> object:
    """Read JSON whose text has escaped half characters: programs print such, and msgspec reads none."""
    try:
        value = mended(json.loads(data, parse_constant=_no_number))
        return msgspec.json.decode(_encoder.encode(value))
    except (*_UNREADABLE, ValueError, OverflowError):
        return None


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _refusal(fields: dict[str, Any]) -> Refusal | None:
    error = fields.get("error")
    if fields.get("type") != "error" and error in (None, "", False):
        return None
    if isinstance(error, dict):
        error = error.get("message", error)
    told = [text for text in (fields.get("message"), error) if text not in (None, "", True, False)]
    message = _text(told[0]) if told else "no reason given"
    wrote = {name: fields[name] for name in ("stdout", "stderr") if isinstance(fields.get(name), str)}
    return Refusal(message, **wrote)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else _encoder.encode(value).decode()
    return text if len(text) <= MAX_MESSAGE_CHARS else text[:MAX_MESSAGE_CHARS] + "…"


def _shown(data: str | bytes) -> str:
    begin = data[: _SHOWN_CHARS + 1]
    text = begin.decode("utf-8", "replace") if isinstance(begin, bytes) else whole(begin)
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
