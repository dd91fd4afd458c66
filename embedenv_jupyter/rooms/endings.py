"""How rooms ended: the last of each account, in memory, for who asks afterwards."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.rooms.room_events import limits_fields

MAX_KEPT: Final = 50
"""Of one account."""
MAX_ACCOUNTS: Final = 1000
"""Those whose last room ended longest ago are forgotten first."""


@dataclass(frozen=True)
class Ending:
    """One room that has ended; ``shown`` is its model in REST and frames."""

    room: str
    shown: Mapping[str, Any]


class Endings:
    """The last rooms of each account that have ended."""

    def __init__(self) -> None:
        self._of: OrderedDict[int, deque[Ending]] = OrderedDict()

    def add(self, room: Room) -> None:
        """Note the end of a room; one that ended without a post-mortem says so by its nulls."""
        kept = self._of.setdefault(room.account, deque(maxlen=MAX_KEPT))
        self._of.move_to_end(room.account)
        kept.appendleft(Ending(room.id, _model(room)))
        if len(self._of) > MAX_ACCOUNTS:
            self._of.popitem(last=False)

    def of(self, account: int) -> list[Ending]:
        """Return the ends of an account's rooms, the newest first."""
        return list(self._of.get(account, ()))

    def find(self, room_id: str) -> Ending | None:
        """Return how the room with this id ended, if that is known."""
        return next((end for kept in self._of.values() for end in kept if end.room == room_id), None)


def _model(room: Room) -> dict[str, Any]:
    died = room.post_mortem
    return {
        "id": room.id,
        "name": room.name or room.id,
        "ended_at": died and died.at,
        "reason": room.end_reason,
        "cause": died and died.cause,
        "code": died and died.code,
        "signal": died and died.signal,
        "breaches": list(died.breaches) if died else [],
        "peak_memory_bytes": died and died.peak_memory_bytes,
        "cpu_s": died and died.cpu_s,
        "duration_s": died and died.duration_s,
        "limits": limits_fields(room.sandbox.spec.limits),
    }
