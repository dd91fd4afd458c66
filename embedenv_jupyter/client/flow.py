"""Flow control of the receiving side: when the socket is read, and when not.

Theory of operation. One socket carries the output of runs, answers, and events.
Whatever was received and not yet taken by the program counts as unread.

* Below ``soft_bytes`` unread the socket is read, whoever waits.
* From there on it is read only on demand: while some call of this client waits
  for something that has not arrived (an answer, the end of a run, the output of
  another run). So a program that asks a second thing before it has read the
  output of the first gets its answer, from behind that output.
* At ``hard_bytes`` it is not read at all. When then nothing is taken for
  ``stall_s``, every waiting call gets a :class:`StalledError`: what it waits for
  can never arrive.

While the socket is not read, TCP slows the server down, which sends from its
log at our pace. Pings are not read either; the link answers them before they
are asked (see :mod:`embedenv_jupyter.client.link`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, TypeVar

from embedenv_jupyter.client.refusal import StalledError
from embedenv_jupyter.deadlines import deadline

PIECE_OVERHEAD_BYTES = 64
"""What a short piece of text costs beside its characters, so that many tiny pieces are bounded too."""

T = TypeVar("T")


@dataclass(frozen=True)
class Buffering:
    """How much received output may wait unread in memory; see the module's text."""

    soft_bytes: int = 1 << 20
    hard_bytes: int = 64 << 20
    stall_s: float = 60.0


def size_of(text: str | bytes) -> int:
    """What one piece counts, in bytes (of characters: close enough for a bound)."""
    return len(text) + PIECE_OVERHEAD_BYTES


class Gate:
    """Decides whether the reader of the socket may go on."""

    def __init__(self, buffering: Buffering) -> None:
        self._buffering = buffering
        self._unread_bytes = 0
        self._takes = 0
        self._demands: set[asyncio.Future[Any]] = set()
        self._changed: asyncio.Future[None] | None = None

    @property
    def unread_bytes(self) -> int:
        return self._unread_bytes

    @property
    def is_open(self) -> bool:
        if self._unread_bytes < self._buffering.soft_bytes:
            return True
        return bool(self._demands) and self._unread_bytes < self._buffering.hard_bytes

    def put(self, size: int) -> None:
        """Something of ``size`` bytes was received and waits."""
        self._unread_bytes += size

    def take(self, size: int) -> None:
        """Something of ``size`` bytes was handed to the program, or dropped at its wish."""
        self._unread_bytes -= size
        self._takes += 1
        self._wake()

    async def demand(self, future: asyncio.Future[T]) -> T:
        """Wait for ``future``; as long as this lasts, the socket is read beyond the soft bound.

        Raises:
            StalledError: the hard bound was reached and nobody reads.
        """
        self._demands.add(future)
        self._wake()
        try:
            return await future
        finally:
            self._demands.discard(future)

    async def passage(self) -> None:
        """Wait until the socket may be read; the reader calls this before each frame."""
        while not self.is_open:
            takes = self._takes
            self._changed = asyncio.get_running_loop().create_future()
            try:
                async with deadline(self._buffering.stall_s):
                    await self._changed
            except TimeoutError:
                if self._takes == takes:
                    self._refuse_all()
            finally:
                self._changed = None

    def _wake(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _refuse_all(self) -> None:
        for future in self._demands:
            if not future.done():
                future.set_exception(StalledError(self._unread_bytes))
