"""What the host's side holds for one sandbox, whatever the tier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from embedenv_jupyter.sandbox.spec import ExitStatus


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
