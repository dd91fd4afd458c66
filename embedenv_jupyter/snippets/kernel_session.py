"""A Python session in the room's own Jupyter kernel: what a notebook keeps, a session keeps.

A run is a cell. Its streams are the run's, the value of its last expression is
printed as the interactive interpreter prints it, and an error's traceback goes to stderr with
exit code 1. The kernel is interrupted when time is up; one that does not listen is
restarted, and the result says that the state is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal as signals
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from embedenv_jupyter.engine.events import (
    Displayed,
    Outcome,
    Output,
    Prompted,
    Reason,
    SessionState,
    Stage,
    StageBegan,
    StageEnded,
    Stream,
)
from embedenv_jupyter.engine.execution import Control, Execution, RunOptions
from embedenv_jupyter.engine.pace import EventQueue
from embedenv_jupyter.engine.source import Source, write_files
from embedenv_jupyter.errors import EmbedEnvError, RoomClosedError, SessionError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.kernels.link import KernelLink
from embedenv_jupyter.kernels.manager import RoomKernels
from embedenv_jupyter.kernels.messages import Fault, InputRequest
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.protocols.kernels import Message
from embedenv_jupyter.sandbox.spec import ExitStatus

log = logging.getLogger(__name__)

INTERRUPT_S: Final = 2.0
"""How long a cell that was interrupted has to end before its kernel is restarted."""

CALL_OFF_S: Final = (0.1, 0.2, 0.4, 0.6, 0.7)
"""The pauses after each interrupt of a cell that nobody waits for; after them its kernel is restarted."""

END_OF_INPUT: Final = "\x04"
"""What ipykernel takes for the end of the input (``EOFError``)."""

NOTHING: Final = msgspec.Raw(b"null")

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_DIED: Final = re.compile(r"Kernel died \((?P<cause>\w+)")
_REASONS: Final = {"oom": Reason.OOM, "pids": Reason.PIDS, "disk": Reason.DISK}


class KernelSession:
    """One language session, kept by a kernel; see :class:`~.session.LanguageSession`."""

    keeps_state = True

    def __init__(self, kernels: RoomKernels, language: Language, user: str) -> None:
        self.language = language
        self._kernels = kernels
        self._user = user
        self._kernel: Kernel | None = None
        self._link: KernelLink | None = None
        self._running: _Cell | None = None
        self._was_lost = False
        self.is_closed = False

    async def start(self, source: Source, options: RunOptions | None = None) -> Execution:
        """Run source as a cell.

        Raises:
            SessionError: another run has not ended, or the session was closed.
            BusyError: the room has as many kernels as it may.
            SandboxError: the kernel does not start.
        """
        if self.is_closed:
            raise SessionError(f"This session of {self.language.name} was closed.")
        if self._running is not None and not self._running.control.has_ended.is_set():
            raise SessionError(
                f"This session of {self.language.name} has a run that has not ended; wait for it or stop it."
            )
        kernel, link = await self._connected()
        await write_files(self._kernels.room.sandbox, "", source.files)
        cell = self._running = _Cell(kernel, link, restarted=self._was_lost)
        self._was_lost = False
        work = asyncio.create_task(
            self._run(cell, source, options or RunOptions()), name="cell of the engine"
        )
        return Execution(cell.queue, cell.control, work)

    async def _connected(self) -> tuple[Kernel, KernelLink]:
        """Return the kernel, a new one in the place of one that died too often."""
        if self._kernel is not None and self._kernel.state == "dead":
            await self._leave()
            self._was_lost = True
        if self._link is None or self._kernel is None:
            try:
                self._kernel = await self._kernels.start()
                self._link = await KernelLink.join(self._kernel, self._user, COLOUR, is_prepaid=True)
            except BaseException:
                await self._leave()
                raise
        return self._kernel, self._link

    async def _run(self, cell: _Cell, source: Source, options: RunOptions) -> Outcome:
        try:
            outcome = await cell.run(source, options)
        except RoomClosedError as exc:
            outcome = cell.gone(str(exc))
        except BaseException as exc:
            cell.queue.fail(exc)
            cell.over()
            raise
        finally:
            self._was_lost |= cell.is_lost
        if outcome.session is SessionState.LOST:
            self._was_lost = True
        await cell.queue.put(outcome)
        cell.over()
        return outcome

    async def aclose(self) -> None:
        """End the kernel; idempotent."""
        self.is_closed = True
        await self._leave()

    async def hang_up(self) -> None:
        """Read no more of what the kernel says: who reads is waited for when a kernel ends. Idempotent."""
        link, self._link = self._link, None
        if link is not None:
            await link.aclose()

    async def _leave(self) -> None:
        await self.hang_up()
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            with contextlib.suppress(EmbedEnvError):
                await self._kernels.shutdown(kernel.id)


COLOUR: Final = "#0ea5e9"


@dataclass
class _Answer:
    """What has not come yet of the answer to a request."""

    id: str
    missing: set[str] = field(default_factory=lambda: {"execute_reply", "idle"})


class _Cell:
    """One run, from its request to its reply."""

    def __init__(self, kernel: Kernel, link: KernelLink, *, restarted: bool) -> None:
        self.queue = EventQueue()
        self.control = Control()
        self._kernel = kernel
        self._link = link
        self._restarted = restarted
        self._began_s = time.monotonic()
        self._lines: deque[str] = deque()
        self._partial = ""
        self._is_input_over = False
        self._question: bytes | None = None
        self._error: Fault | None = None
        self._was_signalled = 0
        self._is_late = False
        self.is_lost = False
        self._restarting: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def run(self, source: Source, options: RunOptions) -> Outcome:
        await self.queue.put(StageBegan(Stage.RUN))
        self._connect()
        clock = self._clock(options.timeout_s)
        try:
            await self._prepare(source)
            await self._execute(_request(source.code))
        finally:
            if clock is not None:
                clock.cancel()
            if self._ending is not None:
                self._ending.cancel()
                await asyncio.gather(self._ending, return_exceptions=True)
            if self._restarting is not None:
                fault = (await asyncio.gather(self._restarting, return_exceptions=True))[0]
                if fault is not None:
                    log.warning("the kernel of a session was not restarted: %s", fault)
        return await self._outcome(options)

    async def _prepare(self, source: Source) -> None:
        """Give arguments and variables to the session, silently, as a program would find them."""
        if not (source.arguments or source.env):
            return
        words, variables = json.dumps(list(source.arguments)), json.dumps(dict(source.env))
        code = f"import os, sys\nsys.argv[1:] = {words}\nos.environ.update({variables})\ndel os, sys"
        await self._execute({**_request(code), "silent": True})

    async def _execute(self, content: dict[str, Any]) -> None:
        """Have code run to its end, or end it when cancelled."""
        request = messages.make("shell", "execute_request", content)
        answer = _Answer(messages.id_of(request.parts))
        sending = asyncio.create_task(self._link.send(request), name="request of a cell")
        try:
            await asyncio.shield(sending)
            await self._follow(answer)
        except asyncio.CancelledError:
            await self._call_off(answer, sending)
            raise

    # What the kernel says.

    async def _follow(self, answer: _Answer) -> None:
        """Pass on what answers a request, until it is answered and the kernel idle again."""
        while answer.missing:
            message = await self._link.receive()
            if messages.parent_id(message.parts) != answer.id:
                continue
            kind, parts = messages.kind_of(message.parts), message.parts
            if kind == "status" and messages.state_of(parts) == "idle":
                answer.missing.discard("idle")
            elif kind == "execute_reply":
                answer.missing.discard(kind)
                if messages.status_of(parts).status != "ok":
                    self._error = self._error or messages.fault_of(parts) or Fault()
            await self._take(kind, message)

    async def _take(self, kind: str, message: Message) -> None:
        parts = message.parts
        match kind:
            case "stream":
                said = messages.stream_of(parts)
                await self._say(Stream.STDERR if said.name == "stderr" else Stream.STDOUT, said.text)
            case "execute_result" | "display_data":
                await self._show(kind, message)
            case "error":
                fault = messages.fault_of(parts)
                if fault is None:
                    await self._say(Stream.STDERR, messages.left_out(parts, kind))
                else:
                    trace = "\n".join(fault.traceback or [fault.evalue])
                    await self._say(Stream.STDERR, _ESCAPES.sub("", trace) + "\n")
                self._error = fault or Fault()
            case "input_request":
                await self._ask(parts[0], messages.input_request(parts))

    async def _say(self, stream: Stream, text: str) -> None:
        data = text.encode("utf-8", "replace")
        for start in range(0, len(data), PIECE_BYTES):
            await self.queue.put(Output(Stage.RUN, stream, data[start : start + PIECE_BYTES]))

    async def _show(self, kind: str, message: Message) -> None:
        """Show something: its text is printed, as without a notebook, and all of it is told beside that."""
        shown = messages.shown_of(message.parts)
        if shown is None:
            await self._say(Stream.STDERR, messages.left_out(message.parts, kind))
            return
        if len(shown) > 1:
            await self.queue.put(Displayed(Stage.RUN, shown, message.size_bytes))
        if text := messages.text_of(shown.get("text/plain", NOTHING)):
            await self._say(Stream.STDOUT, f"{text}\n")

    # Input.

    async def _ask(self, header: bytes, asked: InputRequest) -> None:
        self._question = header
        await self._say(Stream.STDOUT, asked.prompt)
        if not self._has_input:
            await self.queue.put(Prompted(Stage.RUN, asked.prompt, asked.password))
        await self._answer()

    @property
    def _has_input(self) -> bool:
        return bool(self._lines) or self._is_input_over

    async def _answer(self) -> None:
        """Answer a question that waits, if there is a line, or no more input."""
        if self._question is None or not self._has_input:
            return
        header, self._question = self._question, None
        if self._lines:
            line = self._lines.popleft()
        else:
            line, self._partial = (self._partial or END_OF_INPUT), ""
        await self._link.send(messages.make("stdin", "input_reply", {"value": line}, parent=header))

    async def _write(self, data: bytes) -> None:
        if self._is_input_over:
            raise BrokenPipeError("the input was closed")
        *lines, self._partial = (self._partial + data.decode("utf-8", "replace")).split("\n")
        self._lines.extend(lines)
        await self._answer()

    async def _close_input(self) -> None:
        self._is_input_over = True
        await self._answer()

    # Ends.

    def _connect(self) -> None:
        control = self.control
        control.write, control.close, control.signal = self._write, self._close_input, self._signal
        control.takes_input.set()

    async def _signal(self, number: int) -> None:
        self._was_signalled = number
        if number == signals.SIGINT:
            await self._kernel.interrupt()
        elif number in (signals.SIGTERM, signals.SIGKILL, signals.SIGQUIT, signals.SIGHUP):
            await self._restart()

    async def _call_off(self, answer: _Answer, sending: asyncio.Task[None]) -> None:
        """End a cell that nobody waits for any more, so that the next one has not to wait for it."""
        ended = asyncio.create_task(
            self._has_ended(answer, sending), name="end of a cell that was called off"
        )
        try:
            for pause_s in CALL_OFF_S:  # it may not have begun, or catch one
                await self._kernel.interrupt()
                if (await asyncio.wait({ended}, timeout=pause_s))[0]:
                    return
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
        await self._restart()

    async def _has_ended(self, answer: _Answer, sending: asyncio.Task[None]) -> None:
        await sending
        await self._follow(answer)

    async def _restart(self) -> None:
        """Restart the kernel; once, and to the end, though the cell is answered before that."""
        self.is_lost = True
        if self._restarting is None:
            self._restarting = asyncio.create_task(self._kernel.restart(), name="restart of a kernel")
        await asyncio.wait({self._restarting})

    def _clock(self, timeout_s: float | None) -> asyncio.TimerHandle | None:
        """Set when time is up; there is a task only then, as most cells end before."""
        if timeout_s is None:
            return None
        return asyncio.get_running_loop().call_later(timeout_s, self._time_is_up)

    def _time_is_up(self) -> None:
        self._is_late = True
        self._ending = asyncio.create_task(self._end(), name="end of a cell that is late")

    async def _end(self) -> None:
        for _ in range(2):  # a cell may catch the first one
            await self._kernel.interrupt()
            await asyncio.sleep(INTERRUPT_S / 2)
        await self._restart()

    async def _outcome(self, options: RunOptions) -> Outcome:
        error = self._error
        died = _DIED.match(error.ename) if error is not None else None
        if died is not None:
            self.is_lost = True
        exit, reason, detail = ExitStatus(code=0 if error is None else 1), Reason.EXIT, ""
        if self._is_late:
            exit, reason = ExitStatus(signal=signals.SIGINT), Reason.TIME
            detail = f"Time is up after {options.timeout_s:g} s."
        elif died is not None:
            reason = _REASONS.get(died["cause"], Reason.SIGNAL)
            exit, detail = ExitStatus(signal=signals.SIGKILL), error.evalue if error is not None else ""
        elif self._was_signalled and error is not None:
            exit = ExitStatus(signal=self._was_signalled)
            reason = Reason.STOPPED if self.control.is_stopped else Reason.SIGNAL
        await self.queue.put(StageEnded(Stage.RUN, exit, self._wall_ms, None))
        state = SessionState.LOST if self.is_lost else SessionState.KEPT
        return Outcome(
            Stage.RUN,
            exit,
            reason,
            self._wall_ms,
            None,
            None,
            detail,
            session=state,
            restarted=self._restarted,
        )

    def gone(self, detail: str) -> Outcome:
        """The room has ended first."""
        return Outcome(
            Stage.RUN, ExitStatus(signal=signals.SIGKILL), Reason.GONE, self._wall_ms, None, None, detail,
            session=SessionState.LOST, restarted=self._restarted,
        )  # fmt: skip

    @property
    def _wall_ms(self) -> float:
        return (time.monotonic() - self._began_s) * 1000

    def over(self) -> None:
        """Take the cell out of reach."""
        control = self.control
        control.write = control.close = control.signal = None
        control.takes_input.set()
        control.has_ended.set()


PIECE_BYTES: Final = 64 << 10


def _request(code: str) -> dict[str, Any]:
    return {
        "code": code, "silent": False, "store_history": True, "user_expressions": {},
        "allow_stdin": True, "stop_on_error": False,
    }  # fmt: skip
