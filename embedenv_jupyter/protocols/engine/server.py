"""A gateway's side of one connection of the Engine protocol, without I/O.

Theory of operation. :meth:`EngineConnection.receive_frame` returns what the peer asks;
whoever carries that out reports here, and writes what :meth:`frames_to_send` drains.
Frames of a stream do not pass through here: they are numbered in the session's log,
from which each connection is sent them at its own pace.

* A request without an id is answered without one. Several may wait: their answers come in
  the order of the requests, which is all that a client of the published page can tell.
* An id names a run of this connection until it is answered; a second request with it
  is refused.
* A faulty frame is answered with an error and the socket lives. Fatal are only a
  binary message and one beyond all bounds.
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.codec import decode_client_frame, encode
from embedenv_jupyter.protocols.faults import FrameError

MAX_WAITING: Final = 64
"""How many runs of one connection may be unanswered."""

REFUSED_EXIT_CODE: Final = 1
"""What an error frame shows as exit code: nothing was run, and that is no success."""


class EngineConnection:
    """See the module's text."""

    def __init__(self) -> None:
        self.close_code: CloseCode | None = None
        """Set when the socket is to be closed, after the frames that wait were sent."""
        self.close_reason = ""
        self._waiting: dict[str, bool] = {}
        """The ids of the runs that are not answered, and whether they are streamed."""
        self._unnamed = 0
        self._outgoing: list[bytes] = []

    # What the peer sends.

    def receive_frame(self, data: str | bytes) -> frames.ClientFrame | None:
        """Read one message; ``None`` for one that is answered here.

        Raises:
            FrameError: the fault is fatal; ``close_code`` is set, and an error frame waits to be sent.
        """
        try:
            frame = self._decoded(data)
            if isinstance(frame, frames.Execute):
                self._take_on(frame)
        except FrameError as exc:
            self.refuse("bad_frame", exc.reason, exc.id)
            if exc.is_fatal:
                self.close_code, self.close_reason = exc.code, exc.reason
                raise
            return None
        if isinstance(frame, frames.Ping):
            self._send(frames.Pong(id=frame.id))
            return None
        return frame

    def _decoded(self, data: str | bytes) -> frames.ClientFrame:
        if isinstance(data, bytes):
            raise FrameError(
                "this is a binary message; frames are JSON in text messages",
                CloseCode.UNSUPPORTED_DATA,
                is_fatal=True,
            )
        if len(data) > frames.MAX_MESSAGE_BYTES:
            raise FrameError(
                f"the frame has {len(data)} characters; at most {frames.MAX_MESSAGE_BYTES} are allowed",
                CloseCode.TOO_BIG,
                is_fatal=True,
            )
        return decode_client_frame(data)

    def _take_on(self, frame: frames.Execute) -> None:
        if len(self._waiting) + self._unnamed >= MAX_WAITING:
            raise FrameError(
                f"{MAX_WAITING} runs of this connection wait already; wait for an answer first",
                id=frame.id or None,
            )
        if frame.id is UNSET:
            if frame.stream:
                raise FrameError('a request with "stream" needs an "id", which its frames will carry')
            self._unnamed += 1
            return
        if frame.id in self._waiting:
            raise FrameError(
                f"a run with the id {frame.id!r} is not answered yet; choose another id", id=frame.id
            )
        self._waiting[frame.id] = frame.stream

    # What was done.

    def answer(self, answer: frames.Answer) -> None:
        """The one answer to a request without ``stream``."""
        self._done(answer.id if answer.id is not UNSET else None)
        self._send(answer)

    def ended(self, id: str) -> None:
        """A streamed run has ended; its last frame went by way of the log."""
        self._done(id)

    def _done(self, id: str | None) -> None:
        if id is None:
            self._unnamed = max(0, self._unnamed - 1)
        else:
            self._waiting.pop(id, None)

    def refused(self, id: str | None, error: frames.Error) -> None:
        """A request was not carried out; this is its answer."""
        self._done(id)
        self._send(error)

    def ended_before(self, id: str, end: frames.Result | frames.Error) -> None:
        """A request came again whose run has ended; its last frame is its answer."""
        self._done(id)
        self._send(end)

    def refuse(
        self, error: str, message: str, id: str | None = None, *, retry_after_s: float | None = None
    ) -> None:
        """Answer with an error frame."""
        self._send(error_frame(error, message, id, retry_after_s=retry_after_s))

    def send(self, frame: frames.ServerFrame) -> None:
        """Queue a frame that answers no run."""
        self._send(frame)

    def _send(self, frame: frames.ServerFrame) -> None:
        self._outgoing.append(encode(frame))

    def frames_to_send(self) -> list[bytes]:
        """Return what is to be written, in order, and forget it."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing


def error_frame(
    error: str, message: str, id: str | None = None, *, retry_after_s: float | None = None
) -> frames.Error:
    """Make an error frame that also a client of the published page reads as an answer."""
    return frames.Error(
        error=error, message=message, stdout="", stderr=f"{message}\n", exit_code=REFUSED_EXIT_CODE,
        execution_time=0, id=id if id is not None else UNSET,
        retry_after=retry_after_s if retry_after_s is not None else UNSET,
    )  # fmt: skip
