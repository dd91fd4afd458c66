"""The zygotes of one tier: one for each thing that its rooms stand on, the host or a tree."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import image
from embedenv_jupyter.sandbox.image import Tree, TreeLease
from embedenv_jupyter.sandbox.zygote_client import ZygoteClient

MAX_IDLE = 4
"""How many zygotes without rooms stay warm, some 40 MiB each."""

Launch = Callable[[Tree | None, Callable[[str], None]], Awaitable[ZygoteClient]]


@dataclass(eq=False)
class Zygote:
    """One zygote with what it stands on. ``users`` are its rooms, those that are being started included."""

    client: ZygoteClient
    lease: TreeLease | None
    users: int = 0

    @property
    def is_outdated(self) -> bool:
        """Whether its next room would have to stand on another tree."""
        return self.lease is not None and self.lease.is_outdated


class Zygotes:
    """Starts zygotes when they are first needed, and ends those that nobody needs any more."""

    def __init__(self, launch: Launch, on_death: Callable[[Zygote, str], None]) -> None:
        self._launch = launch
        self._on_death = on_death
        self._launching = asyncio.Lock()
        self._zygotes: dict[str | None, Zygote] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def last(self) -> Zygote | None:
        """The zygote that was used last, once there is one."""
        return next(reversed(self._zygotes.values()), None)

    async def take(self, path: str | None) -> Zygote:
        """Return the zygote for rooms that stand on the tree at ``path``, ``None`` for the host.

        The caller gives it back by :meth:`give_back` when its room has ended, or did not begin.

        Raises:
            SandboxUnavailableError: it cannot be started, or rooms cannot stand on that tree.
        """
        async with self._launching:
            if self._closed:
                raise SandboxUnavailableError("This tier was closed.")
            zygote = self._zygotes.pop(_led_to(path), None)
            if zygote is not None and zygote.client.cause is not None:
                await _end(zygote)
                zygote = None
            if zygote is None:
                zygote = await self._start(path)
            self._zygotes[zygote.lease.tree.path if zygote.lease is not None else None] = zygote
            zygote.users += 1
        self._end_idle()
        return zygote

    async def _start(self, path: str | None) -> Zygote:
        lease = None if path is None else image.lease(path)
        try:
            zygote: Zygote | None = None

            def died(cause: str) -> None:
                if zygote is not None:
                    self._on_death(zygote, cause)

            client = await self._launch(None if lease is None else lease.tree, died)
            zygote = Zygote(client, lease)
            return zygote
        except BaseException as exc:
            if lease is None:
                raise
            lease.release()
            if isinstance(exc, SandboxUnavailableError):
                raise SandboxUnavailableError(
                    f"Rooms cannot stand on the image {path}: {exc.reason}", exc.remedies
                ) from exc
            raise

    def give_back(self, zygote: Zygote) -> None:
        """Note that a room of it has ended."""
        zygote.users -= 1
        self._end_idle()

    def _end_idle(self) -> None:
        """End the zygotes without rooms that are too many, or whose tree was replaced."""
        idle = {tree: zygote for tree, zygote in self._zygotes.items() if zygote.users == 0}
        too_many = list(idle)[: max(0, len(idle) - MAX_IDLE)]
        for tree, zygote in idle.items():
            if tree in too_many or zygote.is_outdated:
                del self._zygotes[tree]
                self._own(_end(zygote))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def stop_launching(self) -> None:
        """Let no zygote be started any more; idempotent."""
        self._closed = True
        async with self._launching:
            pass

    async def aclose(self) -> None:
        """End all of them, and with them the rooms that they have; idempotent."""
        await self.stop_launching()
        zygotes, self._zygotes = list(self._zygotes.values()), {}
        for zygote in zygotes:
            await _end(zygote)
        await asyncio.gather(*self._ending)


def _led_to(path: str | None) -> str | None:
    return None if path is None else os.path.realpath(path)


async def _end(zygote: Zygote) -> None:
    await zygote.client.aclose()
    if zygote.lease is not None:
        zygote.lease.release()
