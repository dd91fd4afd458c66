"""Ways into other rooms: by a join key, or by name for who owns the account that opened them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from embedenv_jupyter.errors import UnknownKeyError
from embedenv_jupyter.kernels.magics.lines import MagicError
from embedenv_jupyter.kernels.magics.surroundings import Rooms
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.room import Room

MAX_LISTED = 20


@dataclass(frozen=True)
class Door:
    """A room and the role in which somebody comes in; ``key`` is empty for an owner who named the room."""

    room: Room
    role: Role
    key: str = ""

    @property
    def target(self) -> str:
        """What finds this door again, while it is open."""
        return self.key or self.room.id


def find(rooms: Rooms, target: str, member: Member, account: int) -> Door:
    """Find the way into the room with a join key, an id or a name.

    Names and ids are for the owner of the room that ``member`` is in, and for rooms
    of the same ``account``; whether others exist is not said.

    Raises:
        UnknownKeyError: there is none, and ``member`` may use keys only.
        MagicError: there is none, or the name stands for several.
    """
    try:
        room, key = rooms.redeem(target)
    except UnknownKeyError:
        if member.role < Role.OWN:
            raise
    else:
        return Door(room, key.role, target)
    own = list(_of(rooms, account))
    found = [room for room in own if target == room.id] or [room for room in own if target == room.name]
    if len(found) == 1:
        return Door(found[0], Role.OWN)
    if found:
        ids = ", ".join(room.id for room in found[:MAX_LISTED])
        raise MagicError(f"{len(found)} rooms have the name {target!r:.80}; say which by its id: {ids}.")
    known = ", ".join(called(room) for room in own[:MAX_LISTED])
    raise MagicError(
        f"No open room has this join key, id or name. Open rooms of this account: {known}. "
        f"`%embedenv new` opens another one."
    )


def is_named(rooms: Rooms, target: str, account: int) -> bool:
    """Tell whether this is the id or name of a room of the account, which may be shown, as a key may not."""
    return any(target in (room.id, room.name) for room in _of(rooms, account))


def _of(rooms: Rooms, account: int) -> Iterator[Room]:
    return (room for room in rooms if room.account == account and room.end_reason is None)


def called(room: Room) -> str:
    """Return a room's name and id, as people are shown them."""
    return f"{room.name} ({room.id})" if room.name else room.id
