"""The client's side of one room over any number of connections, without I/O.

Theory of operation. A session outlives its connections. Each connection is a
hello, a welcome, and frames; what makes the whole lossless is kept here:

* ``last_n``: the number of the newest event that was received. It goes into the
  hello of the next connection, and what comes twice is dropped by it.
* the commands in flight, in the order of submission. Each carries an id; after a
  reconnect all that have no answer yet are sent again, and the server runs none
  twice. What was answered in part is answered again from the start; the caller
  skips what it has.

           connected()            welcome                lost()
    IDLE ─────────────► GREETING ─────────► OPEN ────────────────► IDLE
                            │ error            │ close()
                            └────► CLOSED ◄────┘

A server that speaks only the published frames answers without ``n``. Then the
session is *plain*: nothing is numbered, ids are not sent, and what was in flight
when a connection is lost is reported as failed by :meth:`Session.lost`, because
nobody could know whether it was done.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from embedenv_jupyter.client.address import Keys
from embedenv_jupyter.client.commands import Fields
from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.frames import (
    Error,
    Init,
    Join,
    LogGap,
    ServerFrame,
    TerminalData,
    TerminalEnd,
    TerminalNewline,
    decode,
)
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.errors import (
    CloseCode,
    LocalProtocolError,
    RemoteProtocolError,
    RoomClosedError,
    WorkspaceError,
)

PROJECT_NAME = "unified_workspace"
MAX_UNANSWERED = 64
"""So many commands are on their way at most. A gateway remembers the answers to some hundred commands of a
member: with more on their way, one that is sent again after a cut could be carried out twice."""
MAX_SKIPPED = 10_000
"""Who wants no history drops up to so many old events; if there are more, joining again is quicker."""
MAX_FAULTS = 3
"""So often a command may meet an internal error of the server that ends the connection; then it fails."""


class Phase(enum.Enum):
    """Where the session stands; drawn in the module's text."""

    IDLE = "idle"
    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True)
class Identity:
    """What the other members see of this one."""

    user: str
    color: str


@dataclass
class Pending:
    """A command that was submitted and has no complete answer yet."""

    id: str
    fields: Fields
    is_written: bool = field(default=False, init=False)
    """On the connection of now, that is."""
    faults: int = field(default=0, init=False)


