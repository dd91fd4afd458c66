"""The dialect of servers that know our additions: every answer carries its command's id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from embedenv_jupyter.client import commands
from embedenv_jupyter.client.commands import Fields
from embedenv_jupyter.client.dialect import Publish
from embedenv_jupyter.client.events import Gap, Notice, RoomEvent
from embedenv_jupyter.client.exchange import Answer, Exchange, Start, Stream, answered_within, taken_as_input
from embedenv_jupyter.client.flow import Gate
from embedenv_jupyter.client.frames import (
    Error,
    Happening,
    Init,
    Join,
    LogGap,
    Message,
    ServerFrame,
    TerminalData,
    TerminalNewline,
)
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.client.run import Run
from embedenv_jupyter.client.runs import Runs
from embedenv_jupyter.client.session import Pending, Session
from embedenv_jupyter.errors import BusyError

T = TypeVar("T")


class Numbered:
    """See :class:`~embedenv_jupyter.client.dialect.Dialect` for what each method is for.

    ``answer_s`` bounds the wait for answers that the server gives by itself;
    those that depend on a program (output, curl) are bounded by the heartbeat
    only, because a program may be silent as long as it likes.
    """

    is_plain = False

    def __init__(
        self, session: Session, gate: Gate, wake: Callable[[], None], publish: Publish, answer_s: float
    ) -> None:
        self._session = session
        self._gate = gate
        self._wake = wake
        self._publish = publish
        self._answer_s = answer_s
        self._exchanges: dict[str, Exchange] = {}
        self._starting = asyncio.Lock()
        self._start: Start | None = None
        self._runs = Runs(lambda command, user: Run(self, gate, command, user))

    # Commands

    async def tell(self, fields: Fields) -> None:
        await self.ask(fields)

    async def deploy(self, fields: Fields) -> None:
        await self.ask(fields)

    async def ask(self, fields: Fields, action: str = "") -> ServerFrame:
        answer = Answer()
        with self._exchange(fields, answer):
            return await self._wait(answer.future)

    async def read(self, fields: Fields) -> AsyncGenerator[bytes, None]:
        stream = Stream(self._gate, is_base64=True)
        with self._exchange(fields, stream):
            while (piece := await stream.pieces.take()) is not None:
                assert isinstance(piece, bytes)
                yield piece

    async def curl(self, fields: Fields) -> AsyncGenerator[str, None]:
        stream = Stream(self._gate)
        with self._exchange(fields, stream):
            while (piece := await stream.pieces.take()) is not None:
                assert isinstance(piece, str)
                yield piece

    async def start(self, command: str) -> Run:
        # One after the other: a second line would be input to the first one's program.
        async with self._starting:
            if self._runs.foreground is not None:
                raise BusyError(f"The run {self._runs.foreground} is still going; a room has one at a time.")
            self._start = start = Start(command, self._runs.claim)
            self._runs.expect()
            try:
                with self._exchange(commands.shell(command), start):
                    return await self._wait(start.future)
            except TimeoutError:
                if start.is_taken:
                    raise taken_as_input() from None
                raise
            finally:
                self._start = None
                self._runs.expected()

    async def send_input(self, run: Run, text: str) -> None:
        await self._to_run(run, commands.stdin(text))

    async def send_eof(self, run: Run) -> None:
        await self._to_run(run, commands.eof())

    async def send_signal(self, run: Run, name: str) -> None:
        await self._to_run(run, commands.signal(name))

    async def interrupt(self, run: Run) -> None:
        await self._to_run(run, commands.shell(commands.INTERRUPT))

    def watch(self) -> Mailbox[Run]:
        return self._runs.watch()

    def unwatch(self, box: Mailbox[Run]) -> None:
        self._runs.unwatch(box)

    async def _to_run(self, run: Run, fields: Fields) -> None:
        if not run.is_running:
            raise BusyError(f"{run.command!r} is not running any more.")
        # The number lets a server refuse what would otherwise reach the program that came after.
        await self.ask({**fields, "run": run.number})

    async def _wait(self, future: asyncio.Future[T]) -> T:
        async with answered_within(self._answer_s):
            return await self._gate.demand(future)

    def _settle(self, id_: str) -> None:
        self._session.settle(id_)
        self._wake()

    @contextmanager
    def _exchange(self, fields: Fields, exchange: Exchange) -> Iterator[None]:
        """Submit a command; on leaving, however that happens, nothing is kept of it."""
        pending = self._session.submit(fields)
        self._exchanges[pending.id] = exchange
        self._wake()
        try:
            yield
        finally:
            del self._exchanges[pending.id]
            self._settle(pending.id)
            exchange.dismissed()

    # Reports

    def received(self, frame: ServerFrame | Gap) -> None:
        match frame:
            case TerminalData(id=None) | TerminalNewline(id=None):
                self._runs.receive(frame)
                if self._start is not None and frame.run is not None:
                    self._start.run_printed(frame.run)
                return
            case Gap():
                self._runs.lost(frame)
                if self._start is not None:
                    self._start.lost(frame)
                self._publish(frame)
                return
            case Init() | Join() | LogGap():
                return
            case Happening(event=name, n=n, run=run, details=details):
                self._publish(RoomEvent(name, n, run, details))
        self._runs.receive(frame)
        match frame:
            case Happening(event="run", run=number, details=details) if number is not None and self._start:
                self._start.run_started(number, str(details.get("command", "")))
        if frame.id is not None:
            exchange = self._exchanges.get(frame.id)
            if exchange is not None and exchange.receive(frame):
                self._settle(frame.id)
        elif isinstance(frame, Message | Error):
            self._publish(Notice(frame.message, isinstance(frame, Error)))

    def written(self, pending: Pending) -> None:
        """Only the answer counts here."""

    def lost(self, failed: list[str], reason: str) -> None:
        for id_, exchange in list(self._exchanges.items()):
            if id_ in failed:
                exchange.failed(RefusedError(f"Over this command the connection ended: {reason}."))
            else:
                exchange.restarted()

    def closed(self, failure: Exception) -> None:
        for exchange in list(self._exchanges.values()):
            exchange.failed(failure)
        self._runs.failed(failure)
