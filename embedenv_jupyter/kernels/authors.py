"""Who runs the cells of a notebook: the user of the connection that a cell came by, never whom it names.

A kernel that the Jupyter server forwards has one client here, whoever sits before the
notebooks: to the server's own sockets all are one. So the server's sockets note which of
its users sent a message (:class:`Senders`), by an id that nobody knows before it is sent,
and whoever carries the message into a room takes the note.

What a header says (``username``, ``session``) is the peer's own word and counts for nothing.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError
from embedenv_jupyter.rooms.members import Member, Members, Role

MAX_WAITING: Final = 4096
"""Messages of one user between the server's sockets and one kernel."""
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


@dataclass
class _Waiting:
    """What one user has sent to one kernel and nobody has taken yet: how often, by the id."""

    login: Login
    ids: Counter[str] = field(default_factory=Counter)


class Senders:
    """Who sent which message to the kernels that are forwarded from the server's own sockets.

    A note is never dropped for another: a message without one is the server's own, and may do all.
    """

    def __init__(self) -> None:
        self._kernels: dict[str, dict[str, _Waiting]] = {}

    def watch(self, kernel_id: str) -> None:
        """Take notes of what is sent to this kernel; idempotent."""
        self._kernels.setdefault(kernel_id, {})

    def forget(self, kernel_id: str) -> None:
        """Take no more notes; idempotent."""
        self._kernels.pop(kernel_id, None)

    def watches(self, kernel_id: str) -> bool:
        return kernel_id in self._kernels

    def sent(self, kernel_id: str, msg_id: str, login: Login) -> None:
        """Note who sends a message to a kernel that is watched.

        Raises:
            RemoteProtocolError: it must not be sent: a message of somebody else waits with this id, or too
                many of this user's wait.
        """
        users = self._kernels[kernel_id]
        if any(msg_id in other.ids for name, other in users.items() if name != login.username):
            raise RemoteProtocolError(
                f"a message of somebody else has the id {msg_id!r:.40}", CloseCode.POLICY_VIOLATION
            )
        waiting = users.setdefault(login.username, _Waiting(login))
        if msg_id not in waiting.ids and len(waiting.ids) >= MAX_WAITING:
            raise RemoteProtocolError(
                f"{MAX_WAITING} messages of yours wait for this kernel, no more may",
                CloseCode.POLICY_VIOLATION,
            )
        waiting.login = login
        waiting.ids[msg_id] += 1

    def take(self, kernel_id: str, msg_id: str) -> Login | None:
        """Return who sent a message, once for each time; ``None`` where no user of the server did."""
        for waiting in self._kernels.get(kernel_id, {}).values():
            if msg_id in waiting.ids:
                waiting.ids[msg_id] -= 1
                if not waiting.ids[msg_id]:
                    del waiting.ids[msg_id]
                return waiting.login
        return None


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
