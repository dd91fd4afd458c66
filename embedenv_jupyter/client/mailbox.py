"""A queue between the receiving task and the one task of the program that reads it.

Unlike ``asyncio.Queue`` it can end, with or without a failure; it counts what
waits in it at the room's :class:`~embedenv_jupyter.client.flow.Gate`; and taking
is safe to cancel, because an item leaves only at the moment it is returned.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from embedenv_jupyter.client.flow import Gate
from embedenv_jupyter.errors import BusyError

T = TypeVar("T")


class Mailbox(Generic[T]):
    """See the module's text. ``size`` says what an item counts, in bytes, where a gate is given."""

    def __init__(self, gate: Gate | None = None, size: Callable[[T], int] = lambda item: 0) -> None:
        self._gate = gate
        self._size = size
        self._items: deque[T] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self.is_ended = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add an item; after the end it is dropped."""
        if self.is_ended:
            return
        self._items.append(item)
        if self._gate is not None:
            self._gate.put(self._size(item))
        self._notify()

    def put_back(self, items: list[T]) -> None:
        """Return items that were taken, in their order, to be taken again first."""
        self._items.extendleft(reversed(items))
        if self._gate is not None:
            for item in items:
                self._gate.put(self._size(item))

    def end(self, failure: Exception | None = None) -> None:
        """Nothing more will come; what is there can still be taken. Idempotent, the first call counts."""
        if not self.is_ended:
            self.is_ended = True
            self._failure = failure
            self._notify()

    def drop_all(self) -> None:
        """Forget what waits."""
        while self._items:
            self.take_now()

    def take_now(self) -> T:
        """Take an item that is known to be there."""
        item = self._items.popleft()
        if self._gate is not None:
            self._gate.take(self._size(item))
        return item

    async def take(self) -> T | None:
        """Wait for the next item; ``None`` at the end.

        Raises:
            BusyError: another task is waiting here already.
            StalledError: see the gate.
            Exception: the failure that :meth:`end` was given.
        """
        if self._reader is not None:
            raise BusyError("another task is already reading this")
        while not self._items:
            if self._failure is not None:
                raise self._failure
            if self.is_ended:
                return None
            await self._wait()
        return self.take_now()

    async def _wait(self) -> None:
        self._reader = asyncio.get_running_loop().create_future()
        try:
            if self._gate is None:
                await self._reader
            else:
                await self._gate.demand(self._reader)
        finally:
            self._reader = None

    def _notify(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
