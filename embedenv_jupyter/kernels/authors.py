"""Who runs the cells of a notebook: the user of the connection that a cell came by, never whom it names.

A kernel that the Jupyter server forwards has one client here, whoever sits before the
notebooks: to the server's own sockets all are one. So the server's sockets note which of
its users sent a message (:class:`Senders`), by an id that nobody knows before it is sent,
and whoever carries the message into a room takes the note.

What a header says (``username``, ``session``) is the peer's own word and counts for nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from embedenv_jupyter.rooms.members import Member, Members, Role

MAX_NOTES: Final = 4096
"""Messages between the server's sockets and their kernels; the oldest are forgotten, and have no author."""
MAX_CELLS: Final = 2000
"""Cells of one kernel whose last author is known; of more, those that were run longest ago are forgotten."""


@dataclass(frozen=True)
class Login:
    """A user of the Jupyter server, as the server knows them."""

    username: str
    user: str
    """The name that people see."""
    colour: str


@dataclass(frozen=True)
class Author:
    """Who asks something of a kernel, and with which role.

    ``member`` is empty for a user of the server who is not in the room, and owns it as all local ones.
    """

    user: str
    colour: str
    member: str = ""
    role: Role = Role.OWN

    @classmethod
    def of(cls, member: Member) -> Author:
        return cls(member.user, member.colour, member.id, member.role)

    @classmethod
    def behind(cls, login: Login, members: Members) -> Author:
        """Return who somebody is in a room, or the user that they are elsewhere."""
        member = members.with_login(login.username)
        return cls(login.user, login.colour) if member is None else cls.of(member)


class Senders:
    """Who sent which message to the kernels that are forwarded from the server's own sockets."""

    def __init__(self) -> None:
        self._kernels: set[str] = set()
        self._notes: OrderedDict[tuple[str, str], Login] = OrderedDict()

    def watch(self, kernel_id: str) -> None:
        """Take notes of what is sent to this kernel; idempotent."""
        self._kernels.add(kernel_id)

    def forget(self, kernel_id: str) -> None:
        """Take no more notes; idempotent."""
        self._kernels.discard(kernel_id)
        for key in [key for key in self._notes if key[0] == kernel_id]:
            del self._notes[key]

    def watches(self, kernel_id: str) -> bool:
        return kernel_id in self._kernels

    def sent(self, kernel_id: str, msg_id: str, login: Login) -> None:
        """Note who sent a message; the first who did stays: nobody signs what others have sent."""
        self._notes.setdefault((kernel_id, msg_id), login)
        if len(self._notes) > MAX_NOTES:
            self._notes.popitem(last=False)

    def take(self, kernel_id: str, msg_id: str) -> Login | None:
        """Return who sent a message, once; ``None`` where nobody saw it come."""
        return self._notes.pop((kernel_id, msg_id), None)


class CellAuthors:
    """Who ran each cell of a kernel last, and when (UTC seconds)."""

    def __init__(self) -> None:
        self._cells: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def ran(self, cell: str, run: str, author: Author, at: float) -> None:
        """Note that somebody ran a cell; one without an id cannot be told from others."""
        if not cell:
            return
        self._cells[cell] = {
            "cell": cell,
            "run": run,
            "member": author.member,
            "user": author.user,
            "color": author.colour,
            "at": at,
        }
        self._cells.move_to_end(cell)
        if len(self._cells) > MAX_CELLS:
            self._cells.popitem(last=False)

    def all(self) -> list[dict[str, Any]]:
        """Return the last run of each cell, the newest last, as docs/protocols/kernels.md describes it."""
        return list(self._cells.values())
