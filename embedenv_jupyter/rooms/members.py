"""Who is in a room, with which role, and the keys that let people in."""

from __future__ import annotations

import enum
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from embedenv_jupyter.errors import RoleError, UnknownKeyError
from embedenv_jupyter.protocols.rooms import Where
from embedenv_jupyter.protocols.spaces import AnsweredIds


class Role(enum.IntEnum):
    """What a member may do; each role may do all that those below may."""

    VIEW = 1
    RUN = 2
    EDIT = 3
    OWN = 4

    @property
    def word(self) -> str:
        """The role as frames and people spell it."""
        return self.name.lower()


@dataclass(frozen=True)
class Visitor:
    """Somebody at the door of a room whom our own routes have let pass, and as what."""

    user: str
    colour: str
    role: Role
    key: str = field(default="", repr=False)
    """The join key that they came with; empty for the account's own people."""
    identity: str = ""
    """What tells that two connections are one person's; empty where nothing does."""
    is_program: bool = False
    """Whether it is something that acts for the owner, such as a notebook's kernel."""
    login: str = ""
    """The user of this Jupyter server behind it, also behind a pass; empty where there is none."""


@dataclass
class Member:
    """Somebody in a room. ``token`` lets the same member come back after a cut connection."""

    id: str
    user: str
    colour: str
    role: Role
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    connections: int = 0
    answered: AnsweredIds = field(default_factory=AnsweredIds, repr=False)
    """What this member's commands were answered, for one that is sent again after a cut."""
    key: str = field(default="", repr=False)
    """The join key that this member came in with."""
    identity: str = ""
    """Who this is to our own routes, where they can tell: the same one is the same member."""
    where: Where | None = None
    """What this member looks at, as their page says."""
    is_program: bool = False
    """Something that acts for the owner of the room, such as a notebook's kernel: listed nowhere."""
    login: str = ""
    """The user of the Jupyter server that this member was logged in as when they came in last."""
    put_out: list[Callable[[str], None]] = field(default_factory=list, repr=False)
    """What closes each connection of this member, with a reason, when the key is revoked."""

    def require(self, role: Role, action: str) -> None:
        """Refuse what the role does not allow.

        Raises:
            RoleError: naming the action, the role it needs and the member's own.
        """
        if self.role < role:
            raise RoleError(action, role.word, self.role.word)


@dataclass(frozen=True)
class JoinKey:
    """A key that admits people with ``role`` until ``expires_at`` (UTC seconds; ``None``: never)."""

    key: str = field(repr=False)
    role: Role
    expires_at: float | None = None


class Keyring:
    """The join keys of one room."""

    def __init__(self) -> None:
        self._keys: dict[str, JoinKey] = {}

    def issue(self, role: Role, *, expires_at: float | None = None) -> JoinKey:
        """Make a new key."""
        issued = JoinKey(secrets.token_urlsafe(18), role, expires_at)
        self._keys[issued.key] = issued
        return issued

    def redeem(self, key: str, now: float) -> JoinKey:
        """Return the key if it opens the room at ``now``.

        Raises:
            UnknownKeyError: unknown, expired or revoked; the text does not say which.
        """
        found = self._keys.get(key)
        if found is None or (found.expires_at is not None and found.expires_at <= now):
            raise UnknownKeyError
        return found

    def revoke(self, key: str) -> None:
        """Let nobody in with this key any more; an unknown key is no error."""
        self._keys.pop(key, None)

    def expired(self, now: float) -> list[JoinKey]:
        """Return the keys that open nothing any more at ``now`` and are still here."""
        return [key for key in self if key.expires_at is not None and key.expires_at <= now]

    def __iter__(self) -> Iterator[JoinKey]:
        return iter(list(self._keys.values()))


MAX_AWAY = 1000
"""How many members are remembered who are not connected."""


class Members:
    """The members of one room, present and away, by token."""

    def __init__(self) -> None:
        self._by_token: dict[str, Member] = {}

    def admit(self, user: str, colour: str, role: Role, token: str | None = None) -> Member:
        """Return the member whose token this is, or a new one."""
        member = self._by_token.get(token) if token else None
        if member is None:
            member = Member(secrets.token_hex(6), user, colour, role)
            self._by_token[member.token] = member
        member.connections += 1
        return member

    def returning(self, visitor: Visitor, token: str | None = None) -> Member | None:
        """Return the member that a visitor is already, or was; by the token only who came in the same way."""
        if visitor.identity:
            return next((found for found in self if found.identity == visitor.identity), None)
        member = self._by_token.get(token) if token else None
        is_theirs = member is not None and not member.identity and member.key == visitor.key
        return member if is_theirs else None

    def find(self, id: str) -> Member | None:
        """Return the member with this id, present or away."""
        return next((member for member in self if member.id == id), None)

    def with_login(self, login: str) -> Member | None:
        """Return who is here now as a user of the Jupyter server: of several, who came in last."""
        if not login:
            return None
        return next((found for found in reversed(self.present) if found.login == login), None)

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._by_token.values()))

    def leave(self, member: Member) -> bool:
        """Note that one connection of a member is gone; true when it was the last."""
        member.connections -= 1
        if member.connections > 0:
            return False
        member.where = None
        if self._by_token.pop(member.token, None) is not None:
            self._by_token[member.token] = member  # the last to have left
        self._forget_some()
        return True

    def _forget_some(self) -> None:
        """Forget who has been away longest; owners last, or strangers who come and go would push them out."""
        away = [member for member in self._by_token.values() if member.connections == 0]
        if len(away) > MAX_AWAY:
            for member in sorted(away, key=lambda member: member.role)[:-MAX_AWAY]:
                del self._by_token[member.token]

    def with_key(self, key: str) -> list[Member]:
        """Return who came in with a join key, present or away."""
        return [member for member in self if member.key == key]

    def forget(self, member: Member) -> None:
        """Let the token of a member bring nobody back any more."""
        self._by_token.pop(member.token, None)

    @property
    def present(self) -> list[Member]:
        """The people who are connected now."""
        return [member for member in self._connected if not member.is_program]

    @property
    def is_anybody_here(self) -> bool:
        """Whether somebody is connected, or something that acts for somebody."""
        return any(True for _ in self._connected)

    @property
    def _connected(self) -> Iterator[Member]:
        return (member for member in self._by_token.values() if member.connections > 0)
