"""A tier that is taken because an earlier gateway found that it works, and is not trusted beyond that."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import Tier

log = logging.getLogger(__name__)

LOOK_AGAIN_AFTER_S = 30.0
"""How long a failed look is good for: it starts rooms in every tier, and each start would ask for it."""


class RememberedTier:
    """Stands in for ``tier`` until its first room has come up.

    Where that fails, as when a daemon was stopped since, ``look_again`` finds the
    best tier that works now, and its rooms are handed out from then on.
    """

    name: str
    unprotected: tuple[str, ...]

    def __init__(self, tier: Tier, look_again: Callable[[], Awaitable[Tier]]) -> None:
        self._look_again = look_again
        self._looking = asyncio.Lock()
        self._failed_look_s = -LOOK_AGAIN_AFTER_S
        self._tiers: list[Tier] = []
        self._use(tier)
        self._is_proven = False

    def _use(self, tier: Tier) -> None:
        # The former one stays open to the end: a start that is under way may yet succeed in it.
        self._tiers.append(tier)
        self.name, self.unprotected = tier.name, tier.unprotected

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one sandbox, where needed in another tier than the remembered one.

        Raises:
            SandboxUnavailableError: no tier works here any more, or the spec cannot be met.
        """
        tier = self._tiers[-1]
        try:
            sandbox = await tier.start(spec)
        except SandboxUnavailableError as exc:
            if self._is_proven:
                raise
            other = await self._instead_of(tier, exc)
            return await other.start(spec)
        self._is_proven = True
        return sandbox

    async def _instead_of(self, failed: Tier, failure: SandboxUnavailableError) -> Tier:
        async with self._looking:
            if self._tiers[-1] is not failed:
                return self._tiers[-1]  # somebody else's start has failed as well, and it has looked
            if self._is_proven or time.monotonic() - self._failed_look_s < LOOK_AGAIN_AFTER_S:
                raise failure
            log.warning("the tier %s, which worked here before, does not any more: %s", failed.name, failure)
            try:
                self._use(await self._look_again())
            except SandboxUnavailableError:
                self._failed_look_s = time.monotonic()
                raise
            self._is_proven = True
            log.warning("rooms are isolated by the tier %s from now on", self.name)
            return self._tiers[-1]

    async def aclose(self) -> None:
        """End all sandboxes; idempotent."""
        self._is_proven = True  # what fails from now on fails because we end
        async with self._looking:
            for tier in self._tiers:
                await tier.aclose()
