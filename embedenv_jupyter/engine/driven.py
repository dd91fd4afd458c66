"""A session that keeps state: a driver in the room evaluates one cell after the other.

The driver (``languages/drivers``) is a program on pipes with two pipes more. On
descriptor 3 it reads, line by line, the path of a file with a cell; on 4 it writes
``ready`` once, then ``ok`` or ``error`` after each cell, when its output is flushed.
The cell's code shares the driver's process and can forge these words. So they decide
only what the room is told about itself: limits, times and ends are seen from outside.

Where SIGINT ends a cell and keeps the state, a time-out costs no state. Elsewhere the
driver ends, the outcome says that the state is lost, and the next run starts a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import signal as signals
import time
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.engine.events import (
    Outcome,
    SessionState,
    Stage,
    StageBegan,
    StageEnded,
    Stream,
)
from embedenv_jupyter.engine.execution import Control, Execution, RunOptions, begin
from embedenv_jupyter.engine.pace import EventQueue
from embedenv_jupyter.engine.runner import Runner
from embedenv_jupyter.engine.session import Turn
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.engine.stages import Watch, connect, descend, disconnect, kill, pump
from embedenv_jupyter.errors import SandboxError, SandboxGoneError, SandboxRequestError, SourceError
from embedenv_jupyter.languages.language import TOOLCHAINS, Language, SessionPlan
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.streams import ByteSink, ByteSource

START_TIMEOUT_S: Final = 60.0
"""How long a driver may take to be ready: some build themselves first."""

INTERRUPT_S: Final = 2.0
"""How long a cell whose time is up may take to end by SIGINT, before its driver is killed."""

MAX_WORD_BYTES: Final = 4096

_KILLED: Final = ExitStatus(signal=signals.SIGKILL)
_ENV: Final = {"CELL_IN": "/proc/self/fd/3", "CELL_OUT": "/proc/self/fd/4"}


class Driver:
    """A driver that has been started."""

    def __init__(self, process: Process, cells: ByteSink, answers: ByteSource) -> None:
        self.process = process
        self._cells = cells
        self._answers = answers
        self._said = b""
        self.is_ready = False

    @classmethod
    async def launch(cls, runner: Runner, language: Language, plan: SessionPlan, folder: str) -> Driver:
        """Start a driver; it is not ready yet."""
        env = {**language.env, **_ENV}
        return cls(
            *await runner.sandbox.spawn_driver(["sh", "-c", command(language, plan)], cwd=folder, env=env)
        )

    async def word(self) -> str:
        """Return the next word that the driver writes, ``""`` when there will be none."""
        while b"\n" not in self._said and len(self._said) < MAX_WORD_BYTES:
            data = await self._answers.read(MAX_WORD_BYTES)
            if not data:
                return ""
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line[:80].decode(errors="replace").strip()

    async def word_within(self, limit_s: float | None) -> str | None:
        """Return its next word, ``""`` when it has ended, ``None`` when the time is up first."""
        word = asyncio.create_task(self.word(), name="word of a driver")
        ended = asyncio.create_task(self.process.wait(), name="end of a driver")
        try:
            await asyncio.wait({word, ended}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            if word.done():
                return word.result()
            return "" if ended.done() else None
        finally:
            for task in (word, ended):
                task.cancel()
            await asyncio.gather(word, ended, return_exceptions=True)

    async def give(self, path: str) -> None:
        """Give it a cell; words that nobody asked for before are forgotten."""
        while self._answers.read_now():
            pass
        self._said = b""
        await self._cells.write(path.encode() + b"\n")

    def close(self) -> None:
        """Close our ends, which a driver that still lives takes as the end of the session."""
        self.process.close()
        self._cells.close()
        self._answers.close()


def command(language: Language, plan: SessionPlan) -> str:
    """Return the shell line that becomes the driver, after it has built it where that was not done before."""
    if not plan.build:
        return f"exec {plan.command}"
    built = shlex.quote(plan.built)
    return (
        f"DRIVERS={TOOLCHAINS}/drivers; "
        f"[ -e $DRIVERS/{built} ] || {{ DRIVERS=/tmp/embedenv-drivers/{language.id}; "
        f"[ -e $DRIVERS/{built} ] || {{ mkdir -p $DRIVERS && {plan.build} >&2 || exit; }}; }}; "
        f"exec {plan.command}"
    )


@dataclass(frozen=True)
class Answer:
    """What came of a cell: how it ended, as an exit status, and whether the state is lost."""

    status: ExitStatus
    is_lost: bool = False
    is_late: bool = False
    detail: str = ""


class DrivenSession:
    """A session of a language that keeps state."""

    keeps_state = True

    def __init__(self, runner: Runner, language: Language, plan: SessionPlan, folder: str) -> None:
        self.language = language
        self._runner = runner
        self._plan = plan
        self._folder = folder
        self._turn = Turn(language)
        self._driver: Driver | None = None
        self._cells = 0
        self._was_lost = False

    @property
    def is_closed(self) -> bool:
        return self._turn.is_closed

    async def start(self, source: Source, options: RunOptions | None = None) -> Execution:
        return await self._turn.take(lambda: self._start(source, options or RunOptions()))

    async def _start(self, source: Source, options: RunOptions) -> Execution:
        if self._plan.program and re.search(self._plan.program, source.code, re.MULTILINE):
            state = SessionState.KEPT if self._driver is not None else SessionState.NONE
            return await self._runner.start(
                self.language, source, options, self._folder, discard=False, state=state
            )
        for name, given in (("args", source.arguments), ("env", source.env)):
            if given:
                raise SourceError(name, "cannot be given to a cell of a session; run it without one")
        self._cells += 1
        name = f".cells/cell{self._cells}.{self.language.extension}"
        await self._runner.write(source, self._folder, name)
        path = f"{self._folder}/{name}"
        return begin(lambda queue, control: self._evaluate(path, options.timeout_s, queue, control))

    async def _evaluate(
        self, path: str, timeout_s: float | None, queue: EventQueue, control: Control
    ) -> Outcome:
        """Let the driver evaluate one cell; whatever else happens, a driver that did not answer is ended."""
        watch, began_s = Watch(self._runner.sandbox), time.monotonic()
        if self._driver is not None and self._driver.process.status is not None:
            await self._end_driver()  # something ended it between two runs
        restarted, self._was_lost = self._was_lost, False
        await queue.put(StageBegan(Stage.RUN))
        try:
            answer = await self._answer(path, timeout_s, queue, control)
            with contextlib.suppress(SandboxError):  # the cell itself may have removed it
                await self._runner.sandbox.files.remove(path)
        except BaseException:
            await self._end_driver()
            raise
        if answer.is_lost:
            await self._end_driver()
        wall_ms = (time.monotonic() - began_s) * 1000
        await queue.put(StageEnded(Stage.RUN, answer.status, wall_ms, None))
        reason, detail = await watch.verdict(
            answer.status, timeout_s, is_late=answer.is_late, control=control
        )
        return Outcome(
            stage=Stage.RUN,
            exit=answer.status,
            reason=reason,
            wall_ms=wall_ms,
            cpu_ms=None,
            peak_memory_mib=None,
            detail=detail or answer.detail,
            session=SessionState.LOST if answer.is_lost else SessionState.KEPT,
            restarted=restarted,
        )

    async def _answer(
        self, path: str, timeout_s: float | None, queue: EventQueue, control: Control
    ) -> Answer:
        """Pass output on until the driver has answered or ended."""
        control.is_quiet.clear()
        if self._driver is None:
            try:
                self._driver = await Driver.launch(self._runner, self.language, self._plan, self._folder)
            except (SandboxGoneError, SandboxRequestError) as exc:
                control.is_quiet.set()
                return Answer(_KILLED, is_lost=True, detail=f"The session did not start: {exc}")
        driver, process = self._driver, self._driver.process
        assert process.stdout is not None
        assert process.stderr is not None
        is_over = asyncio.Event()
        connect(control, process, takes_input=True)
        async with asyncio.TaskGroup() as pumps:
            for source, stream in ((process.stdout, Stream.STDOUT), (process.stderr, Stream.STDERR)):
                pumps.create_task(pump(source, Stage.RUN, stream, queue, is_over, quiet_s=0))
            try:
                answer = await self._exchange(driver, path, timeout_s, control)
            finally:
                disconnect(control)
                is_over.set()
                process.stdout.wake()
                process.stderr.wake()
        return answer

    async def _exchange(self, driver: Driver, path: str, timeout_s: float | None, control: Control) -> Answer:
        try:
            if not driver.is_ready and (failed := await self._failed_start(driver)):
                return failed
            if control.is_stopped:  # before there was anything to signal
                return Answer(ExitStatus(signal=signals.SIGINT))
            await driver.give(f"{self._runner.sandbox.home}/{path}")
            return await self._heard(driver, timeout_s)
        except BrokenPipeError:
            return Answer(await _killed(driver.process), is_lost=True)
        except SandboxGoneError:
            return Answer(_KILLED, is_lost=True)

    async def _failed_start(self, driver: Driver) -> Answer | None:
        word = await driver.word_within(START_TIMEOUT_S)
        if word == "ready":
            driver.is_ready = True
            return None
        status = await _killed(driver.process)
        late = f" within {START_TIMEOUT_S:g} s" if word is None else ""
        return Answer(status, is_lost=True, detail=f"The session did not start{late}.")

    async def _heard(self, driver: Driver, timeout_s: float | None) -> Answer:
        word = await driver.word_within(timeout_s)
        is_late = word is None
        if is_late and self._plan.keeps_on_interrupt:
            with contextlib.suppress(ProcessLookupError):
                await driver.process.signal(signals.SIGINT)
            word = await driver.word_within(INTERRUPT_S)
        elif is_late:
            await descend(driver.process)
        if word in ("ok", "error"):
            return Answer(ExitStatus(code=0 if word == "ok" else 1), is_late=is_late)
        return Answer(await _killed(driver.process), is_lost=True, is_late=is_late)

    async def _end_driver(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            self._was_lost = True
            await kill(driver.process)
            driver.close()

    async def aclose(self) -> None:
        await self._turn.close()
        await self._end_driver()
        with contextlib.suppress(SandboxError):
            await self._runner.sandbox.files.remove(self._folder, recursive=True)


async def _killed(process: Process) -> ExitStatus:
    """Return how a driver ended; one that has not is killed."""
    await kill(process)
    try:
        return await process.wait()
    except SandboxGoneError:
        return _KILLED
