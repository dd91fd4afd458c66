"""The tiers of isolation, best first, and the interface that all of them share.

A tier starts a supervisor in its own way; everything after that is the same
:class:`~embedenv_jupyter.sandbox.sandbox.Sandbox`.
"""

from __future__ import annotations

from typing import Protocol

from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec


class Tier(Protocol):
    """One way to isolate a room."""

    name: str
    unprotected: tuple[str, ...]
    """What this tier does not protect, one plain sentence each."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one sandbox.

        Raises:
            SandboxUnavailableError: this tier does not work here (any more).
        """

    async def aclose(self) -> None:
        """End all sandboxes of this tier and what serves them; idempotent."""
