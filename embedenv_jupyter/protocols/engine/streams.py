"""A client's side of the Engine protocol: one session over any number of connections, without I/O.

Theory of operation. A session outlives its connections. What makes it lossless is kept here:

* ``last_n``, the number of the newest frame of the session's log that came. The next
  connection asks for what follows it. A gateway sends each number once on a connection, so
  one that does not grow is the first of another log: the session had ended, and a run began a new one.
* the runs that have no end yet. After a cut the gateway says which of them run. One that it
  does not name either ended, and then its end is among the frames that follow, or its request
  never arrived, and then it is sent again. Which of the two is known as soon as the
  log has been replayed to the number that the gateway named. A run is not sent
  again where a part of the log is missing in which it may have been.
* the inputs without a receipt. Giving one twice would be as wrong as not giving it, so each
  has a number, by which the gateway knows it again and acknowledges it. After a cut, what was not
  acknowledged is sent again, in order, if its run still runs. If it has ended, nobody
  knows whether it got the input, and that is what is reported.

          connected()         authenticated           resumed, gone
    IDLE ────────────► GREETING ─────────► RESUMING ───────────────► OPEN
     ▲                    └── nothing to resume ──────────────────────►│
     └──────────────────────────── lost() ─────────────────────────────┘

A session without a name ends with its connection, and its runs with it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET, UnsetType

from embedenv_jupyter.errors import CloseCode, LocalProtocolError, SourceError
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.codec import Stranger, StreamsFrame, decode_streams_frame, encode
from embedenv_jupyter.protocols.engine.reports import (
    Failed,
    Loss,
    Receipt,
    Refused,
    Report,
    SessionEnded,
    Told,
    Unsure,
    Welcomed,
)
from embedenv_jupyter.protocols.engine.sending import Inputs

MAX_RUNNING: Final = 32
"""How many runs are with the gateway at once; more wait here. A gateway takes 64 from one connection."""

MAX_FAULTS: Final = 3
"""So often a request may meet an internal error of the gateway that ends the connection."""

_GONE: Final = frozenset({"unknown_session", "unknown_number"})


class Phase(enum.Enum):
    """Where the session stands; drawn in the module's text."""

    IDLE = "idle"
    GREETING = "greeting"
    RESUMING = "resuming"
    OPEN = "open"


@dataclass
class _Run:
    request: bytes
    is_sent: bool = False
    is_heard: bool = False
    """The gateway has told something of it, so it is certain that it was taken on."""
    is_doubtful: bool = False
    """A part of the log is missing in which it may have been."""
    faults: int = 0


