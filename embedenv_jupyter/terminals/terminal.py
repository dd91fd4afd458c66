"""One terminal of a room: a login shell on a terminal that the supervisor opened, and who is at it.

A terminal owns two tasks. The pump is the only reader of the shell's output: it
puts it into the past, from which each client reads at its own pace. The other one
waits for the end of the shell.

The pace. A program is held while even the fastest client is ``AHEAD_BYTES`` behind,
and by ``RATE_BYTES_S`` in any case: what a browser cannot draw, it would only hoard.
With nobody there the output goes on and the past keeps the end of it. A client that
is so slow that the past has lost what comes next for it is told how much.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import signal
import time
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

from terminado.management import PtyWithClients

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import RoomClosedError, SandboxError
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.terminals.past import Past
from embedenv_jupyter.terminals.sequences import RESET, is_automatic, without_questions
from embedenv_jupyter.terminals.typing import Typing

READ_BYTES = 64 << 10
AHEAD_BYTES = 256 << 10
RATE_BYTES_S = 4 << 20
BURST_BYTES = 1 << 20
LAST_BYTES = 1 << 20
"""What is read at most after the shell's end of what programs that it left behind still write."""
SMALLEST = (2, 20)
"""Rows and columns below which one client's window does not make everybody's terminal."""
STOP_STEPS = ((signal.SIGHUP, 0.25), (signal.SIGTERM, 0.5), (signal.SIGKILL, 5.0))
"""How the programs of a terminal are ended that somebody closes, and how long each step may take."""

_NOTICE = "\x1b[0m\r\n\x1b[7m {} \x1b[0m\r\n"
READ_ONLY = _NOTICE.format("You came in to look: the role `view` does not type into terminals.")
SKIPPED = _NOTICE.format("{} bytes are left out here: this connection is slower than the terminal.")


class TerminalClient:
    """One connection to a terminal: who, how far it was shown everything, and how much it can show."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.position = 0
        self.news = asyncio.Event()
        self.window: tuple[int, int] | None = None
        self.was_told = False
        """Whether it knows that it may not type."""
        self.needs_redraw = False

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Rows and columns as terminado asks for them; who may only look makes no terminal smaller."""
        if self.window is None or self.member.role < Role.RUN:
            return None, None
        return max(self.window[0], SMALLEST[0]), max(self.window[1], SMALLEST[1])


class _Window:
    """What terminado knows of a process on a terminal when it decides on the size."""

    def __init__(self, process: Process, size: tuple[int, int]) -> None:
        self._process = process
        self._size = size

    def getwinsize(self) -> tuple[int, int]:
        return self._size

    def setwinsize(self, rows: int, columns: int) -> None:
        self._process.resize(rows, columns)
        self._size = rows, columns


