"""One run of the engine: its events as they happen, its input and signals, and its answer."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from embedenv_jupyter.client.answer import Answer, Collector
from embedenv_jupyter.client.engine_faults import fault_of
from embedenv_jupyter.client.flow import PIECE_OVERHEAD_BYTES, Gate
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.errors import BusyError
from embedenv_jupyter.protocols.engine import frames


class Control(Protocol):
    """What a run needs from its engine."""

    async def tell(self, frame: frames.Input) -> None:
        """Send an input, and wait for its receipt."""

    def withdraw(self, run: EngineRun) -> None:
        """Nobody wants the run any more."""


class EngineRun:
    """A running (or ended) piece of code.

    ``async for event in run`` yields the frames of :mod:`embedenv_jupyter.protocols.engine.frames` as
    they come: ``Accepted``, ``Stage``, ``Stdout``, ``Stderr``, ``Prompt``, ``Display``, ``Warned``,
    ``Gap``, and ``Result`` as the last one. It can be left and taken up again. One task at a time
    may read. What the gateway refuses is raised by whatever reads: see ``engine_faults``.
    """

    def __init__(self, control: Control, gate: Gate, id: str, language: str) -> None:
        self.id = id
        self.language = language
        self._control = control
        self._gate = gate
        self._events: Mailbox[frames.StreamFrame] = Mailbox(gate, size_of_frame)
        self._has_begun = False
        self._waiters: set[asyncio.Future[None]] = set()
        self._is_discarded = False
        self._result: frames.Result | None = None
        self._failure: Exception | None = None

    def __repr__(self) -> str:
        end = f"exit code {self._result.exit_code}" if self._result else type(self._failure).__name__
        return f"<EngineRun {self.id} of {self.language} {'running' if self.is_running else end}>"

    @property
    def is_running(self) -> bool:
        """Whether its end is not known yet; it may also wait for its turn."""
        return self._result is None and self._failure is None

    # What the engine reports

    def told(self, frame: frames.StreamFrame) -> None:
        """A frame came."""
        if isinstance(frame, frames.Error):
            self.failed(fault_of(frame))
            return
        if not isinstance(frame, frames.Gap):
            self._has_begun = True
            self._wake_waiters()
        is_last = isinstance(frame, frames.Result)
        if not self._is_discarded or is_last:
            self._events.put(frame)
        if isinstance(frame, frames.Result):
            self._result = frame
            self._events.end()

    def failed(self, failure: Exception) -> None:
        """Nothing more will come; what came before can still be read. Idempotent, the first call counts."""
        if self.is_running:
            self._failure = failure
            self._events.end(failure)
            self._wake_waiters()

    # What a program does with it

    def __aiter__(self) -> EngineRun:
        return self

    async def __anext__(self) -> frames.StreamFrame:
        event = await self._events.take()
        if event is None:
            raise StopAsyncIteration
        return event

    async def result(self) -> Answer:
        """Wait for the end; the answer has the output that was not read yet.

        Raises:
            EmbedEnvError: the run was refused, or nothing more can be heard of it.
        """
        collector = Collector()
        async for event in self:
            collector.take(event)
        assert self._result is not None, "events that end without a failure end with a result"
        return collector.answer(self._result)

    async def stdin(self, text: str) -> None:
        """Give input as it stands here; the answer to a prompt ends with a newline.

        Waits until the run has begun, and then until the gateway has taken the input.

        Raises:
            BusyError: the run takes no input any more, or has too much of it waiting.
            ConnectionLostError: a cut came between: nobody knows whether the program got it.
            TimeoutError: no receipt came.
        """
        await self._starting()
        for start in range(0, len(text), frames.MAX_TEXT_CHARS):
            await self._tell(frames.Stdin(id=self.id, data=text[start : start + frames.MAX_TEXT_CHARS]))

    async def eof(self) -> None:
        """End its input. Raises what :meth:`stdin` does."""
        await self._starting()
        await self._tell(frames.Eof(id=self.id))

    async def signal(self, name: str | int = "INT") -> None:
        """Send a signal; a run whose turn has not come is called off. Raises what :meth:`stdin` does."""
        await self._tell(frames.Signal(id=self.id, signal=name))

    async def resize(self, rows: int, cols: int) -> None:
        """Tell a run with ``pty`` the size of its terminal. Raises what :meth:`stdin` does."""
        await self._starting()
        await self._tell(frames.Resize(id=self.id, rows=rows, cols=cols))

    def discard(self) -> None:
        """Drop what was not read and what still comes, but for the result; the run goes on."""
        self._is_discarded = True
        ended = self._events.is_ended
        self._events.drop_all()
        if ended and self._result is not None:
            self._events.put_back([self._result])

    def cancel(self) -> None:
        """Drop it: a run that was not sent never is, one that runs is interrupted. Waits for nothing."""
        self.discard()
        self._control.withdraw(self)

    async def _starting(self) -> None:
        """Wait for the first word of the run: before, a gateway could not tell what an input belongs to."""
        if self._has_begun or not self.is_running:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await self._gate.demand(waiter)
        finally:
            self._waiters.discard(waiter)

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _tell(self, frame: frames.Input) -> None:
        if not self.is_running:
            raise BusyError(f"The run {self.id!r} has ended.")
        await self._control.tell(frame)


def size_of_frame(frame: frames.StreamFrame) -> int:
    """Return what a frame counts while it waits to be read, in bytes; close enough for a bound."""
    match frame:
        case frames.Stdout(data=data) | frames.Stderr(data=data):
            return len(data) + PIECE_OVERHEAD_BYTES
        case frames.Display(data=shown):
            return sum(_size(value) for value in shown.values()) + PIECE_OVERHEAD_BYTES
    return PIECE_OVERHEAD_BYTES


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(repr(value))
