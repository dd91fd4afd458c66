"""What ``room.events()`` yields, and the state of a room's connection."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class State(enum.Enum):
    """Where the connection of a room stands."""

    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


@dataclass(frozen=True)
class Event:
    """Base of all events; a newer client may yield more kinds."""


@dataclass(frozen=True)
class StateChange(Event):
    """The connection changed; ``reason`` says why in a sentence, empty when all is well."""

    state: State
    reason: str = ""


@dataclass(frozen=True)
class Gap(Event):
    """Events ``first`` to ``last`` are gone: the log was bounded and we came too late.

    ``size_bytes`` is what they held, if the server said. ``is_reported`` is false
    when the server skipped numbers without a word, and ``first`` is 0 when
    nothing is numbered: then a connection was lost and nobody knows what with it.
    """

    first: int
    last: int
    events: int | None
    size_bytes: int | None = None
    is_reported: bool = True


@dataclass(frozen=True)
class RoomEvent(Event):
    """A named event of the room: members, limits, idle, post-mortem, and whatever else.

    ``name`` is as in docs/architecture.md section 6; ``details`` are the fields
    that the server gave, unread.
    """

    name: str
    n: int | None = None
    run: int | str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Notice(Event):
    """A sentence from the server that answers nothing we asked."""

    message: str
    is_error: bool = False


@dataclass(frozen=True)
class Missed(Event):
    """A subscriber did not keep up: ``count`` older events were dropped for it, and for nobody else."""

    count: int
