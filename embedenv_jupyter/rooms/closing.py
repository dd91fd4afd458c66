"""The end of a room: its runs stop, their output is read, and the post-mortem is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxError
from embedenv_jupyter.rooms.events import PostMortem
from embedenv_jupyter.rooms.runs import Run, signal_name
from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.sandbox import Sandbox

log = logging.getLogger(__name__)

CLOSE_RUNS_S: Final = 10.0
DRAIN_RUNS_S: Final = 5.0


async def stop_runs(sandbox: Sandbox, runs: Sequence[Run], reason: str) -> None:
    """Stop the runs step by step, then everything else in the sandbox."""
    try:
        async with deadline(CLOSE_RUNS_S):
            await asyncio.gather(*(run.stop(reason) for run in runs))
            await sandbox.reset()
    except (TimeoutError, SandboxError) as exc:
        log.warning("room %s did not stop its runs cleanly: %s", sandbox.spec.id, exc)


async def end_runs(room: str, runs: Sequence[Run]) -> None:
    """Let the pumps read what is left, then end them."""
    try:
        async with deadline(DRAIN_RUNS_S):
            await asyncio.gather(*(run.ended.wait() for run in runs))
    except TimeoutError:
        log.warning("room %s: %d runs were cut while their output was read", room, len(runs))
    await asyncio.gather(*(run.aclose() for run in runs))


def write_post_mortem(
    sandbox: Sandbox, usage: Counters, *, reason: str, cause: str | None, duration_s: float, at: float
) -> PostMortem:
    """Say how a sandbox that has ended did so; ``usage`` is what it used until then."""
    status = sandbox.exit_status
    return PostMortem(
        reason=reason,
        cause=cause,
        code=None if status is None else status.code,
        signal=None if status is None else signal_name(status),
        breaches=tuple(sorted(breach.value for breach in sandbox.breaches)),
        peak_memory_bytes=usage.memory_peak_bytes,
        cpu_s=usage.cpu_s,
        duration_s=duration_s,
        at=at,
    )
