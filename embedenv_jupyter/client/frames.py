"""What a server of the Spaces protocol sends, read liberally.

A gateway writes its frames strictly; a client must live with servers that are
older, newer or not ours. So every field that only our additions have is optional
here, unknown types are kept as :class:`Unknown` instead of being an error, and
only what is no JSON object at all breaks the protocol. See
docs/architecture.md section 6 for the fields that are additions.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from embedenv_jupyter.errors import RemoteProtocolError

RunNumber: TypeAlias = int | str


class Init(msgspec.Struct, frozen=True, tag="init"):
    """Server to client: the room is there. All but ``join`` and the credits are additions."""

    join: str = ""
    remaining_credits: int | None = None
    room: str | None = None
    role: str | None = None
    member: str | None = None
    n: int | None = None


class Join(msgspec.Struct, frozen=True, tag="join"):
    """Server to client: you are in the room. No form is published; the fields are those of Init."""

    join: str = ""
    user: str | None = None
    color: str | None = None
    remaining_credits: int | None = None
    room: str | None = None
    role: str | None = None
    member: str | None = None
    n: int | None = None


class Message(msgspec.Struct, frozen=True, tag="msg"):
    """Server to client: a sentence; the answer to a deployment."""

    message: str = ""
    id: str | None = None
    n: int | None = None


class Error(msgspec.Struct, frozen=True, tag="error"):
    """Server to client: something was refused."""

    message: str = ""
    code: str | int | None = None
    id: str | None = None
    run: RunNumber | None = None
    n: int | None = None


class TerminalData(msgspec.Struct, frozen=True, tag="terminal-data"):
    """Server to client: a piece of output without a line end."""

    data: str = ""
    run: RunNumber | None = None
    id: str | None = None
    n: int | None = None


class TerminalNewline(msgspec.Struct, frozen=True, tag="terminal-newline"):
    """Server to client: the line ends here."""

    run: RunNumber | None = None
    id: str | None = None
    n: int | None = None


class TerminalEnd(msgspec.Struct, frozen=True, tag="terminal-data-end"):
    """Server to client: the program has ended."""

    run: RunNumber | None = None
    id: str | None = None
    n: int | None = None


class Exit(msgspec.Struct, frozen=True, tag="exit"):
    """Server to client (addition): how the program ended; follows TerminalEnd."""

    run: RunNumber | None = None
    code: int | None = None
    signal: str | int | None = None
    id: str | None = None
    n: int | None = None


class Chunk(msgspec.Struct, frozen=True, tag="chunk"):
    """Server to client: a part of an answer to curl or read."""

    content: str = ""
    encoding: str = "text"
    id: str | None = None
    n: int | None = None


class End(msgspec.Struct, frozen=True, tag="end"):
    """Server to client: the answer to curl or read is complete."""

    id: str | None = None
    n: int | None = None


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Server to client (addition): a command without an answer of its own was done."""

    id: str | None = None
    run: RunNumber | None = None
    n: int | None = None


class Entry(msgspec.Struct, frozen=True):
    """One entry of a listing; ``modified`` in seconds since 1970."""

    name: str
    type: str
    size: int | None = None
    modified: float | None = None


class Listing(msgspec.Struct, frozen=True, tag="listing"):
    """Server to client (addition): the entries of a directory."""

    path: str = ""
    entries: tuple[Entry, ...] = ()
    id: str | None = None
    n: int | None = None


class LogGap(msgspec.Struct, frozen=True, tag="gap", rename={"first": "from", "last": "to"}):
    """Server to client (addition): the log no longer has the events ``first`` to ``last``."""

    first: int
    last: int
    events: int = 0
    bytes: int = 0
    n: int | None = None


class Happening(msgspec.Struct, frozen=True):
    """Server to client (addition): a named event of the room, with its own fields in ``details``."""

    event: str
    details: dict[str, Any]
    run: RunNumber | None = None
    id: str | None = None
    n: int | None = None


class Unknown(msgspec.Struct, frozen=True):
    """A frame of another type, or a known type with a wrong shape. Its number and id still count."""

    type: str
    id: str | None = None
    n: int | None = None


_Tagged: TypeAlias = (
    Init
    | Join
    | Message
    | Error
    | TerminalData
    | TerminalNewline
    | TerminalEnd
    | Exit
    | Chunk
    | End
    | Done
    | Listing
    | LogGap
)
ServerFrame: TypeAlias = _Tagged | Happening | Unknown

_decoder = msgspec.json.Decoder(_Tagged)
_loose = msgspec.json.Decoder(dict[str, Any])


def decode(data: bytes | str) -> ServerFrame:
    """Read one frame.

    Raises:
        RemoteProtocolError: this is no JSON object.
    """
    try:
        frame: ServerFrame = _decoder.decode(data)
    except msgspec.ValidationError:
        return _other(_object(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RemoteProtocolError(f"the server sent a frame that is no JSON: {exc}") from None
    return frame


def _object(data: bytes | str) -> dict[str, Any]:
    try:
        return _loose.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise RemoteProtocolError(f"the server sent a frame that is no JSON object: {exc}") from None


def _other(fields: dict[str, Any]) -> ServerFrame:
    kind, n, run, id_ = (fields.pop(key, None) for key in ("type", "n", "run", "id"))
    n = n if isinstance(n, int) and not isinstance(n, bool) else None
    id_ = id_ if isinstance(id_, str) else None
    name = fields.pop("event", None)
    if kind == "event" and isinstance(name, str):
        return Happening(name, fields, run if isinstance(run, int | str) else None, id_, n)
    return Unknown(str(kind)[:64], id_, n)
