"""One run of a shell line, as its program's output, input and end."""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.flow import Gate, size_of
from embedenv_jupyter.client.frames import RunNumber
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.client.refusal import OutputLostError

LINE_LIMIT = 1 << 20
"""A longer line is yielded in parts of about this many characters, so that memory stays bounded."""


@dataclass(frozen=True)
class ExitStatus:
    """How a run ended: a code, or the name of the signal that ended it.

    Both are ``None`` when the server speaks only the published frames, which do
    not say.
    """

    code: int | None = None
    signal: str | None = None

    @classmethod
    def from_wire(cls, code: int | None, signal: str | int | None) -> ExitStatus:
        if isinstance(signal, int):
            try:
                signal = signals.Signals(signal).name
            except ValueError:
                signal = f"SIG{signal}"
        if signal and not signal.startswith("SIG"):
            signal = f"SIG{signal}"
        return cls(code, signal or None)

    @property
    def is_known(self) -> bool:
        return self.code is not None or self.signal is not None

    @property
    def shell_code(self) -> int:
        """What ``$?`` would show; 0 for an end that is not known."""
        if self.signal is not None:
            return 128 + getattr(signals, self.signal, 0)
        return self.code or 0

    def __str__(self) -> str:
        if self.signal is not None:
            return f"signal {self.signal}"
        return f"exit code {self.code}" if self.code is not None else "ended"


class Control(Protocol):
    """What a run needs from its room; see :class:`embedenv_jupyter.client.room.Room`."""

    async def send_input(self, run: Run, text: str) -> None: ...

    async def send_eof(self, run: Run) -> None: ...

    async def send_signal(self, run: Run, name: str) -> None: ...

    async def interrupt(self, run: Run) -> None: ...


class Run:
    """A running (or ended) shell line.

    ``async for line in run`` yields whole lines without their ends; a last line
    without an end is yielded when the program ends. It can be left and taken up
    again. One task at a time may read.
    """

    def __init__(self, control: Control, gate: Gate, command: str, user: str | None = None) -> None:
        self.command = command
        self.user = user
        self.number: RunNumber | None = None
        self.gaps: list[Gap] = []
        self._control = control
        self._gate = gate
        self._pieces: Mailbox[str] = Mailbox(gate, size_of)
        self._partial: list[str] = []
        self._partial_size = 0
        self._status: ExitStatus | None = None
        self._failure: Exception | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        state = "running" if self.is_running else str(self._status or self._failure)
        return f"<Run {self.command[:40]!r} {state}>"

    @property
    def is_running(self) -> bool:
        return self._status is None and self._failure is None

    @property
    def status(self) -> ExitStatus | None:
        """How it ended, or ``None`` while it runs."""
        return self._status

    # What the room reports

    def output(self, piece: str) -> None:
        """A piece of output came; a line end is a piece of its own."""
        if piece:
            self._pieces.put(piece)

    def lost(self, gap: Gap) -> None:
        """A part of the log is gone that may have held some of our output."""
        if gap not in self.gaps:
            self.gaps.append(gap)

    def ended(self, status: ExitStatus) -> None:
        """The program has ended; idempotent, the first report counts."""
        if self.is_running:
            self._status = status
            self._pieces.end()
            self._wake_waiters()

    def failed(self, failure: Exception) -> None:
        """Nothing more will be known of the program; what came before can still be read."""
        if self.is_running:
            self._failure = failure
            self._pieces.end(failure)
            self._wake_waiters()

    # What a program does with it

    async def pieces(self) -> AsyncIterator[str]:
        """Yield the output as it comes: pieces of lines, and for each line end a piece of its own."""
        if self._partial:
            yield self._take_partial()
        while (piece := await self._pieces.take()) is not None:
            yield piece

    async def batches(self) -> AsyncIterator[str]:
        """Yield the output as it comes, whatever has arrived at a time; for who passes much of it on."""
        async for piece in self.pieces():
            arrived = [piece]
            while len(self._pieces):
                arrived.append(self._pieces.take_now())
            yield "".join(arrived)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while (piece := await self._pieces.take()) is not None:
            if piece == "\n":
                return self._take_partial()
            self._partial.append(piece)
            self._partial_size += len(piece)
            if self._partial_size >= LINE_LIMIT:
                return self._take_partial()
        if self._partial:
            return self._take_partial()
        raise StopAsyncIteration

    async def text(self) -> str:
        """Wait for the end and return all output that was not read yet; when cancelled it stays unread.

        Raises:
            OutputLostError: a part of it is gone; the error carries the rest.
        """
        partial = self._take_partial()
        collected = [partial] if partial else []
        try:
            while (piece := await self._pieces.take()) is not None:
                collected.append(piece)
        except BaseException:
            self._pieces.put_back(collected)
            raise
        text = "".join(collected)
        if self.gaps:
            raise OutputLostError(self.command, text, [gap.events for gap in self.gaps])
        return text

    async def wait(self) -> ExitStatus:
        """Wait for the end. Output stays to be read, within the bounds of the room's buffering.

        Raises:
            StalledError: more output came than fits, and nobody reads it.
        """
        while self.is_running:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(changed)
            try:
                await self._gate.demand(changed)
            finally:
                self._waiters.discard(changed)
        if self._failure is not None:
            raise self._failure
        assert self._status is not None
        return self._status

    def discard(self) -> Run:
        """Drop the output, what came and what will come; for programs that only have to run."""
        self._pieces.end()
        self._pieces.drop_all()
        return self

    async def send(self, answer: str, *, end: str = "\n") -> None:
        """Give the program a line of input, or, with ``end=""``, text as it is."""
        await self._control.send_input(self, answer + end)

    async def send_eof(self) -> None:
        """Close the program's input, as Ctrl+D does."""
        await self._control.send_eof(self)

    async def interrupt(self) -> None:
        """Interrupt the program, as Ctrl+C does; again and again if it does not listen."""
        await self._control.interrupt(self)

    async def signal(self, name: str) -> None:
        """Send a signal by its name (``"TERM"``, ``"KILL"``) to the program's process group."""
        await self._control.send_signal(self, name)

    def _take_partial(self) -> str:
        line = "".join(self._partial)
        self._partial.clear()
        self._partial_size = 0
        return line

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
