"""Tells a room of the ports that its programs begin to listen on.

Nothing in a kernel reports that, so the watch looks: soon after each change of
the room's runs, then once in a second while any goes on. It owns one task, which
ends two seconds after the last run, as that may have left a server behind that
still starts up: an idle room is not looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from embedenv_jupyter.errors import SandboxError

log = logging.getLogger(__name__)

LOOK_AFTER_S = (0.1, 0.25, 0.5, 1.0)
"""The pauses before the looks after a change of the runs; the last one goes on. A look takes milliseconds,
in which the supervisor does nothing else, so a short run should begin and end before the first."""
MAX_REPORTED = 20
"""How many ports one look reports. The rest waits for the next: no program floods the log with these."""


class PortWatch:
    """Calls ``opened`` with each port that ``look`` finds anew; :meth:`aclose` ends it.

    ``changed`` is called when ports came or went.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[set[int]]],
        opened: Callable[[int], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._look = look
        self._opened = opened
        self._changed = changed
        self._known: set[int] = set()
        self._running = 0
        self._step = 0
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def known(self) -> list[int]:
        """The ports that the last look found, in order."""
        return sorted(self._known)

    def runs_changed(self, running: int) -> None:
        """Note that a run began or ended, and how many go on now."""
        self._running = running
        self._step = 0
        if self._task is None and running and not self._is_closed:
            self._task = asyncio.create_task(self._watch(), name="ports")

    async def _watch(self) -> None:
        last = len(LOOK_AFTER_S) - 1
        try:
            while self._running or self._step <= last:
                await asyncio.sleep(LOOK_AFTER_S[min(self._step, last)])
                self._step += 1
                await self._report()
        except SandboxError as exc:  # it is dying, or frozen; the next run begins anew
            log.info("the ports of a room could not be looked at: %s", exc)
        finally:
            self._task = None

    async def _report(self) -> None:
        found = await self._look()
        before = set(self._known)
        fresh = sorted(found - self._known)[:MAX_REPORTED]
        self._known &= found
        self._known.update(fresh)
        for port in fresh:
            self._opened(port)
        if self._known != before:
            self._changed()

    async def aclose(self) -> None:
        """Look no more; idempotent."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
