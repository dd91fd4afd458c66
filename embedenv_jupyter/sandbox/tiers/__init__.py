"""The tiers of isolation, best first, and the interface that all of them share.

A tier starts a supervisor in its own way; everything after that is the same
:class:`~embedenv_jupyter.sandbox.sandbox.Sandbox`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from embedenv_jupyter.sandbox.spec import ExitStatus, SandboxSpec

if TYPE_CHECKING:
    from embedenv_jupyter.sandbox.sandbox import Sandbox


@dataclass(frozen=True)
class Counters:
    """What the host's side counts for one sandbox; ``None`` where this tier cannot tell.

    ``oom_kills`` and ``pid_refusals`` only grow: a caller compares two samples.
    """

    cpu_s: float | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    pids: int | None = None
    oom_kills: int = 0
    pid_refusals: int = 0


class Keeper(Protocol):
    """What a tier holds on the host's side for one sandbox.

    The supervisor is not trusted once the room has run a program, so whatever
    must work against the room's will is here.
    """

    @property
    def pid(self) -> int | None:
        """The supervisor's pid as the host sees it, where there is one."""

    async def wait(self) -> ExitStatus:
        """Wait for the supervisor's death; any number of callers may wait."""

    def kill(self) -> None:
        """End every process of the sandbox at once; a dead sandbox is no error."""

    async def pause(self) -> bool:
        """Freeze from outside; ``False`` when this tier must ask the supervisor instead."""

    async def resume(self) -> bool:
        """Thaw what :meth:`pause` froze; ``False`` as there."""

    def counters(self) -> Counters:
        """Sample the counters; cheap, never blocks."""

    async def release(self) -> None:
        """Remove what the tier made for this sandbox (cgroups, ids, files); idempotent."""


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
