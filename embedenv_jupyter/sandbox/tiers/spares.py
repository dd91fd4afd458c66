"""Processes that are forked before a room needs one: half of a room's start is over when it is asked for.

Theory of operation. What a room's first process needs before it knows what room it
will be takes longer than all the rest: the fork of a zygote whose memory is large,
and the move into its cgroup, for which the kernel waits until every processor has
passed a quiet point (10 ms, unless another process was moved just before). So each
zygote keeps one :class:`Blank` that has done both and waits for its spec. Whoever
asks faster than blanks are made gets a process that is forked then.

When a zygote has rehearsed all (:mod:`embedenv_jupyter.sandbox.rehearsal`), its blank is
made anew: what is forked then knows more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.tiers.ns_keeper import NsKeeper
from embedenv_jupyter.sandbox.tiers.zygotes import Zygote

log = logging.getLogger(__name__)

DELAY_S = 0.05
"""How long nobody must have started a room before the next blank is forked: their programs come first."""

END_TIMEOUT_S = 10.0


class Blank:
    """A process that sits in a cgroup of its own and waits on ``connection`` to be told what room it is.

    ``report`` is where it says why it could not become one. Whoever takes a blank owns both, and its keeper.
    """

    def __init__(self, keeper: NsKeeper, connection: socket.socket, report: int) -> None:
        self.keeper = keeper
        self.connection = connection
        self.report = report

    async def discard(self) -> None:
        """End it and release what was made for it."""
        self.connection.close()
        os.close(self.report)
        await self.keeper.discard(END_TIMEOUT_S)


class Spares:
    """At most one blank for each zygote. ``fork`` makes one."""

    def __init__(self, fork: Callable[[Zygote], Awaitable[Blank]]) -> None:
        self._fork = fork
        self._blanks: dict[Zygote, Blank] = {}
        self._making: dict[Zygote, asyncio.Task[None]] = {}
        self._discarding: set[asyncio.Task[None]] = set()

    def take(self, zygote: Zygote) -> Blank | None:
        """Hand out the zygote's blank, if it has one that lives."""
        blank = self._blanks.pop(zygote, None)
        if blank is not None:
            blank.keeper.on_death(None)
        return blank

    def want(self, zygote: Zygote) -> None:
        """Have a blank made once nobody has asked for this for a moment."""
        if (task := self._making.pop(zygote, None)) is not None:
            task.cancel()
        task = self._making[zygote] = asyncio.create_task(self._make(zygote))
        task.add_done_callback(lambda done: self._made(zygote, done))

    async def _make(self, zygote: Zygote) -> None:
        await asyncio.sleep(DELAY_S)
        if zygote not in self._blanks:
            await self._keep(zygote)
        if not zygote.client.is_settled and await zygote.client.settled():
            self._end(zygote)
            await self._keep(zygote)

    async def _keep(self, zygote: Zygote) -> None:
        blank = self._blanks[zygote] = await self._fork(zygote)
        blank.keeper.on_death(lambda: self._end(zygote))

    def _made(self, zygote: Zygote, task: asyncio.Task[None]) -> None:
        if self._making.get(zygote) is task:
            del self._making[zygote]
        if task.cancelled() or (failure := task.exception()) is None:
            return
        if not isinstance(failure, SandboxUnavailableError):
            raise failure
        log.info("no process is kept ready for the next room: %s", failure)

    def _end(self, zygote: Zygote) -> None:
        """Release the blank; mostly it has ended because its zygote has."""
        if (blank := self.take(zygote)) is not None:
            task = asyncio.create_task(blank.discard())
            self._discarding.add(task)
            task.add_done_callback(self._discarding.discard)

    async def stop_making(self) -> None:
        """Let no blank be made any more; idempotent."""
        making = list(self._making.values())
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)

    async def aclose(self) -> None:
        """End all blanks; idempotent. Whoever calls it wants none any more."""
        await self.stop_making()
        for zygote in list(self._blanks):
            self._end(zygote)
        await asyncio.gather(*self._discarding)
