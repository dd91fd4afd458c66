"""One connection of the Spaces protocol, seen from the gateway, without I/O.

Theory of operation. Facts come in by :meth:`SpacesSession.receive_frame`, which
returns what the peer asks; whoever carries that out reports by the methods for
answers, and writes what :meth:`SpacesSession.frames_to_send` drains.

    CONNECTING ──init, join──► GREETED ──initialised(), joined()──► OPEN
        ▲                         │                                  │
        └────refused(fatal=False)─┤                                  │
                                  └── refused() ──► CLOSED ◄─────────┴─ closed(), fatal faults

* In CONNECTING every fault is fatal: nobody knows who speaks, and nothing is lost.
* The hello is answered before the next frame is fed. Clients send commands right after
  it, without waiting: no answer to a join is published.
* In OPEN a faulty frame is answered with an error frame and the socket lives.
  Fatal there are only a binary message, one beyond all bounds, and a second hello.
* CLOSED: frames that crossed the end on the wire are dropped, and so are answers;
  answers to commands with an id are still remembered.

A command with an id that the member sent before is not handed out again; see
:mod:`embedenv_jupyter.protocols.spaces.answered`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from msgspec import UNSET, UnsetType

from embedenv_jupyter.errors import CloseCode, LocalProtocolError
from embedenv_jupyter.protocols.faults import FrameError
from embedenv_jupyter.protocols.spaces import frames, parsing, requests
from embedenv_jupyter.protocols.spaces.answered import AnsweredIds
from embedenv_jupyter.protocols.spaces.codec import (
    ALLOWED,
    ALLOWED_FIRST,
    ALLOWED_PUBLISHED,
    decode_client_frame,
    encode,
    id_of,
)
from embedenv_jupyter.protocols.spaces.frames import (
    MAX_CHUNK_CHARS,
    MAX_FRAME_BYTES,
    MAX_HELLO_BYTES,
    MAX_MESSAGE_BYTES,
)

MAX_QUEUED_BYTES = 64 << 20
"""More than this not drained is a bug of ours: answers are drained after each, or each few."""

_END_OF_LINE = encode(frames.TerminalDataEnd())


class State(enum.Enum):
    """Where a connection stands; see the module's text."""

    CONNECTING = "connecting"
    GREETED = "greeted"
    OPEN = "open"
    CLOSED = "closed"


