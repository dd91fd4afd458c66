"""Tries what languages.toml promises of a language, in a real sandbox.

The same checks stand behind ``embedenv languages --test`` and behind the tests of
this package, so what is shown is what is tested.
"""

from __future__ import annotations

import enum
import signal as signals
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from embedenv_jupyter.engine.engine import Engine
from embedenv_jupyter.engine.events import Event, Outcome, Output, Reason, SessionState, Stage, Stream
from embedenv_jupyter.engine.execution import Execution, RunOptions
from embedenv_jupyter.engine.session import LanguageSession
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.errors import EmbedEnvError, MissingToolchainError
from embedenv_jupyter.languages.language import Cells, Language, PromptWay

TRIAL_TIMEOUT_S: Final = 60.0
SHORT_S: Final = 1.0
LOOP_TIMEOUT_S: Final = 2.0
"""How long an endless cell may run: long enough for a compiler in a replay."""

SLOW_START_S: Final = 15.0


class Verdict(enum.StrEnum):
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
    before_input: str = ""
    compile_ms: float | None = None

    def describe(self) -> str:
        """Say in one line what was seen."""
        ended = f"{self.outcome.reason}, {self.outcome.exit}" if self.outcome is not None else "no end"
        return f"{ended}; stdout {self.stdout[-200:]!r}, stderr {self.stderr[-400:]!r}"


async def watch(execution: Execution, line: str | None = None, until: str = "") -> Seen:
    """Read an execution to its end. Once its output ends with ``until``, give it ``line``."""
    seen = Seen()
    async with execution:
        async for event in execution:
            _note(seen, event)
            if line is not None and seen.stdout.endswith(until):
                seen.before_input, text, line = seen.stdout, line, None
                await execution.write_stdin(text.encode())
                await execution.close_stdin()
    return seen


def _note(seen: Seen, event: Event) -> None:
    match event:
        case Output(stage=Stage.RUN, stream=Stream.STDOUT, data=data):
            seen.stdout += data.decode(errors="replace")
        case Output(data=data):
            seen.stderr += data.decode(errors="replace")
        case Outcome():
            seen.outcome = event