class EngineStreams:
    """See the module's text. Inputs report facts; :meth:`frames_to_send` drains what to write."""

    def __init__(self, api_key: str, session: str | None) -> None:
        self.phase = Phase.IDLE
        self.session = session
        self.last_n: int | None = None
        """The newest number that came; ``None`` before the first of a session."""
        self.progress = 0
        """Grows with every frame that belongs to something of ours."""
        self.may_have_session = False
        """Whether a run was sent, which makes the session where there is none."""
        self._api_key = api_key
        self._room: str | None = None
        self._runs: dict[str, _Run] = {}
        self._inputs = Inputs()
        self._pings: dict[str, int] = {}
        self._next_number = 1
        self._outgoing: list[bytes] = []
        self._replays_to: int | None = None
        """The number up to which the log is replayed after a cut, while it is."""
        self._running_then: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<EngineStreams {self.session!r} {self.phase.value}, {len(self._runs)} runs>"

    # Connections

    def connected(self) -> None:
        """A connection is there."""
        assert self.phase is Phase.IDLE
        self.phase = Phase.GREETING
        self._outgoing = [self._auth()]

    def lost(self, code: int | None = None) -> list[Report]:
        """The connection is gone, with this close code; idempotent."""
        self.phase = Phase.IDLE
        self._outgoing, self._replays_to = [], None
        reports: list[Report] = [Unsure(number) for number in self._pings.values()]
        self._pings.clear()
        reports += self._inputs.lost(lambda id: self.session is not None and id in self._runs)
        if self.session is None:
            self._forget_log()
            return reports + self._fail([id for id, run in self._runs.items() if run.is_sent], Loss.CUT)
        return reports + self._fail([id for id in self._runs if self._breaks(id, code)], Loss.BREAKS)

    def _breaks(self, id: str, code: int | None) -> bool:
        """Whether a request is not to be sent again, because it would end every connection to come."""
        run = self._runs[id]
        if not run.is_sent or run.is_heard:
            return False
        run.faults += code == CloseCode.INTERNAL_ERROR
        return code == CloseCode.TOO_BIG or run.faults >= MAX_FAULTS

    # What is asked

    def begin(self, request: frames.Execute) -> None:
        """Take a run, which is sent when a connection is open.

        Its id must be new, also among those of other clients of the session.

        Raises:
            SourceError: it is too large to be sent.
        """
        assert request.id is not UNSET and request.stream and request.id not in self._runs
        data = encode(request)
        if len(data) > frames.MAX_MESSAGE_BYTES:
            reason = f"make a frame of {len(data)} bytes; at most {frames.MAX_MESSAGE_BYTES} are sent"
            raise SourceError("code, files and input", reason)
        self._runs[request.id] = _Run(data)

    def tell(self, frame: frames.Input) -> int:
        """Take an input, which is sent behind its run's request; returns the number of its receipt.

        Raises:
            LocalProtocolError: the run has ended, or there was none.
        """
        if frame.id not in self._runs:
            raise LocalProtocolError(f"there is no run {frame.id!r} that could take an input")
        number = self._number()
        self._inputs.add(number, frame)
        return number

    def ping(self) -> int:
        """Ask the gateway for a sign of life, if a connection is open; returns the number of its receipt.

        Raises:
            LocalProtocolError: no connection is open.
        """
        if self.phase is not Phase.OPEN:
            raise LocalProtocolError("no connection is open")
        number = self._number()
        self._pings[str(number)] = number
        self._outgoing.append(encode(frames.Ping(id=str(number))))
        return number

    def end_session(self) -> bool:
        """Ask for the end of the session; ``False`` where there is none, or no connection to ask on."""
        if self.phase is not Phase.OPEN or not self.may_have_session:
            return False
        self._outgoing.append(encode(frames.Close(session=UNSET if self.session is None else self.session)))
        return True

    def has(self, id: str) -> bool:
        """Whether a run has no end yet."""
        return id in self._runs

    def withdraw(self, id: str) -> list[Report]:
        """Nobody wants a run any more: one that was not sent never is, another one gets INT. Idempotent."""
        run = self._runs.get(id)
        if run is None:
            return []
        if not run.is_sent:
            return self._over(id)
        self.tell(frames.Signal(id=id))
        return []

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number - 1

    def frames_to_send(self) -> list[bytes]:
        """Return what is to be written, in order, and forget it."""
        if self.phase is Phase.OPEN and self._replays_to is None:
            self._send_runs()
            self._outgoing += self._inputs.frames_to_send(lambda id: self._runs[id].is_sent)
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _send_runs(self) -> None:
        free = MAX_RUNNING - sum(run.is_sent for run in self._runs.values())
        for run in self._runs.values():
            if free > 0 and not run.is_sent:
                run.is_sent = self.may_have_session = True
                self._outgoing.append(run.request)
                free -= 1

    def _auth(self) -> bytes:
        return encode(frames.Auth(self._api_key))

    # Frames

    def receive_frame(self, data: str | bytes) -> list[Report]:
        """Read one frame; returns what is new in it, in order.

        Raises:
            FrameError: it is none.
        """
        frame = decode_streams_frame(data)
        match self.phase:
            case Phase.OPEN:
                return self._receive(frame)
            case Phase.GREETING:
                return self._greeted(frame)
            case Phase.RESUMING:
                return self._resumed(frame)
        return []

    def _greeted(self, frame: StreamsFrame | Stranger) -> list[Report]:
        match frame:
            case frames.Error():
                return [Refused(frame)]
            case frames.Authenticated() if self.session is not None and self.may_have_session:
                self.phase = Phase.RESUMING
                self._outgoing.append(encode(frames.Resume(session=self.session, after=self.last_n or 0)))
            case frames.Authenticated():
                return self._open()
        return []

    def _resumed(self, frame: StreamsFrame | Stranger) -> list[Report]:
        match frame:
            case frames.Error(error=name) if name in _GONE:
                return [*self._session_is_gone(), *self._open()]
            case frames.Error():
                return [Refused(frame)]
            case frames.Resumed(room=room) if self._room not in (None, room):
                # Somebody began a new session of this name; what we missed of it is not ours.
                reports = self._session_is_gone()
                self._room, self.last_n = room, None
                return reports + self._open()
            case frames.Resumed():
                self._room, self.last_n = frame.room, self.last_n or 0
                self._replays_to, self._running_then = frame.n, frozenset(frame.running)
                for id in self._running_then & self._runs.keys():
                    self._runs[id].is_heard = True
                return self._open() + self._look_for_missing()
        return []

    def _open(self) -> list[Report]:
        self.phase = Phase.OPEN
        return [Welcomed()]

    def _session_is_gone(self) -> list[Report]:
        """Fail what ran in it. Runs that were sent before anything was heard of a session begin a new one."""
        was_there = self.last_n is not None
        lost = [id for id, run in self._runs.items() if run.is_sent and (was_there or run.is_heard)]
        for run in self._runs.values():
            run.is_sent = False
        self._forget_log()
        return self._fail(lost, Loss.SESSION_ENDED)

    def _forget_log(self) -> None:
        self.last_n = self._room = None
        self.may_have_session = False

    def _look_for_missing(self) -> list[Report]:
        """When all was replayed: find the runs that the gateway does not know, and send again what may be."""
        if self._replays_to is None or (self.last_n or 0) < self._replays_to:
            return []
        self._replays_to = None
        reports: list[Report] = []
        for id, run in list(self._runs.items()):
            if not run.is_sent or id in self._running_then:
                continue
            if run.is_heard or run.is_doubtful:
                reports += self._fail([id], Loss.FORGOTTEN if run.is_heard else Loss.UNKNOWN)
            run.is_sent = False
        return reports

    def _receive(self, frame: StreamsFrame | Stranger) -> list[Report]:
        match frame:
            case frames.Pong(id=id):
                number = self._pings.pop(str(id), None)
                return [] if number is None else [self._receipt(number)]
            case frames.Ack(input=number):
                return self._acknowledged(number)
            case frames.Closed():
                return self._closed(frame)
            case frames.Error() if frame.n is UNSET:
                return self._refused(frame)
            case frames.Resumed() | frames.Authenticated():
                return []
        reports = self._counted(frame)
        if isinstance(frame, frames.Gap):
            reports += [Told(id, frame) for id in self._missed()]
        elif not isinstance(frame, Stranger):
            reports += self._told(frame)
        return reports + self._look_for_missing()

    def _counted(self, frame: frames.StreamFrame | Stranger) -> list[Report]:
        """Count a numbered frame; tell of what is missing before it, and of a log that began anew."""
        if frame.n is UNSET:
            return []
        before, self.last_n = self.last_n, frame.n
        room = frame.room if isinstance(frame, frames.Accepted) else None
        reports: list[Report] = []
        if before is not None and (frame.n <= before or (room and self._room not in (None, room))):
            reports += self._fail([id for id, run in self._runs.items() if run.is_heard], Loss.SESSION_ENDED)
        elif before is not None and not isinstance(frame, frames.Gap) and frame.n > before + 1:
            gap = frames.Gap(missing=frame.n - before - 1, n=frame.n - 1)
            reports += [Told(id, gap) for id in self._missed()]
        self._room = room or self._room
        return reports

    def _missed(self) -> list[str]:
        """Return the runs of which something may be among what is missing."""
        missed = [id for id, run in self._runs.items() if run.is_sent]
        for id in missed:
            self._runs[id].is_doubtful = True
        return missed

    def _told(self, frame: frames.StreamFrame) -> list[Report]:
        assert not isinstance(frame, frames.Gap)
        id = frame.id
        if id is UNSET or id not in self._runs:
            return []  # another client's of the same session
        self._runs[id].is_heard = True
        self.progress += 1
        told = Told(id, frame)
        return [told, *self._over(id)] if told.is_last else [told]

    def _refused(self, error: frames.Error) -> list[Report]:
        """An error outside of the log: of an input, or of a request."""
        if not isinstance(error.input, UnsetType):
            return self._acknowledged(error.input, error)
        if error.id is UNSET:
            return [SessionEnded(error.message)]
        if error.id not in self._runs or self._runs[error.id].is_heard:
            return []
        return [Told(error.id, error), *self._over(error.id)]

    def _acknowledged(self, number: int, error: frames.Error | None = None) -> list[Report]:
        if not self._inputs.acknowledged(number):
            return []
        return [self._receipt(number, error)]

    def _receipt(self, number: int, error: frames.Error | None = None) -> Report:
        self.progress += 1
        return Receipt(number, error)

    def _closed(self, frame: frames.Closed) -> list[Report]:
        if frame.room and self._room not in (None, frame.room):
            return []  # another one of this name, which ours came after
        heard = [id for id, run in self._runs.items() if run.is_heard]
        self._forget_log()
        self.may_have_session = any(run.is_sent for id, run in self._runs.items() if id not in heard)
        return [*self._fail(heard, Loss.SESSION_ENDED), SessionEnded(frame.reason)]

    # Ends of runs

    def _fail(self, ids: list[str], loss: Loss) -> list[Report]:
        return [report for id in ids for report in (Failed(id, loss), *self._over(id))]

    def _over(self, id: str) -> list[Report]:
        """Let go of a run, and of the inputs that never reached it."""
        del self._runs[id]
        return [*self._inputs.over(id)]
