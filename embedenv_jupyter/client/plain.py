"""The dialect of servers that speak only the published frames.

Nothing carries an id, so answers are matched by kind and order, and one of each
kind may be under way. Nothing says how a program ended. An error frame belongs
to whatever of this client could have caused it and has no answer yet; if there is
nothing, it becomes a :class:`~embedenv_jupyter.client.events.Notice`.

Lines. The published examples end most lines with a newline frame but leave it
out for ``ls -la``, where each data frame is a line of its own. So a data frame
that follows another without a newline frame between begins a new line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from embedenv_jupyter.client import commands
from embedenv_jupyter.client.commands import Fields
from embedenv_jupyter.client.dialect import Publish
from embedenv_jupyter.client.events import Gap, Notice, RoomEvent
from embedenv_jupyter.client.exchange import Answer, Stream, answered_within
from embedenv_jupyter.client.flow import Gate
from embedenv_jupyter.client.frames import (
    Chunk,
    End,
    Error,
    Happening,
    Message,
    ServerFrame,
    TerminalData,
    TerminalEnd,
    TerminalNewline,
)
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.client.refusal import PlainServerError, RefusedError
from embedenv_jupyter.client.run import ExitStatus, Run
from embedenv_jupyter.client.session import Pending, Session
from embedenv_jupyter.errors import BusyError, ConnectionLostError

SETTLE_S = 1.0
"""After an error the end frame of what failed may still come; the next command waits so long for it."""


class Plain:
    """See :class:`~embedenv_jupyter.client.dialect.Dialect` for what each method is for."""

    is_plain = True

    def __init__(
        self, session: Session, gate: Gate, wake: Callable[[], None], publish: Publish, answer_s: float
    ) -> None:
        self._session = session
        self._gate = gate
        self._wake = wake
        self._publish = publish
        self._answer_s = answer_s
        self._writes: dict[str, asyncio.Future[None]] = {}
        self._deploying = asyncio.Lock()
        self._fetching = asyncio.Lock()
        self._deployment: Answer | None = None
        self._stream: Stream | None = None
        self._run: Run | None = None
        self._has_output = False
        self._is_in_line = False
        self._awaited_end: asyncio.Future[None] | None = None

    # Commands

    async def tell(self, fields: Fields) -> None:
        """Returns when the frame is on its way; whether it was refused, no published frame says."""
        pending = self._session.submit(fields)
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writes[pending.id] = sent
        self._wake()
        try:
            async with answered_within(self._answer_s):
                await sent
        finally:
            del self._writes[pending.id]
            self._session.settle(pending.id)

    async def deploy(self, fields: Fields) -> None:
        async with self._deploying:
            self._deployment = answer = Answer()
            try:
                await self.tell(fields)
                async with answered_within(self._answer_s):
                    await self._gate.demand(answer.future)
            finally:
                self._deployment = None
                answer.dismissed()

    async def ask(self, fields: Fields, action: str) -> ServerFrame:
        raise PlainServerError(action)

    async def read(self, fields: Fields) -> AsyncGenerator[bytes, None]:
        raise PlainServerError("read files")
        yield b""  # makes this a generator

    async def curl(self, fields: Fields) -> AsyncGenerator[str, None]:
        async with self._fetching:
            await self._quiet()
            self._stream = stream = Stream(self._gate)
            try:
                await self.tell(fields)
                while (piece := await stream.pieces.take()) is not None:
                    assert isinstance(piece, str)
                    yield piece
            finally:
                self._stream = None
                if not stream.pieces.is_ended:
                    # The caller left early: what is still to come must not pass for the next answer.
                    self._awaited_end = asyncio.get_running_loop().create_future()
                stream.dismissed()

    async def start(self, command: str) -> Run:
        if self._run is not None and self._run.is_running:
            raise BusyError(f"{self._run.command!r} is still running; a room has one program at a time.")
        await self._quiet()
        self._run = run = Run(self, self._gate, command)
        self._has_output = self._is_in_line = False
        try:
            await self.tell(commands.shell(command))
        except BaseException:
            self._run = None
            raise
        return run

    async def send_input(self, run: Run, text: str) -> None:
        self._require_running(run)
        if not text.endswith("\n"):
            raise PlainServerError("send input without a line end")
        for line in text[:-1].split("\n"):
            if line == commands.INTERRUPT:
                raise PlainServerError(f"send {line!r} as input: it is the interrupt")
            await self.tell(commands.shell(line))

    async def send_eof(self, run: Run) -> None:
        raise PlainServerError("close the input of a program")

    async def send_signal(self, run: Run, name: str) -> None:
        if name.upper().removeprefix("SIG") != "INT":
            raise PlainServerError(f"send the signal {name}")
        await self.interrupt(run)

    async def interrupt(self, run: Run) -> None:
        self._require_running(run)
        await self.tell(commands.shell(commands.INTERRUPT))

    def watch(self) -> Mailbox[Run]:
        raise PlainServerError("tell the runs of other members apart")

    def unwatch(self, box: Mailbox[Run]) -> None:
        """There is none."""

    def _require_running(self, run: Run) -> None:
        if not run.is_running:
            raise BusyError(f"{run.command!r} is not running any more.")

    async def _quiet(self) -> None:
        """Wait for the end frame that is still due, though not for long."""
        if self._awaited_end is not None:
            await asyncio.wait([self._awaited_end], timeout=SETTLE_S)
            self._awaited_end = None

    # Reports

    def received(self, frame: ServerFrame | Gap) -> None:
        match frame:
            case TerminalData() | TerminalNewline() | TerminalEnd():
                self._terminal(frame)
            case Chunk() | End():
                self._chunk(frame)
            case Message(message=message):
                if self._deployment is not None:
                    self._deployment.receive(frame)
                else:
                    self._publish(Notice(message))
            case Error():
                self._refused(frame)
            case Happening(event=name, details=details):
                self._publish(RoomEvent(name, details=details))

    def _terminal(self, frame: TerminalData | TerminalNewline | TerminalEnd) -> None:
        run = self._run
        if run is None or not run.is_running:
            if isinstance(frame, TerminalEnd):
                self._settled()
            return
        match frame:
            case TerminalData(data=data):
                if self._is_in_line:
                    run.output("\n")
                run.output(data)
                self._is_in_line = self._has_output = True
            case TerminalNewline():
                run.output("\n")
                self._is_in_line = False
            case TerminalEnd():
                run.ended(ExitStatus())

    def _chunk(self, frame: Chunk | End) -> None:
        if self._stream is not None:
            self._stream.receive(frame)
        if isinstance(frame, End):
            self._settled()

    def _settled(self) -> None:
        if self._awaited_end is not None and not self._awaited_end.done():
            self._awaited_end.set_result(None)

    def _refused(self, error: Error) -> None:
        refusal = RefusedError(error.message, error.code)
        if self._deployment is not None:
            self._deployment.failed(refusal)
        elif self._stream is not None:
            self._awaited_end = asyncio.get_running_loop().create_future()
            self._stream.failed(refusal)
        elif self._run is not None and self._run.is_running and not self._has_output:
            self._awaited_end = asyncio.get_running_loop().create_future()
            self._run.failed(refusal)
        else:
            self._publish(Notice(error.message, is_error=True))

    def written(self, pending: Pending) -> None:
        self._session.settle(pending.id)
        sent = self._writes.get(pending.id)
        if sent is not None and not sent.done():
            sent.set_result(None)

    def lost(self, failed: list[str], reason: str) -> None:
        loss = ConnectionLostError(f"{reason}, and this server cannot resume")
        for id_ in failed:
            if id_ in self._writes and not self._writes[id_].done():
                self._writes[id_].set_exception(loss)
        self._fail_all(loss)
        self._publish(Gap(0, 0, None, is_reported=False))

    def closed(self, failure: Exception) -> None:
        for sent in self._writes.values():
            if not sent.done():
                sent.set_exception(failure)
        self._fail_all(failure)

    def _fail_all(self, failure: Exception) -> None:
        if self._deployment is not None:
            self._deployment.failed(failure)
        if self._stream is not None:
            self._stream.failed(failure)
        if self._run is not None:
            self._run.failed(failure)
