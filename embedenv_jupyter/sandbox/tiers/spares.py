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
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

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
    ``is_early`` says that its zygote had not yet rehearsed all.
    """

    def __init__(
        self, keeper: NsKeeper, connection: socket.socket, report: int, *, is_early: bool = False
    ) -> None:
        self.keeper = keeper
        self.connection = connection
        self.report = report
        self.is_early = is_early

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
        self._delays: dict[Zygote, asyncio.TimerHandle] = {}
        self._making: dict[Zygote, asyncio.Task[None]] = {}
        self._settling: dict[Zygote, asyncio.Task[None]] = {}
        self._discarding: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __contains__(self, zygote: object) -> bool:
        return zygote in self._blanks

    @property
    def is_at_rest(self) -> bool:
        """Whether no blank is being made, awaited or released."""
        return not (self._delays or self._making or self._settling or self._discarding)

    def take(self, zygote: Zygote) -> Blank | None:
        """Hand out the zygote's blank, if it has one that lives."""
        blank = self._blanks.pop(zygote, None)
        if blank is None:
            return None
        blank.keeper.on_death(None)
        if blank.keeper.has_ended():
            self._discard(blank)
            return None
        return blank

    def want(self, zygote: Zygote) -> None:
        """Have a blank made once nobody has asked for this for a moment."""
        if self._is_closed or zygote.is_outdated or zygote.client.cause is not None:
            return
        if (delay := self._delays.pop(zygote, None)) is not None:
            delay.cancel()
        self._delays[zygote] = asyncio.get_running_loop().call_later(DELAY_S, self._begin, zygote)
        if not zygote.client.is_settled and zygote not in self._settling:
            self._own(self._settling, zygote, self._when_settled(zygote))

    async def _when_settled(self, zygote: Zygote) -> None:
        if await zygote.client.settled():
            self.want(zygote)

    def _begin(self, zygote: Zygote) -> None:
        del self._delays[zygote]
        kept = self._blanks.get(zygote)
        if zygote in self._making:
            return
        if kept is None or (kept.is_early and zygote.client.is_settled):
            self._own(self._making, zygote, self._make(zygote))

    async def _make(self, zygote: Zygote) -> None:
        """Fork a blank; one that stands already knows less than this one will."""
        blank = await self._fork(zygote)
        try:
            blank.keeper.on_death(lambda: self._died(zygote))
        except OSError as exc:  # we may watch nothing more
            self._discard(blank)
            raise SandboxUnavailableError(f"The gateway can watch nothing more: {exc.strerror}.") from exc
        if (older := self.take(zygote)) is not None:
            self._discard(older)
        self._blanks[zygote] = blank

    def _own(
        self, tasks: dict[Zygote, asyncio.Task[None]], zygote: Zygote, work: Coroutine[Any, Any, None]
    ) -> None:
        task = tasks[zygote] = asyncio.create_task(work)

        def done(task: asyncio.Task[None]) -> None:
            del tasks[zygote]
            if task.cancelled() or (failure := task.exception()) is None:
                return
            if not isinstance(failure, SandboxUnavailableError):
                raise failure
            log.info("no process is kept ready for the next room: %s", failure)

        task.add_done_callback(done)

    def _died(self, zygote: Zygote) -> None:
        """Release a blank that has ended, mostly because its zygote has."""
        if (blank := self._blanks.pop(zygote, None)) is not None:
            if zygote.client.cause is None:
                log.warning("the process that was kept ready for the next room has ended; a new one follows")
                self.want(zygote)
            blank.keeper.on_death(None)
            self._discard(blank)

    def _discard(self, blank: Blank) -> None:
        task = asyncio.create_task(blank.discard())
        self._discarding.add(task)
        task.add_done_callback(self._discarding.discard)

    async def stop_making(self) -> None:
        """Let no blank be made any more; idempotent."""
        self._is_closed = True
        for delay in self._delays.values():
            delay.cancel()
        self._delays.clear()
        tasks = [*self._making.values(), *self._settling.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """End all blanks; idempotent."""
        await self.stop_making()
        while self._blanks:
            _, blank = self._blanks.popitem()
            self._discard(blank)
        await asyncio.gather(*self._discarding)
