"""Sandboxes that stand ready with a kernel in them, for who opens a room in order to compute."""

from __future__ import annotations

import logging
from typing import Protocol

from embedenv_jupyter.errors import SandboxError
from embedenv_jupyter.kernels.process import fork
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec

log = logging.getLogger(__name__)


class Starter(Protocol):
    """Where sandboxes come from: a tier, or a pool in front of one."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one sandbox."""


class WarmStarter:
    """Starts sandboxes through another starter and forks a kernel in each, which then stands ready.

    A pool in front of this one hands out a room in which a kernel answers in the
    time of a round trip. A kernel that does not start is no error here: who asks
    for one later is told why.
    """

    def __init__(self, starter: Starter) -> None:
        self._starter = starter

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one sandbox with a kernel.

        Raises:
            SandboxUnavailableError: the sandbox did not start.
        """
        sandbox = await self._starter.start(spec)
        try:
            sandbox.keep_ready(*await fork(sandbox))
        except SandboxError as exc:
            log.warning("no kernel stands ready in %s: %s", spec.id, exc)
        except BaseException:
            await sandbox.aclose("did not start")
            raise
        return sandbox
