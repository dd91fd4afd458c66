"""Tickets: what a page of this server's own user says in place of a key, once and soon.

The published protocols are told a key in their first frame. A page must not hold
one, so it asks for a ticket with its login and says that: it lets in one connection,
for the local account, and is worth nothing afterwards or a minute later. Kept in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from embedenv_jupyter.accounts.credentials import digest
from embedenv_jupyter.errors import AuthenticationError

LIFE_S: Final = 60.0
MAX_TICKETS: Final = 256
"""Of more that wait to be used, the oldest is void."""

PUBLIC_KEY: Final = "ticket"
"""Stands for the public key where a protocol asks for two; the ticket is the secret one."""

PREFIX: Final = "tk_"


class Tickets:
    """The tickets of one gateway that are not used yet; ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expire_at_s: dict[str, float] = {}

    def issue(self) -> str:
        """Make a ticket that is good for :data:`LIFE_S` from now."""
        now_s = self._clock()
        for known, expires_at_s in list(self._expire_at_s.items()):  # the oldest come first
            if expires_at_s > now_s and len(self._expire_at_s) < MAX_TICKETS:
                break
            del self._expire_at_s[known]
        ticket = PREFIX + secrets.token_urlsafe(32)
        self._expire_at_s[digest(ticket)] = now_s + LIFE_S
        return ticket

    def redeem(self, ticket: str) -> None:
        """Take a ticket, which is void from now on.

        Raises:
            AuthenticationError: there is no such ticket, it was used, or it is too old.
        """
        expires_at_s = self._expire_at_s.pop(digest(ticket), None)
        if expires_at_s is None or expires_at_s <= self._clock():
            raise AuthenticationError


def is_ticket(key: str) -> bool:
    """Tell a ticket from a key by its looks."""
    return key.startswith(PREFIX)