class ListedFile(Protocol):
    """What an entry of a listing must tell."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def modified_s(self) -> float: ...


class SpacesSession:
    """See the module's text.

    ``wake`` is called when frames to send came up outside of a call to this
    session: another connection of the same member got an answer that this one
    waits for too.
    """

    def __init__(self, wake: Callable[[], None] | None = None) -> None:
        self.state = State.CONNECTING
        self.asks = False
        """Whether the client put ``resume`` into its hello."""
        self.close_code: CloseCode | None = None
        """Set when the socket is to be closed, after the frames that wait were sent."""
        self.close_reason = ""
        self._wake = wake
        self._hello: requests.Hello | None = None
        self._answered = AnsweredIds()
        self._running: set[str] = set()
        self._outgoing: list[bytes] = []
        self._queued_bytes = 0

    # What the peer sends.

    def receive_frame(self, frame: str | bytes) -> list[requests.Request]:
        """Read one message; return what it asks, which may be nothing.

        A frame that is refused without being fatal is answered here.

        Raises:
            RemoteProtocolError: the fault is fatal; ``close_code`` is set, and the error frame waits to
                be sent before the close.
        """
        if self.state is State.CLOSED:
            return []
        try:
            self._check_size(frame)
            assert isinstance(frame, str)
            if self.state is State.OPEN:
                return self._receive_command(frame)
            return [self._receive_hello(frame)]
        except FrameError as exc:
            self._refuse_frame(exc)
            if exc.is_fatal:
                raise
            return []

    def _check_size(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            raise FrameError(
                "this is a binary message; frames are JSON in text messages",
                CloseCode.UNSUPPORTED_DATA,
                is_fatal=True,
            )
        allowed = MAX_FRAME_BYTES if self.state is State.OPEN else MAX_HELLO_BYTES
        size = _size_of(frame, allowed)
        if size > allowed:
            is_fatal = self.state is not State.OPEN or size > MAX_MESSAGE_BYTES
            raise FrameError(
                f"the frame has {size} bytes; at most {allowed} are allowed" + _advice(self.state),
                CloseCode.TOO_BIG,
                is_fatal=is_fatal,
            )

    def _receive_hello(self, text: str) -> requests.Hello:
        if self.state is State.GREETED:
            raise self._too_early(text)
        try:
            hello = decode_client_frame(text, ALLOWED_FIRST)
            if isinstance(hello, frames.Cmd):
                raise FrameError("a command came first; the first frame must be init or join")
            request = parsing.hello_of(hello)
        except FrameError as exc:
            raise FrameError(exc.reason, CloseCode.POLICY_VIOLATION, is_fatal=True) from None
        self._hello = request
        self.asks = request.resume is not None
        self.state = State.GREETED
        return request

    def _too_early(self, text: str) -> FrameError:
        """Refuse a frame that was fed before the hello was answered; only a second hello ends it."""
        try:
            frame = decode_client_frame(text)
        except FrameError as exc:
            return exc
        if not isinstance(frame, frames.Cmd):
            return _second_hello()
        return FrameError("init or join is not answered yet; send this again after the answer")

    def _receive_command(self, text: str) -> list[requests.Request]:
        try:
            frame = decode_client_frame(text, ALLOWED if self.asks else ALLOWED_PUBLISHED)
            if not isinstance(frame, frames.Cmd):
                raise _second_hello()
            request = parsing.command_of(frame, asks=self.asks)
            return [request] if self._is_to_run(request) else []
        except FrameError as exc:
            if self.asks and not exc.is_fatal:
                exc.id = id_of(text)
            raise

    def _is_to_run(self, request: requests.Command) -> bool:
        """Whether a command is new; else see that it is answered again."""
        id = request.id
        if id is None:
            return True
        if self._answered.is_new(id):
            if not request.may_repeat:
                self._answered.begin(id)
                self._running.add(id)
            return True
        if id not in self._running:
            self._answered.repeat(id, self._deliver)
        return False

    def _refuse_frame(self, fault: FrameError) -> None:
        self._send(frames.Error(fault.reason, fault.id if fault.id is not None else UNSET))
        if fault.is_fatal:
            self._close(fault.code, fault.reason)

    # Answers to init and join.

    def initialised(
        self,
        join_key: str,
        remaining_credits: int | None,
        *,
        room: str,
        role: str,
        member: str,
        n: int,
        answered: AnsweredIds | None = None,
    ) -> None:
        """The room is open. ``remaining_credits`` is ``None`` for an account without a limit.

        ``answered`` is what this member's commands were answered so far.
        """
        self._open(requests.Init, answered)
        added = self._added(room, role, member, n)
        self._send(frames.Welcome(join_key, remaining_credits, *added))

    def joined(
        self,
        join_key: str,
        user: str,
        colour: str,
        *,
        room: str,
        role: str,
        member: str,
        n: int,
        answered: AnsweredIds | None = None,
    ) -> None:
        """The peer is in the room; ``answered`` is what this member's commands were answered so far."""
        self._open(requests.Join, answered)
        added = self._added(room, role, member, n)
        self._send(frames.Joined(join_key, user, colour, *added))

    def _open(self, expected: type[requests.Hello], answered: AnsweredIds | None) -> None:
        if self.state is State.CLOSED:
            return
        if self.state is not State.GREETED or not isinstance(self._hello, expected):
            raise LocalProtocolError(
                f"no {expected.__name__} waits for an answer; the session is {self.state.value}"
            )
        self.state = State.OPEN
        self._hello = None  # it holds secrets
        if answered is not None:
            self._answered = answered

    def _added(
        self, room: str, role: str, member: str, n: int
    ) -> tuple[str | UnsetType, str | UnsetType, str | UnsetType, int | UnsetType]:
        return (room, role, member, n) if self.asks else (UNSET, UNSET, UNSET, UNSET)

    def refused(
        self, error: object, *, fatal: bool = True, code: CloseCode = CloseCode.POLICY_VIOLATION
    ) -> None:
        """The hello cannot be met. If it is not fatal, the peer may send another one."""
        if self.state is State.CLOSED:
            return
        if self.state is not State.GREETED:
            raise LocalProtocolError(f"no hello waits for an answer; the session is {self.state.value}")
        if isinstance(self._hello, requests.Join) and not self.asks:
            # Published clients show a msg to their users, and know of no error frame.
            self._send(frames.Msg(str(error)))
        else:
            self._send(frames.Error(str(error)))
        self._hello = None
        if fatal:
            self._close(code, str(error))
        else:
            self.state = State.CONNECTING

    # Answers to commands.

    def message(self, text: str, id: str | None = None) -> None:
        """Say a sentence; with an id it is the whole answer to that command."""
        self._answer(frames.Msg(text, _or_unset(id)), id)

    def done(self, id: str | None, run: str | None = None) -> None:
        """The command was carried out; ``run`` is what a shell line started or was given to."""
        if id is not None:
            self._answer(frames.Done(id, _or_unset(run)), id)

    def failed(self, error: object, id: str | None = None) -> None:
        """The command was refused or failed; this is the whole answer."""
        self._answer(frames.Error(str(error), _or_unset(id)), id)

    def shell_refused(self) -> None:
        """No run came of a shell line: published clients wait for its end, so they get one.

        Call it after :meth:`failed`, or alone when there was nothing to interrupt.
        """
        if not self.asks:
            self._put(_END_OF_LINE)

    def curl_failed(self, error: object, id: str | None = None) -> None:
        """The request failed, perhaps in the middle of its answer: an error, then the end."""
        self._answer(frames.Error(str(error), _or_unset(id)), id, is_last=False)
        self.end(id)

    def chunk(self, text: str, id: str | None = None, *, encoding: requests.Encoding = "text") -> None:
        """Send the next piece of an answer, cut to frames of bounded size."""
        marked = encoding if encoding != "text" else UNSET
        for start in range(0, len(text), MAX_CHUNK_CHARS):
            piece = text[start : start + MAX_CHUNK_CHARS]
            self._answer(frames.Chunk(piece, marked, _or_unset(id)), id, is_last=False)

    def end(self, id: str | None = None) -> None:
        """The answer in chunks is complete."""
        self._answer(frames.End(_or_unset(id)), id)

    def listing(self, path: str, entries: Iterable[ListedFile], id: str | None = None) -> None:
        """Send a folder's entries, in the order given."""
        listed = tuple(frames.Entry(e.name, e.type, e.size_bytes, e.modified_s) for e in entries)
        self._answer(frames.Listing(path, listed, _or_unset(id)), id)

    def rendered(self, batch: Sequence[bytes]) -> None:
        """Send frames of the log, made by :mod:`embedenv_jupyter.protocols.spaces.rendering`."""
        if self.state is State.OPEN:
            self._outgoing.extend(batch)
            self._count(sum(map(len, batch)))

    # What to write, and the end.

    @property
    def queued_bytes(self) -> int:
        """How much waits to be sent."""
        return self._queued_bytes

    def frames_to_send(self) -> list[bytes]:
        """Drain what waits, in order: the payloads of text messages."""
        drained, self._outgoing = self._outgoing, []
        self._queued_bytes = 0
        return drained

    def closed(self) -> None:
        """The socket is gone, and nothing carries out a command of this connection any more. Idempotent.

        Commands without an answer are answered now, for whoever asks again: it is
        not known what came of them.
        """
        self.state = State.CLOSED
        self._hello = None
        self._outgoing.clear()
        self._answered.unfollow(self._deliver)
        running, self._running = self._running, set()
        for id in running:
            self._answered.abandon(id)

    def _close(self, code: CloseCode, reason: str) -> None:
        self.state = State.CLOSED
        self._hello = None
        self.close_code, self.close_reason = code, reason

    def _answer(self, frame: frames.ServerFrame, id: str | None, *, is_last: bool = True) -> None:
        data = encode(frame)
        self._put(data)
        if id is None:
            return
        self._answered.add(id, data, is_last=is_last)
        if is_last:
            self._running.discard(id)

    def _send(self, frame: frames.ServerFrame) -> None:
        self._put(encode(frame))

    def _put(self, data: bytes) -> None:
        if self.state is not State.CLOSED:
            self._outgoing.append(data)
            self._count(len(data))

    def _count(self, size: int) -> None:
        self._queued_bytes += size
        if self._queued_bytes > MAX_QUEUED_BYTES:
            raise LocalProtocolError(f"{self._queued_bytes} bytes wait; frames_to_send() was not drained")

    def _deliver(self, answer: list[bytes]) -> None:
        """Take the answer of a command that was sent again."""
        for data in answer:
            self._put(data)
        if self._wake is not None:
            self._wake()


def _second_hello() -> FrameError:
    return FrameError("init or join came a second time; a connection is in one room", is_fatal=True)


def _size_of(text: str, allowed: int) -> int:
    """Measure a frame in bytes; exactly only where that decides something."""
    if text.isascii() or len(text) * 4 <= allowed:
        return len(text)
    return len(text.encode("utf-8", "surrogatepass"))


def _advice(state: State) -> str:
    return "" if state is State.OPEN else " before init or join is answered"


def _or_unset(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text
