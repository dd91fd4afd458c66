"""What a sandbox may leave behind on the host, and waiting until it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from embedenv_jupyter.sandbox import cgroups
from embedenv_jupyter.sandbox.cgroup_claim import PREFIX
from tests.integration.sandbox.programs import DEADLINE_S


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that no event tells us, as it happens in processes that are not ours."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended, whether or not it was waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # gone before, or while it is read
        return True


def group_folders(gateway: int) -> set[Path]:
    """Return the folders that a gateway claimed below our own cgroups."""
    found = cgroups.current_places()
    owns = {*found.v1.values(), *filter(None, [found.v2])}
    return {folder for own in owns for folder in Path(own).glob(f"{PREFIX}{gateway}-*")}
