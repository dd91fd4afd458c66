"""What happens in rooms, as the sockets ``rooms/{id}/events`` and ``rooms/events`` tell it.

JSON objects, one in each text message; docs/protocols/rooms.md has the table and a
transcript. On the socket of one room the client says ``hello`` and is a member from
then on. The server answers with the room as it is, then sends each event with its
number. ``resume`` in a later hello is the last number that the client has: it gets
the rest once, in order, or is told how much is lost. What has no number (``usage``,
``presence``) only counts while it is new.

Theory of operation. :meth:`RoomSession.receive_frame` takes what the peer sends and
returns what it asks; whoever does that reports by the other methods, and writes what
:meth:`RoomSession.frames_to_send` drains.

    CONNECTING ──hello──► GREETED ──greeted()──► OPEN
        │                    │                     │
        └─any other frame────┴──── refused() ──────┴── ended() ──► CLOSED

* Before the hello every fault is fatal; in OPEN it is answered, and the socket lives.
* CLOSED: frames that crossed the end on the wire are dropped.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols.faults import Allowed, FrameError, explain, tags_of
from embedenv_jupyter.protocols.text import mended

MAX_FRAME_BYTES: Final = 16 << 10
"""A larger frame of a client is refused with an error frame."""
MAX_MESSAGE_BYTES: Final = 1 << 20
"""A socket closes on a larger message without reading it."""
MAX_USER_CHARS: Final = 64
MAX_TOKEN_CHARS: Final = 256
MAX_PATH_CHARS: Final = 4096
MAX_PORT: Final = 65_535
MAX_NUMBER: Final = (1 << 53) - 1
"""The largest integer that all JSON peers share."""

T = TypeVar("T")

Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Colour = Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")]
Kind = Literal["file", "notebook", "terminal", "preview", "kernel"]
User = Annotated[str, Meta(min_length=1, max_length=MAX_USER_CHARS)]


# Client to server.


class Hello(Struct, frozen=True, tag="hello"):
    """Client to server: come in. ``token`` is that of a member who comes back.

    ``resume`` is the last number that the client has; without it only what comes is sent.
    """

    user: User | None = None
    color: Colour | None = None
    token: Annotated[str, Meta(max_length=MAX_TOKEN_CHARS)] | None = None
    resume: Number | None = None

    def __repr__(self) -> str:
        return f"Hello(user={self.user!r}, color={self.color!r}, token=…, resume={self.resume!r})"


class Ping(Struct, frozen=True, tag="ping"):
    """Client to server: are you there? The ``id`` comes back as it is."""

    id: Raw | UnsetType = UNSET


class Where(Struct, frozen=True):
    """What a member looks at, in this room and nowhere else.

    ``path`` is of a file or a notebook in the workspace, the name of a terminal, the port of a preview, or
    the id of the kernel of a notebook that lies elsewhere.
    """

    kind: Kind
    path: Annotated[str, Meta(max_length=MAX_PATH_CHARS)]

    def __post_init__(self) -> None:
        is_right, wanted = _PLACES[self.kind]
        if not is_right(self.path):
            # msgspec makes an error of it that says where.
            raise ValueError(f"the path of a {self.kind} is {wanted}")


def _is_in_workspace(path: str) -> bool:
    parts = path.split("/")
    return path.isprintable() and not any(part in ("", ".", "..") for part in parts)


def _is_port(path: str) -> bool:
    return _PORT.fullmatch(path) is not None and int(path) <= MAX_PORT


_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_IN_WORKSPACE: Final = (_is_in_workspace, "one below the workspace, without '.' or '..'")
_PLACES: Final[Mapping[Kind, tuple[Callable[[str], object], str]]] = {
    "file": _IN_WORKSPACE,
    "notebook": _IN_WORKSPACE,
    "terminal": (re.compile(r"[A-Za-z0-9_]{1,64}").fullmatch, "the name of one"),
    "preview": (_is_port, f"a port from 1 to {MAX_PORT}"),
    "kernel": (re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch, "the id of one"),
}
"""What a path has to be, by the kind of what it names, and how to say so."""


class Presence(Struct, frozen=True, tag="presence"):
    """Client to server: what I look at now; null for nothing that others could find."""

    where: Where | None


ClientFrame: TypeAlias = Hello | Ping | Presence
"""To ``rooms/events`` only pings."""


# Server to client. Events are plain objects, see :func:`render_event`.


class Self(Struct, frozen=True):
    """The member that a connection is."""

    id: str
    user: str
    color: str
    role: str


class Welcome(Struct, frozen=True, tag="hello"):
    """Server to client: you are ``member``; ``room`` is the room as it was at the event ``number``."""

    member: Self
    token: str
    number: int
    room: Mapping[str, Any]


class Pong(Struct, frozen=True, tag="pong", omit_defaults=True):
    """Server to client: I am here."""

    id: Raw | UnsetType = UNSET


class Gap(Struct, frozen=True, tag="gap"):
    """Server to client: ``count`` numbers from ``from`` on are lost, with ``bytes`` of output in them."""

    first: int = msgspec.field(name="from")
    count: int
    bytes: int


class Usage(Struct, frozen=True, tag="usage"):
    """Server to client: what the room uses now, and what it may; null: nobody can tell, or no limit."""

    usage: Mapping[str, float | int | None]
    limits: Mapping[str, float | int | None]


class Looking(Struct, frozen=True, tag="presence"):
    """Server to client: what a member looks at now."""

    member: str
    where: Where | None


class Error(Struct, frozen=True, tag="error"):
    """Server to client: a frame was refused. ``message`` is for people, ``reason`` a name for programs."""

    message: str
    reason: str


class Bye(Struct, frozen=True, tag="bye"):
    """Server to client: the connection closes now, and why."""

    reason: str


class Rooms(Struct, frozen=True, tag="rooms"):
    """Server to client: all rooms that you may see."""

    rooms: tuple[Mapping[str, Any], ...]


class Ended(Struct, frozen=True, tag="ended"):
    """Server to client: a room that you saw has ended, and how."""

    room: Mapping[str, Any]


ServerFrame: TypeAlias = Welcome | Pong | Gap | Usage | Looking | Error | Bye | Rooms | Ended

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_ping_decoder = msgspec.json.Decoder(Ping)
ALLOWED: Final[Allowed] = {"type": tags_of(ClientFrame), "where.kind": get_args(Kind)}


def encode(frame: ServerFrame) -> bytes:
    """Write one frame; text that no UTF-8 can carry is mended with U+FFFD."""
    return _encode(frame)


def render_event(n: int, event: str, at: float, details: Mapping[str, Any]) -> bytes:
    """Write an event: ``n`` is the last number that it takes, ``at`` when it was, in UTC seconds."""
    return _encode({"n": n, "event": event, **details, "at": at})


def _encode(frame: object) -> bytes:
    try:
        return _encoder.encode(frame)
    except UnicodeEncodeError:
        return _encoder.encode(mended(msgspec.to_builtins(frame)))


def decode(frame: str | bytes) -> ClientFrame:
    """Read a client's frame.

    Raises:
        FrameError: what is wrong with it, and what is allowed.
    """
    return _decode(frame, _decoder, ALLOWED)


def decode_ping(frame: str | bytes) -> Ping:
    """Read a frame of who only watches the list of rooms; raises what :func:`decode` raises."""
    return _decode(frame, _ping_decoder, {"type": ("ping",)})


def _decode(frame: str | bytes, decoder: msgspec.json.Decoder[T], allowed: Allowed) -> T:
    if isinstance(frame, bytes):
        raise FrameError("frames are text, this one is binary", CloseCode.UNSUPPORTED_DATA)
    size = len(frame) if frame.isascii() else len(frame.encode(errors="replace"))
    if size > MAX_FRAME_BYTES:
        raise FrameError(f"the frame has {size} bytes, at most {MAX_FRAME_BYTES} are allowed")
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise FrameError(explain(exc, allowed=allowed)) from exc


class State(enum.Enum):
    """Where a connection stands; see the module's text."""

    CONNECTING = "connecting"
    GREETED = "greeted"
    OPEN = "open"
    CLOSED = "closed"