class Session:
    """See the module's text. Inputs report facts; ``frames_to_send`` drains what to write."""

    def __init__(self, keys: Keys, identity: Identity, id_prefix: str, *, history: bool = True) -> None:
        """Begin with what gets us in.

        ``id_prefix`` makes ids unique among the sessions of one member. Without
        ``history`` what happened before the first welcome is left out.
        """
        self.phase = Phase.IDLE
        self.is_plain = False
        self.join_key = keys.join_key
        self.room_id: str | None = None
        self.role: str | None = None
        self.remaining_credits: int | None = None
        self.last_n = 0
        self._keys: Keys | None = keys
        self._identity = identity
        self._member: str | None = None
        self._prefix = id_prefix
        self._counter = 0
        self._failure: Exception | None = None
        self._wants_history = history
        self._skipping = 0
        self._in_flight: dict[str, Pending] = {}
        self._outbox: dict[str, Pending] = {}
        self._unanswered: set[str] = set()
        self.progress = 0
        """Grows with every event that is new and every command that is settled."""

    @property
    def is_welcomed(self) -> bool:
        """Whether any connection ever got its welcome."""
        return self._keys is None

    @property
    def should_join_again(self) -> bool:
        """Whether a long history is about to come that nobody wants; on the next connection it will not."""
        return self._skipping > MAX_SKIPPED

    # Connections

    def connected(self) -> bytes:
        """A connection is there; returns its first frame."""
        assert self.phase is Phase.IDLE
        self.phase = Phase.GREETING
        keys = self._keys
        if keys is not None and keys.opens_new_room:
            pair = {"public_key": keys.public_key, "secret_key": keys.secret_key}
            return _encode({"type": "init", **pair, "resume": self.last_n})
        hello: Fields = {"type": "join", "join": self.join_key}
        hello |= {"user": self._identity.user, "color": self._identity.color}
        if not self.is_plain:
            hello["resume"] = self.last_n
        if self._member is not None:
            hello["member"] = self._member
        return _encode(hello)

    def lost(self, code: int | None = None) -> list[str]:
        """The connection is gone, with this close code; returns the ids of the commands that fail with it."""
        if self.phase is Phase.CLOSED:
            return []
        self.phase = Phase.IDLE
        self._skipping = 0
        failed = [pending.id for pending in self._in_flight.values() if self._fails(pending, code)]
        for id_ in failed:
            del self._in_flight[id_]
        for pending in self._in_flight.values():
            pending.is_written = False
        self._unanswered.clear()
        self._outbox = dict(self._in_flight)
        return failed

    def _fails(self, pending: Pending, code: int | None) -> bool:
        if not pending.is_written:
            return False
        if code == CloseCode.INTERNAL_ERROR:
            pending.faults += 1
        # Sent again, a frame that is too big or breaks the server would end every connection to come.
        return self.is_plain or code == CloseCode.TOO_BIG or pending.faults >= MAX_FAULTS

    def close(self, failure: Exception | None = None) -> None:
        """Nothing is sent or received any more; the first ``failure`` answers all that is asked later."""
        self.phase = Phase.CLOSED
        self._failure = self._failure or failure
        self._in_flight.clear()
        self._outbox.clear()

    # Commands

    def submit(self, fields: Fields) -> Pending:
        """Take a command; it is sent as soon as a connection is open.

        Raises:
            WorkspaceError: its text cannot be encoded (lone surrogates).
            EmbedEnvError: what closed the session, if it is closed.
        """
        if self.phase is Phase.CLOSED:
            raise self._failure or LocalProtocolError("this room was closed here; nothing can be asked of it")
        self._counter += 1
        pending = Pending(f"{self._prefix}-{self._counter}", fields)
        self._frame_of(pending)
        self._in_flight[pending.id] = self._outbox[pending.id] = pending
        return pending

    def settle(self, id_: str) -> None:
        """The answer is complete, or nobody waits for it any more; idempotent. More may be sent then."""
        if self._in_flight.pop(id_, None) is not None:
            self.progress += 1
        self._outbox.pop(id_, None)
        self._unanswered.discard(id_)

    def frames_to_send(self) -> Iterator[tuple[Pending, bytes]]:
        """Drain the commands that this connection must still carry, in the order of submission."""
        while self.phase is Phase.OPEN and self._outbox and len(self._unanswered) < MAX_UNANSWERED:
            pending = self._outbox.pop(next(iter(self._outbox)))
            pending.is_written = True
            self._unanswered.add(pending.id)
            yield pending, self._frame_of(pending)

    # Frames

    def receive(self, data: bytes | str) -> list[ServerFrame | Gap]:
        """Read one frame; returns what is new in it, in order.

        Raises:
            RemoteProtocolError: it is no frame at all.
            RefusedError: it refuses the hello.
            RoomClosedError: the room that we knew is not there any more.
        """
        frame = decode(data)
        if self.phase is Phase.GREETING and self._welcome(frame):
            return []
        return self._admit(frame)

    def _welcome(self, frame: ServerFrame) -> bool:
        """Look at a frame before the welcome; returns whether that is all there was to it."""
        match frame:
            case Error(message=message, code=code):
                self.close()
                raise RefusedError(message, code)
            case Init() | Join():
                self._remember(frame)
                return True
            case TerminalData(n=None) | TerminalNewline(n=None) | TerminalEnd(n=None) if self._may_be_silent:
                # No answer to a join is published: the room's output is as good as one.
                self.welcomed_silently()
        return False

    @property
    def _may_be_silent(self) -> bool:
        """Whether this hello is a join that a server of the published frames may leave unanswered."""
        makes_room = self._keys is not None and self._keys.opens_new_room
        return not makes_room and (self.is_plain or not self.is_welcomed)

    def welcomed_silently(self) -> bool:
        """No answer came to the hello; returns whether the connection may be used all the same."""
        if self.phase is Phase.GREETING and self._may_be_silent:
            self.is_plain = True
            self._keys = None
            self.phase = Phase.OPEN
        return self.phase is Phase.OPEN

    def _remember(self, welcome: Init | Join) -> None:
        if self.is_welcomed and not self.is_plain:
            self._check_same_room(welcome)
        elif not welcome.join and not self.join_key:
            raise RemoteProtocolError("the server made a room but gave no join key")
        else:
            self.is_plain = welcome.n is None
            if not self._wants_history:
                self.last_n = self._skipping = welcome.n or 0
        self.join_key = welcome.join or self.join_key
        self.room_id = welcome.room
        self.role = welcome.role
        self._member = welcome.member or self._member
        if welcome.remaining_credits is not None:
            self.remaining_credits = welcome.remaining_credits
        self._keys = None  # The secret is not needed again, so it is not kept.
        self.phase = Phase.OPEN

    def _check_same_room(self, welcome: Init | Join) -> None:
        if welcome.n is None or welcome.n < self.last_n or welcome.room != self.room_id:
            self.close()
            raise RoomClosedError("it started anew, and its log is gone")

    def _admit(self, frame: ServerFrame) -> list[ServerFrame | Gap]:
        """Drop what came before, report what is missing."""
        if self.is_plain or frame.n is None:
            return [frame]
        first, last = self.last_n + 1, frame.last if isinstance(frame, LogGap) else frame.n
        if last < first:
            return []
        self.last_n = last
        self.progress += 1
        if isinstance(frame, LogGap):
            return [Gap(first, last, last - first + 1, frame.bytes)]
        if last > first:
            return [Gap(first, last - 1, last - first, is_reported=False), frame]
        return [frame]

    def _frame_of(self, pending: Pending) -> bytes:
        frame = {"type": "cmd", "project_name": PROJECT_NAME} | pending.fields
        if not self.is_plain:
            frame["id"] = pending.id
        return _encode(frame)


def _encode(frame: Fields) -> bytes:
    try:
        return msgspec.json.encode(frame)
    except UnicodeEncodeError as exc:
        reason = "the text holds lone surrogates, which no frame can carry"
        raise WorkspaceError(ascii(exc.object)[1:60], reason) from None
