"""One shell line of a room: its terminal, its output in the log, its end.

A run owns one task, the pump, which is the only reader of its terminal. The
pump reads at the pace that the log takes; a program that outruns the log is
held by its full terminal, not cut.

Partial lines. A line goes to the log when it is complete. When the program goes
quiet in the middle of one, the pump asks the kernel whether it waits for input:
if so, the partial line is a prompt and is sent as a line of its own; if not, it
is sent as it is (a progress display) and the question is asked again later.

Background work. Programs that a shell leaves behind keep the terminal; the pump
goes on reading after the run's end, until the last of them is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import signal
import time
from collections.abc import Callable, Iterator
from signal import Signals
from typing import Protocol

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxError
from embedenv_jupyter.rooms.events import Event, Output, Prompt, RunEnded, StopStep
from embedenv_jupyter.rooms.keyboard import Keyboard
from embedenv_jupyter.rooms.lines import LineBuffer
from embedenv_jupyter.rooms.members import Member
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.spec import ExitStatus

log = logging.getLogger(__name__)

QUIET_STEPS_S = (0.01, 0.04, 0.1, 0.2, 0.4)
"""How long a terminal must be quiet before the pump looks at it, then looks again."""
SHOW_PARTIAL_S = 0.15
GUESS_PROMPT_S = 0.25
"""Where the kernel does not say, silence of this length counts as waiting for input."""
BATCH_BYTES = 64 << 10
BATCH_LINES = 1024
"""Lines in one record of the log: each becomes two frames, so that short ones weigh a hundred times more."""
STOP_STEP_S = 3.0
PRESS_AGAIN_S = (0.3, 10.0)
"""A second Ctrl+C sooner than this is the same one, of two members or of an impatient one; later than
this it has nothing to do with the first."""
LADDER = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class RunState(enum.Enum):
    """``BACKGROUND``: the shell line has ended, and what it left behind still has its terminal."""

    RUNNING = "running"
    BACKGROUND = "background"
    ENDED = "ended"


class Sink(Protocol):
    """Where a run's events go: the log of its room, or what stands in its place."""

    def append(self, event: Event) -> object:
        """Take an event."""

    async def writable(self) -> None:
        """Wait while no more can be taken."""


