"""Who watches a room, for what its log does not number: what it uses, and where its members are.

Only the newest of these counts, so nothing is kept for those who come later or read
slowly. While anybody watches, one task looks every two seconds at what the room uses.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import Final, Protocol

from embedenv_jupyter.errors import SandboxError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Usage

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 2.0


class Watching(Protocol):
    """Somebody who watches. Neither call may wait."""

    def used(self, usage: Usage) -> None:
        """Learn what the room uses."""

    def looks_at(self, member: str) -> None:
        """Learn that a member looks at something else."""


class Audience:
    """Those who watch one room; :meth:`aclose` ends the looking."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._watching: list[Watching] = []
        self._last: Usage | None = None
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    def add(self, watching: Watching) -> None:
        """Let somebody watch; what was seen last they learn at once."""
        self._watching.append(watching)
        if self._looking is not None and self._last is not None:
            watching.used(self._last)
        if self._looking is None and not self._is_closed:
            self._looking = asyncio.create_task(self._look(), name=f"usage of {self._sandbox.spec.id}")

    def remove(self, watching: Watching) -> None:
        """Let them watch no more; idempotent."""
        if watching in self._watching:
            self._watching.remove(watching)

    def tell_where(self, member: str, but: Watching) -> None:
        """Tell all others that a member looks at something else."""
        for watching in self._watching:
            if watching is not but:
                watching.looks_at(member)

    async def _look(self) -> None:
        try:
            while self._watching:
                usage = self._last = await self._sandbox.usage()
                for watching in list(self._watching):
                    watching.used(usage)
                await asyncio.sleep(LOOK_EVERY_S)
        except (SandboxError, OSError) as exc:
            log.info("what a room uses could not be looked at: %s", exc)
        finally:
            self._looking = None

    async def aclose(self) -> None:
        """Look no more; idempotent."""
        self._is_closed = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)


def usage_fields(usage: Usage) -> dict[str, float | int | None]:
    """Return a sample as frames and REST show it."""
    return asdict(usage)
