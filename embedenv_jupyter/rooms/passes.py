"""What a browser shows instead of the join key that it came in with.

A join key lets anybody in who has it, so a page should not have to keep it. The
page hands it over once and gets a pass: a random secret, which the browser keeps
where no script reads it, and which is good for this one room as long as its key is.
Passes live in memory and end with their room.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from embedenv_jupyter.errors import UnknownKeyError
from embedenv_jupyter.rooms.members import JoinKey, Keyring, Role

MAX_PASSES: Final = 1000
"""With one join key; whoever gets one more makes that void which was not used for longest."""


@dataclass
class Pass:
    """One browser's right to come in, as ``user``; ``role`` is the key's, or what the owner made of it."""

    key: str = field(repr=False)
    user: str
    colour: str
    role: Role
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def identity(self) -> str:
        """Who comes with it, wherever they come in: one member of the room."""
        return f"pass {self.id}"


class Passes:
    """The passes of one room."""

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys
        self._by_secret: dict[str, Pass] = {}

    def __len__(self) -> int:
        return len(self._by_secret)

    def issue(self, key: JoinKey, user: str, colour: str) -> Pass:
        """Make a pass for somebody who has shown this key."""
        issued = Pass(key.key, user, colour, key.role)
        alike = [held for held in self._by_secret.values() if held.key == key.key]
        if len(alike) >= MAX_PASSES:
            self.give_back(alike[0])
        self._by_secret[issued.secret] = issued
        return issued

    def find(self, secret: str, now: float) -> Pass | None:
        """Return a pass whose key still opens the room at ``now``; ``None`` for any other secret."""
        held = self._by_secret.pop(secret, None)
        if held is None:
            return None
        try:
            self._keys.redeem(held.key, now)
        except UnknownKeyError:
            return None
        self._by_secret[secret] = held  # the last to be used
        return held

    def give_back(self, held: Pass) -> None:
        """Make a pass void; idempotent."""
        self._by_secret.pop(held.secret, None)

    def set_role(self, identity: str, role: Role) -> None:
        """Let who has this identity be something else than their key says."""
        for held in self._by_secret.values():
            if held.identity == identity:
                held.role = role