class Run:
    """One execution in a room. ``ended`` is set when its end is in the log.

    With ``asks_in_silence`` a program is looked at although it has not written the
    beginning of a line: its client can only type when it is asked to.
    """

    def __init__(
        self,
        number: int,
        command: str,
        member: Member,
        process: Process,
        room_log: Sink,
        *,
        cost: int = 0,
        asks_in_silence: bool = False,
        on_change: Callable[[Run], None],
    ) -> None:
        self.id = f"r{number}"
        self.command = command
        self.member = member
        self.cost = cost
        self.started_at = time.time()
        self.state = RunState.RUNNING
        self.status: ExitStatus | None = None
        self.reason = "exit"
        self.ended = asyncio.Event()
        self._process = process
        self._log = room_log
        self._on_change = on_change
        self._lines = LineBuffer()
        self._began_s = time.monotonic()
        self._quiet = 0
        self._quiet_since_s = 0.0
        self._asked = False
        self._asks_in_silence = asks_in_silence
        self._keyboard = Keyboard(process)
        self._step_index = -1
        self._pressed_at_s = 0.0
        self._pump_task = asyncio.create_task(self._pump(), name=f"pump of {self.id}")
        self._exit_task = asyncio.create_task(self._watch_exit(), name=f"exit of {self.id}")

    # What members do to it.

    def send_line(self, text: str) -> None:
        """Give the program one line of input; raises what :meth:`Keyboard.type_line` raises."""
        self._keyboard.type_line(text)
        self._got_input()

    def send(self, data: bytes) -> None:
        """Give the program bytes as they are, in turn with everybody else's."""
        self._keyboard.type(data)
        self._got_input()

    def send_eof(self) -> None:
        """Say that no more input comes (the terminal's EOF character)."""
        self._keyboard.end()
        self._got_input()

    def _got_input(self) -> None:
        self._asked = False
        self._step_index = -1

    async def signal(self, signum: int) -> None:
        """Signal the terminal's foreground group; a run that is over is no error."""
        with contextlib.suppress(ProcessLookupError, SandboxError):
            await self._process.signal(signum, "foreground")

    async def interrupt(self) -> None:
        """Press Ctrl+C: INT; pressed again while the program goes on, TERM, then KILL.

        A program that asked for input since, or got some, has taken the last one for what it was.
        """
        now_s = time.monotonic()
        soon_s, late_s = PRESS_AGAIN_S
        since_s, self._pressed_at_s = now_s - self._pressed_at_s, now_s
        if self._step_index < 0 or since_s > late_s:
            self._step_index = 0
        elif since_s >= soon_s:
            self._step_index = min(self._step_index + 1, len(LADDER) - 1)
        await self._step(LADDER[self._step_index])

    async def stop(self, reason: str = "stopped") -> None:
        """Walk the ladder INT, TERM, KILL until the run has ended; each step is in the log."""
        if self.state is RunState.RUNNING:
            self.reason = reason
        for step in LADDER:
            if self.ended.is_set():
                return
            await self._step(step)
            with contextlib.suppress(TimeoutError):
                async with deadline(STOP_STEP_S):
                    await self.ended.wait()

    async def kill(self) -> None:
        """End all of the run at once, background work included; one that is over is no error."""
        for target in ("group", "session"):
            with contextlib.suppress(ProcessLookupError, SandboxError):
                await self._process.signal(signal.SIGKILL, target)

    async def _step(self, signum: Signals) -> None:
        if self.state is not RunState.RUNNING:
            return
        self._log.append(StopStep(run=self.id, step=signum.name.removeprefix("SIG"), at=time.time()))
        await self.signal(signum)
        if signum != signal.SIGINT:  # INT is for the foreground; the rest is for all of the run
            with contextlib.suppress(ProcessLookupError, SandboxError):
                await self._process.signal(signum, "session")

    # What the program does.

    async def _watch_exit(self) -> None:
        try:
            self.status = await self._process.wait()
        except SandboxError as exc:
            self.reason = getattr(exc, "cause", "gone")
            self.status = ExitStatus(signal=signal.SIGKILL)
        assert self._process.stdout is not None
        self._process.stdout.wake()

    async def _pump(self) -> None:
        source = self._process.stdout
        assert source is not None
        try:
            while (data := self._read_batch()) != b"":
                if data is not None:
                    self._take(data)
                    await self._log.writable()
                    await asyncio.sleep(0)
                elif self.status is not None and self.state is RunState.RUNNING:
                    self._end()
                else:
                    await self._wait_for_output()
            await self._exit_task
        finally:
            self._end()
            self.state = RunState.ENDED
            await self._keyboard.aclose()
            self._process.close()
            self._on_change(self)

    def _read_batch(self) -> bytes | None:
        """Read what is there, up to a batch: ``None`` for nothing yet, ``b""`` for the end."""
        source = self._process.stdout
        assert source is not None
        parts: list[bytes] = []
        size = 0
        while size < BATCH_BYTES and (data := source.read_now(BATCH_BYTES)):
            parts.append(data)
            size += len(data)
        return b"".join(parts) if parts else data

    def _take(self, data: bytes) -> None:
        text = self._lines.feed(data)
        self._quiet = 0
        self._asked = False
        for piece in _records(text):
            self._log.append(Output(run=self.id, text=piece, at=time.time()))
        self._quiet_since_s = time.monotonic()

    async def _wait_for_output(self) -> None:
        """Wait for output or the end; while a partial line is open, look at it now and then."""
        source = self._process.stdout
        assert source is not None
        looks = self._quiet > 0 or self._asks_in_silence
        is_open = bool(self._lines.partial) or (looks and self.state is RunState.RUNNING)
        if not is_open or self._asked:
            await source.readable()
            return
        try:
            async with deadline(QUIET_STEPS_S[min(self._quiet, len(QUIET_STEPS_S) - 1)]):
                await source.readable()
        except TimeoutError:
            await self._went_quiet()

    async def _went_quiet(self) -> None:
        self._quiet += 1
        quiet_s = time.monotonic() - self._quiet_since_s
        awaiting = await self._awaiting_input()
        assert self._process.stdout is not None
        if self._process.stdout.has_some():  # written while we asked: the question itself, perhaps
            return
        if awaiting is None:
            awaiting = quiet_s >= GUESS_PROMPT_S and not (self._asks_in_silence and not self._lines.partial)
        if awaiting:
            self._asked = True
            self._step_index = -1
            text = self._lines.take()
            self._log.append(Output(run=self.id, text=text, prompt=True, at=time.time()))
            self._log.append(Prompt(run=self.id, text=text, at=time.time()))
        elif quiet_s >= SHOW_PARTIAL_S and self._lines.partial:
            self._log.append(Output(run=self.id, text=self._lines.take(), at=time.time()))

    async def _awaiting_input(self) -> bool | None:
        if self.status is not None:
            return False
        try:
            return await self._process.awaiting_input()
        except SandboxError:  # it is frozen, or dying; the output goes on or ends all the same
            return None

    def _end(self) -> None:
        """Put what is left of the output into the log, and the end of the run, once."""
        if rest := self._lines.finish():
            self._log.append(Output(run=self.id, text=rest, at=time.time()))
        if self.ended.is_set():
            return
        status = self.status or ExitStatus(signal=signal.SIGKILL)
        self.state = RunState.BACKGROUND
        self._log.append(
            RunEnded(
                run=self.id,
                code=status.code,
                signal=signal_name(status),
                duration_s=round(time.monotonic() - self._began_s, 6),
                cost=self.cost,
                reason=self.reason if status.signal is None or self.reason != "exit" else "signal",
                at=time.time(),
            )
        )
        self.ended.set()
        self._on_change(self)

    async def aclose(self) -> None:
        """Stop reading; what was read is in the log. Idempotent."""
        for task in (self._pump_task, self._exit_task):
            task.cancel()
        await asyncio.gather(self._pump_task, self._exit_task, return_exceptions=True)


def _records(text: str) -> Iterator[str]:
    """Cut text into pieces of ``BATCH_LINES`` lines at most."""
    if text.count("\n") <= BATCH_LINES:
        if text:
            yield text
        return
    lines = text.split("\n")
    for start in range(0, len(lines), BATCH_LINES):
        piece = "\n".join(lines[start : start + BATCH_LINES])
        is_last = start + BATCH_LINES >= len(lines)
        if piece or not is_last:
            yield piece if is_last else piece + "\n"


def signal_name(status: ExitStatus) -> str | None:
    """Return the name of the signal that ended a process, or ``None``."""
    if status.signal is None:
        return None
    try:
        return signal.Signals(status.signal).name
    except ValueError:
        return f"SIG{status.signal}"
