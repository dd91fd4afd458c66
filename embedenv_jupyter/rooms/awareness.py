"""What those who write in one document show of themselves: names and carets.

Each client's state belongs to the connection that brought it first: nobody else can
change it, or say that the client is gone. Clients repeat what they have heard of others,
and that ends here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from embedenv_jupyter.protocols.shared_documents import ClientState, gone

MAX_OWN: Final = 8
"""Clients of one connection."""


class Shown:
    """The states of one document's clients."""

    def __init__(self) -> None:
        self._states: dict[int, tuple[object, ClientState]] = {}

    def all(self) -> tuple[ClientState, ...]:
        """Return what is shown now."""
        return tuple(state for _, state in self._states.values())

    def take(self, connection: object, states: Sequence[ClientState]) -> tuple[ClientState, ...]:
        """Take what a connection shows; return what of it is new, and its own to show."""
        taken = []
        for state in states:
            owner, before = self._states.get(state.client, (connection, None))
            if owner is not connection or (before is not None and state.clock <= before.clock):
                continue
            if before is None and (state.is_gone or self._own(connection) >= MAX_OWN):
                continue
            if state.is_gone:
                del self._states[state.client]
            else:
                self._states[state.client] = (connection, state)
            taken.append(state)
        return tuple(taken)

    def leave(self, connection: object) -> tuple[ClientState, ...]:
        """Forget a connection; return what tells the others that its clients are gone."""
        own = [state for owner, state in self._states.values() if owner is connection]
        for state in own:
            del self._states[state.client]
        return gone(own).states

    def _own(self, connection: object) -> int:
        return sum(owner is connection for owner, _ in self._states.values())
