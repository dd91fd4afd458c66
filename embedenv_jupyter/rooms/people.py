"""The people of a room: how they come in and go, as what, and what the log says of it."""

from __future__ import annotations

from collections.abc import Callable

from embedenv_jupyter.rooms.events import MemberJoined, MemberLeft, RoleChanged
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import JoinKey, Keyring, Member, Members, Role, Visitor
from embedenv_jupyter.rooms.passes import Passes

REVOKED = "your join key was revoked"
EXPIRED = "your join key has expired"


class People:
    """The members of one room, and the keys and passes that let people in."""

    def __init__(
        self,
        room_log: Log,
        clock: Callable[[], float],
        *,
        require_open: Callable[[], None],
        touch: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self.members = Members()
        self.keys = Keyring()
        self.passes = Passes(self.keys)
        self.host_key: JoinKey = self.keys.issue(Role.EDIT)
        """What the host is given to share."""
        self._log = room_log
        self._clock = clock
        self._require_open = require_open
        self._touch = touch
        self._changed = changed

    # Coming and going.

    def admit(
        self,
        user: str,
        colour: str,
        role: Role,
        token: str | None = None,
        *,
        put_out: Callable[[str], None] | None = None,
        is_program: bool = False,
    ) -> Member:
        """Let somebody in, or back in; ``put_out`` closes this connection, with a reason, when they must go.

        Of a program nobody is told.

        Raises:
            RoomClosedError: the room has ended.
        """
        self._require_open()
        member = self.members.admit(user, colour, role, token)
        member.is_program = is_program
        if put_out is not None:
            member.put_out.append(put_out)
        if member.connections == 1 and not is_program:
            self._announce(member)
        self._touch()
        return member

    def enter(
        self,
        visitor: Visitor,
        *,
        user: str | None = None,
        colour: str | None = None,
        token: str | None = None,
        put_out: Callable[[str], None] | None = None,
    ) -> Member:
        """Let in who came by our own routes: the same person is one member, with the name they said last.

        Raises:
            RoomClosedError: the room has ended.
        """
        self._require_open()
        known = self.members.returning(visitor, token)
        if known is None:
            member = self.admit(
                user or visitor.user, colour or visitor.colour, visitor.role,
                put_out=put_out, is_program=visitor.is_program,
            )  # fmt: skip
            member.key, member.identity, member.login = visitor.key, visitor.identity, visitor.login
            return member
        known.login = visitor.login
        before = known.user, known.colour
        known.user, known.colour = user or known.user, colour or known.colour
        if known.connections and not known.is_program and before != (known.user, known.colour):
            self._announce(known)
        return self.admit(
            known.user, known.colour, known.role, known.token, put_out=put_out, is_program=known.is_program
        )

    def _announce(self, member: Member) -> None:
        self._log.append(
            MemberJoined(
                member=member.id, user=member.user, colour=member.colour, role=member.role.word,
                at=self._clock(),
            )
        )  # fmt: skip
        self._changed()

    def leave(self, member: Member, put_out: Callable[[str], None] | None = None) -> None:
        """Note that one connection of a member is gone: the one that came with this ``put_out``."""
        if put_out in member.put_out:
            member.put_out.remove(put_out)
        if self.members.leave(member) and not member.is_program and not self._log.is_finished:
            self._log.append(MemberLeft(member=member.id, user=member.user, at=self._clock()))
            self._changed()
        self._touch()

    def put_out(self, member: Member, reason: str) -> None:
        """Close all connections of a member, who does not come back as the same one."""
        self.members.forget(member)
        for put_out in list(member.put_out):
            put_out(reason)

    def set_role(self, member: Member, role: Role, by: str) -> None:
        """Let a member be something else from now on, on each connection and with the pass they came with."""
        if member.role is role:
            return
        member.role = role
        self.passes.set_role(member.identity, role)
        self._log.append(
            RoleChanged(member=member.id, user=member.user, role=role.word, by=by, at=self._clock())
        )
        self._changed()

    # Keys.

    def revoke(self, key: str, reason: str = REVOKED) -> None:
        """Let nobody in with a join key any more, and put out who came in with it. Idempotent."""
        self.keys.revoke(key)
        for member in self.members.with_key(key):
            self.put_out(member, reason)
        self._changed()

    def revoke_expired(self) -> None:
        """Do :meth:`revoke` for the keys whose time is over."""
        for key in self.keys.expired(self._clock()):
            self.revoke(key.key, EXPIRED)

    def replace_key(self, key: JoinKey) -> JoinKey:
        """Make a new key of the same role and life in place of one, which is revoked."""
        new = self.keys.issue(key.role, expires_at=key.expires_at)
        if key == self.host_key:
            self.host_key = new
        self.revoke(key.key)
        return new

    def take_keys(self, other: People) -> None:
        """Let the keys of another room open this one, and the other one no more."""
        self.keys, self.host_key = other.keys, other.host_key
        self.passes = Passes(self.keys)
        other.keys = Keyring()
