"""What a client's side of the Engine protocol reports: see :mod:`.streams`."""

from __future__ import annotations

import enum

from msgspec import Struct

from embedenv_jupyter.protocols.engine import frames


class Loss(enum.Enum):
    """Why nothing more will be heard of a run."""

    CUT = "cut"
    """Its connection was lost, and its session had no name to come back to."""
    SESSION_ENDED = "session-ended"
    FORGOTTEN = "forgotten"
    """It ended while nobody listened, and the gateway keeps its last frames no more."""
    UNKNOWN = "unknown"
    """A part of the log is gone in which it may have begun: nobody knows whether it was run."""
    BREAKS = "breaks"
    """Each time that it was sent, the gateway ended the connection."""


class Welcomed(Struct, frozen=True):
    """The gateway knows the key, and the session goes on where it was."""


class Refused(Struct, frozen=True):
    """The gateway does not let us in."""

    error: frames.Error


class Told(Struct, frozen=True):
    """A frame of a run; after a ``Result`` or an ``Error`` there is no other. A ``Gap`` is told to all."""

    run: str
    frame: frames.StreamFrame

    @property
    def is_last(self) -> bool:
        return isinstance(self.frame, frames.Result | frames.Error)


class Failed(Struct, frozen=True):
    """Nothing more will be heard of a run."""

    run: str
    loss: Loss


class Receipt(Struct, frozen=True):
    """An input was carried out, or refused with ``error``; or a ping was answered."""

    number: int
    error: frames.Error | None = None


class Unsure(Struct, frozen=True):
    """A connection was lost before the receipt came, and the run has ended, or the ping with it.

    Nobody knows whether the input was carried out.
    """

    number: int


class TooLate(Struct, frozen=True):
    """The run of an input had ended before it was sent."""

    number: int


class SessionEnded(Struct, frozen=True):
    """The session has ended; its next run begins a new one."""

    reason: str


Report = Welcomed | Refused | Told | Failed | Receipt | Unsure | TooLate | SessionEnded
