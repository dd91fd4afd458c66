"""Tries what languages.toml promises of a language, in a real sandbox.

The same checks stand behind ``embedenv languages --test`` and behind the tests of
this package, so what is shown is what is tested.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.engine.engine import Engine
from embedenv_jupyter.engine.events import (
    Event,
    Outcome,
    Output,
    Reason,
    SessionState,
    Stage,
    StageBegan,
    Stream,
)
from embedenv_jupyter.engine.execution import Execution, RunOptions
from embedenv_jupyter.engine.session import LanguageSession
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.errors import EmbedEnvError, MissingToolchainError
from embedenv_jupyter.languages.language import Cells, Language, PromptWay

TRIAL: Final = RunOptions(timeout_s=30.0, compile_timeout_s=120.0)
SHORT_S: Final = 1.0
"""The limit that a program which waits for input runs into."""

LOOP_S: Final = 1.5
"""How long an endless cell may run."""

PROMPT: Final = "name> "


class TrialError(Exception):
    """Something is not as promised; the text says what was seen."""


class Verdict(enum.StrEnum):
    """What came of a check."""

    OK = "ok"
    FAILED = "failed"
    MISSING = "missing"
    NONE = "-"
    """The language does not have this."""


@dataclass(frozen=True)
class Check:
    """What came of one check; ``detail`` says what was seen where that is not what was promised."""

    verdict: Verdict
    detail: str = ""


@dataclass
class Seen:
    """What an execution told."""

    stdout: str = ""
    stderr: str = ""
    outcome: Outcome | None = None
    is_running: bool = False

    def note(self, event: Event) -> None:
        match event:
            case StageBegan(stage=Stage.RUN):
                self.is_running = True
            case Output(stage=Stage.RUN, stream=Stream.STDOUT, data=data):
                self.stdout += data.decode(errors="replace")
            case Output(data=data):
                self.stderr += data.decode(errors="replace")
            case Outcome():
                self.outcome = event

    @property
    def ended(self) -> Outcome:
        if self.outcome is None:
            raise TrialError("it has no end")
        return self.outcome

    def require(self, holds: bool) -> None:
        """Refuse what was seen, unless it is as promised."""
        if not holds:
            ended = (
                f"{self.outcome.stage} {self.outcome.reason}, {self.outcome.exit}"
                if self.outcome
                else "no end"
            )
            raise TrialError(f"{ended}; stdout {self.stdout[-200:]!r}; stderr {self.stderr[-400:]!r}")


async def read(
    execution: Execution,
    when: Callable[[Seen], bool] | None = None,
    then: Callable[[], Awaitable[None]] | None = None,
) -> Seen:
    """Read an execution to its end; do something once, when what was seen asks for it."""
    seen = Seen()
    async with execution, asyncio.TaskGroup() as doing:
        async for event in execution:
            seen.note(event)
            if then is not None and when is not None and when(seen):
                doing.create_task(_do(then))
                then = None
    return seen


async def _do(then: Callable[[], Awaitable[None]]) -> None:
    await then()


class Trial:
    """The checks of one language."""

    def __init__(self, engine: Engine, language: Language) -> None:
        self._engine = engine
        self._language = language
        self._shows = language.prompt is not PromptWay.NONE

    async def run(self) -> dict[str, Check]:
        """Make all checks, one after another; the first is enough where the toolchain is missing."""
        checks = {
            "hello": self.hello,
            "input": self.input,
            "error": self.error,
            "interrupt": self.interrupt,
            "limit": self.limit,
            "session": self.session,
        }
        return {name: await _checked(check) for name, check in checks.items()}

    async def hello(self) -> Check:
        """A first program prints what it should."""
        seen = await self._seen(self._language.samples.hello)
        seen.require(seen.ended.ok and seen.stdout.strip() == "Hello, World!")
        return Check(Verdict.OK)

    async def input(self) -> Check:
        """A prompt appears before its answer is given, and the answer is read."""
        execution = await self._engine.start(self._language, Source(self._language.samples.echo), TRIAL)

        async def answer() -> None:
            await execution.write_stdin(b"Ada\n")
            await execution.close_stdin()

        seen = await read(execution, self._asks, answer)
        seen.require(seen.ended.ok and "got: Ada" in seen.stdout)
        return Check(Verdict.OK)

    async def error(self) -> Check:
        """A program that fails has failed."""
        seen = await self._seen(self._language.samples.failing)
        seen.require(not seen.ended.ok and seen.ended.reason in (Reason.EXIT, Reason.SIGNAL))
        return Check(Verdict.OK)

    async def interrupt(self) -> Check:
        """A program that waits is stopped, and what it has printed is there."""
        execution = await self._engine.start(self._language, Source(self._language.samples.echo), TRIAL)
        seen = await read(execution, self._asks, execution.stop)
        seen.require(seen.ended.reason is Reason.STOPPED and (not self._shows or PROMPT in seen.stdout))
        return Check(Verdict.OK)

    async def limit(self) -> Check:
        """A program that waits for ever runs into the limit of time."""
        options = RunOptions(timeout_s=SHORT_S, compile_timeout_s=TRIAL.compile_timeout_s)
        seen = await self._seen(self._language.samples.echo, options)
        seen.require(seen.ended.reason is Reason.TIME)
        return Check(Verdict.OK)

    async def session(self) -> Check:
        """What one cell sets is there in the next, also after an error, and a time-out where promised."""
        cells = self._language.cells
        if cells is None:
            return Check(Verdict.NONE)
        session = await self._engine.open_session(self._language)
        try:
            await self._session(session, cells)
        finally:
            await session.aclose()
        return Check(Verdict.OK)

    async def _session(self, session: LanguageSession, cells: Cells) -> None:
        async def cell(code: str, options: RunOptions = TRIAL) -> Seen:
            return await read(await session.start(Source(code), options))

        async def uses() -> None:
            seen = await cell(cells.use)
            seen.require(seen.ended.ok and seen.stdout.split()[-1:] == ["42"])

        seen = await cell(cells.define)
        seen.require(seen.ended.ok)
        await uses()
        seen = await cell(cells.fail)
        seen.require(seen.ended.session is SessionState.KEPT and bool(seen.stderr or not seen.ended.ok))
        await uses()
        if cells.loop:
            seen = await cell(cells.loop, RunOptions(timeout_s=LOOP_S))
            seen.require(seen.ended.reason is Reason.TIME and seen.ended.session is SessionState.KEPT)
            await uses()

    def _asks(self, seen: Seen) -> bool:
        return seen.is_running and (not self._shows or seen.stdout.endswith(PROMPT))

    async def _seen(self, code: str, options: RunOptions = TRIAL) -> Seen:
        return await read(await self._engine.start(self._language, Source(code), options))


async def _checked(check: Callable[[], Awaitable[Check]]) -> Check:
    try:
        return await check()
    except MissingToolchainError as exc:
        return Check(Verdict.MISSING, str(exc))
    except (TrialError, EmbedEnvError) as exc:
        return Check(Verdict.FAILED, str(exc))