class RoomSession:
    """One connection to a room's events, seen from the gateway; see the module's text."""

    def __init__(self) -> None:
        self.state = State.CONNECTING
        self.close_code: CloseCode | None = None
        """Set when the socket is to be closed, after the frames that wait were sent."""
        self.close_reason = ""
        self._outgoing: list[bytes] = []
        self._held: list[bytes] = []
        """What was answered before the hello was."""

    def receive_frame(self, frame: str | bytes) -> Hello | Presence | None:
        """Read one message; return what is left for others to do."""
        if self.state is State.CLOSED:
            return None
        try:
            return self._receive(decode(frame))
        except FrameError as exc:
            if self.state is State.OPEN:
                self.failed(str(exc), FRAME_ERROR)
            else:
                self.refused(str(exc), FRAME_ERROR, exc.code)
            return None

    def _receive(self, frame: ClientFrame) -> Hello | Presence | None:
        is_first = self.state is State.CONNECTING
        match frame:
            case Hello() if is_first:
                self.state = State.GREETED
                return frame
            case Hello():
                raise FrameError("you have said hello already; a connection is one member")
            case _ if is_first:
                raise FrameError("say hello first")
            case Ping(id=id):
                is_open = self.state is State.OPEN
                (self._outgoing if is_open else self._held).append(encode(Pong(id)))
                return None
            case Presence():
                return frame

    def greeted(self, member: Self, token: str, number: int, room: Mapping[str, Any]) -> None:
        """Answer the hello: the peer is in."""
        if self.state is State.GREETED:
            self.state = State.OPEN
            self._outgoing += [encode(Welcome(member, token, number, room)), *self._held]
            self._held.clear()

    def failed(self, message: str, reason: str) -> None:
        """Say that something was refused; the connection lives."""
        if self.state is not State.CLOSED:
            self._outgoing.append(encode(Error(message, reason)))

    def refused(self, message: str, reason: str, code: CloseCode = CloseCode.POLICY_VIOLATION) -> None:
        """Say that the peer does not come in, and close."""
        self.failed(message, reason)
        self.ended(message, code)

    def ended(self, reason: str, code: CloseCode) -> None:
        """Say goodbye; idempotent, the first reason stays."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._outgoing.append(encode(Bye(reason)))
        self.close_code, self.close_reason = code, reason

    def frames_to_send(self) -> list[bytes]:
        """Return what waits to be written, once."""
        frames, self._outgoing = self._outgoing, []
        return frames


FRAME_ERROR: Final = "FrameError"
"""The ``reason`` of an error that is the frame's fault."""
