"""Stops the clock of a room's programs, and lets it go on."""

from __future__ import annotations

import asyncio
import logging

from embedenv_jupyter.errors import SandboxError
from embedenv_jupyter.sandbox.sandbox import Sandbox

log = logging.getLogger(__name__)


class Pause:
    """Whether a sandbox is paused, and by whom else it is asked meanwhile: one after another."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.is_on = False
        self._sandbox = sandbox
        self._turn = asyncio.Lock()

    async def on(self) -> None:
        """Stop the clock; idempotent.

        Raises:
            SandboxError: it did not work.
        """
        async with self._turn:
            if not self.is_on:
                await self._sandbox.pause()
                self.is_on = True

    async def off(self) -> None:
        """Let the clock go on; idempotent, raises the same."""
        async with self._turn:
            if self.is_on:
                await self._sandbox.resume()
                self.is_on = False

    async def lift(self) -> None:
        """Do :meth:`off` for a room that ends: what stands still cannot be asked to stop. Never raises."""
        try:
            await self.off()
        except SandboxError as exc:
            log.info("sandbox %s ends paused: %s", self._sandbox.spec.id, exc)