class Terminal(PtyWithClients):
    """A terminal that several clients share; terminado's, with a supervisor's terminal for its own."""

    clients: list[TerminalClient]
    term_name: str

    def __init__(
        self, process: Process, size: tuple[int, int], *, on_change: Callable[[Terminal], None]
    ) -> None:
        # Terminado's own would start a process here; everything that it sets is set below.
        self.clients = []
        self.ptyproc: Any = _Window(process, size)
        self.last_activity = datetime.now(UTC)
        self.typist: Member | None = None
        """Who typed last."""
        self.ended = asyncio.Event()
        self._process = process
        self._on_change = on_change
        self._typing = Typing(process)
        self._past = Past()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._progress = asyncio.Event()
        self._ahead_s = 0.0
        self._left_bytes = LAST_BYTES
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self) -> None:
        """Begin to read."""
        self._tasks = (
            asyncio.create_task(self._pump(), name=f"pump of terminal {self.term_name}"),
            asyncio.create_task(self._watch_exit(), name=f"exit of terminal {self.term_name}"),
        )

    # Who is there.

    def attach(self, member: Member) -> TerminalClient:
        """Let one more connection in.

        Raises:
            RoomClosedError: the terminal has ended.
        """
        if self.ended.is_set():
            raise RoomClosedError(f"terminal {self.term_name} has ended")
        client = TerminalClient(member)
        client.needs_redraw = self._past.start > 0
        self.clients.append(client)
        self._on_change(self)
        return client

    def detach(self, client: TerminalClient, *, drop_input: bool = False) -> None:
        """Note that a connection has gone; idempotent."""
        if client not in self.clients:
            return
        self.clients.remove(client)
        self._typing.leave(client, drop=drop_input)
        self._progress.set()
        if not self.ended.is_set():
            self.resize_to_smallest()
        self._on_change(self)

    async def resized(self, client: TerminalClient, rows: int, columns: int) -> None:
        """Note how much a client can show; the smallest of all counts. 0 is a window that is not shown."""
        client.window = (rows, columns) if rows and columns else None
        self.resize_to_smallest()
        if client.needs_redraw:  # of what a program has drawn, the beginning was not shown to this client
            client.needs_redraw = False
            with contextlib.suppress(ProcessLookupError, SandboxError):
                await self._process.signal(signal.SIGWINCH, "foreground")

    # What they type.

    async def type(self, client: TerminalClient, text: str) -> str:
        """Type, in turn with everybody else; return what the client is to be told, mostly nothing."""
        if client.member.role >= Role.RUN:
            self.last_activity = datetime.now(UTC)
            if client.member is not self.typist and not is_automatic(text):
                self.typist = client.member
                self._on_change(self)
            await self._typing.type(client, text.encode("utf-8", "replace"))
            return ""
        if client.was_told or is_automatic(text):
            return ""
        client.was_told = True
        return READ_ONLY

    # What they see.

    async def output(self, client: TerminalClient) -> AsyncGenerator[str, None]:
        """Yield what the terminal shows: its past first, the rest as it comes, until its end."""
        if again := self._shown_again(client):
            yield again
            self._progress.set()
        while True:
            piece = self._past.read(client.position, READ_BYTES)
            if piece is not None:
                yield (SKIPPED.format(piece.skipped) if piece.skipped else "") + piece.data.decode()
                client.position = piece.position
                self._progress.set()
            elif self.ended.is_set():
                return
            else:
                client.news.clear()
                await client.news.wait()

    def _shown_again(self, client: TerminalClient) -> str:
        """Return the past for somebody who comes, or comes back, to an emulator that may have shown it."""
        piece = self._past.read(client.position, self._past.end)
        if piece is None:
            return ""
        client.position = piece.position
        return RESET + without_questions(piece.data.decode())

    # What the program does.

    async def _watch_exit(self) -> None:
        with contextlib.suppress(SandboxError):
            await self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.wake()

    async def _pump(self) -> None:
        source = self._process.stdout
        assert source is not None
        try:
            while data := await self._next():
                self._show(self._decoder.decode(data))
                await asyncio.sleep(self._wait_s(len(data)))
                await self._someone_reads()
            self._show(self._decoder.decode(b"", final=True))
        finally:
            await self._end()

    async def _next(self) -> bytes:
        """Return the next output, ``b""`` after the last; what outlives the shell is not waited for."""
        source, exit = self._process.stdout, self._tasks[1]
        assert source is not None
        while (data := source.read_now(READ_BYTES)) is None:
            if exit.done():
                return b""
            await source.readable()
        if exit.done():
            self._left_bytes -= len(data)
        return data if self._left_bytes > 0 else b""

    def _show(self, text: str) -> None:
        self._past.append(text.encode())
        self.last_activity = datetime.now(UTC)
        self._ring()

    def _ring(self) -> None:
        for client in self.clients:
            client.news.set()

    def _wait_s(self, size_bytes: int) -> float:
        """Return how long to wait after so many bytes, to stay within the rate after a burst."""
        now_s = time.monotonic()
        self._ahead_s = max(self._ahead_s, now_s) + size_bytes / RATE_BYTES_S
        return max(0.0, self._ahead_s - now_s - BURST_BYTES / RATE_BYTES_S)

    async def _someone_reads(self) -> None:
        """Wait while even the fastest client is far behind."""
        while self.clients and self._past.end - max(c.position for c in self.clients) > AHEAD_BYTES:
            self._progress.clear()
            await self._progress.wait()

    # The end.

    async def stop(self) -> None:
        """End the programs of this terminal, step by step, and wait for it; idempotent."""
        for signum, patience_s in STOP_STEPS:
            with contextlib.suppress(ProcessLookupError, SandboxError):
                await self._process.signal(signum, "session")
            with contextlib.suppress(TimeoutError):
                async with deadline(patience_s):
                    await self.ended.wait()
            if self.ended.is_set():
                return
        await self.aclose()

    async def aclose(self) -> None:
        """Read no more; clients are shown what was read, and the end. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end()

    async def _end(self) -> None:
        if self.ended.is_set():
            return
        self.ended.set()
        self._ring()
        self._on_change(self)
        await self._typing.aclose()
        self._process.close()
