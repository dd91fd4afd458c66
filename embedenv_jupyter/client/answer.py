"""What a run of the engine gave: all of its output, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from msgspec import UNSET

from embedenv_jupyter.protocols.engine import frames

MAX_CHARS: Final = 64 << 20
"""How much of each stream an answer holds; ``stream`` gives all, bit by bit."""

MAX_DISPLAYS: Final = 1000


@dataclass(frozen=True)
class Compiled:
    """How the compiler fared; ``is_cached`` when the same code had been compiled before."""

    stdout: str
    stderr: str
    exit_code: int
    wall_ms: float
    is_cached: bool


@dataclass(frozen=True)
class Answer:
    """See the module's text.

    ``exit_code`` is 128 and the signal's number for a program that a signal ended, and 124 for one
    that took too long. ``ended_by`` says what ended it early: ``time``, ``oom``, ``disk``, ``pids``,
    ``stopped``, ``gone``; ``detail`` says that in a sentence. ``state`` is ``lost`` when the session's
    state ended with this run, ``new`` when it had ended before. What a compiler that failed
    wrote is also in ``stderr``.
    """

    stdout: str
    stderr: str
    exit_code: int
    execution_time_ms: float
    signal: str = ""
    ended_by: str = ""
    detail: str = ""
    state: str = ""
    cpu_ms: float = 0
    peak_memory_mib: float = 0
    compile: Compiled | None = None
    cost: int = 0
    warnings: tuple[str, ...] = ()
    displays: tuple[dict[str, Any], ...] = ()
    """What was to be shown, as representations by MIME type."""
    omitted_chars: int = 0
    """How much more it printed than an answer holds."""
    missing: int = 0
    """How many frames of its session the gateway no longer had after a cut; some may have been output."""

    @property
    def ok(self) -> bool:
        """Whether it ended with exit code 0, by itself, and all of its output is here."""
        return self.exit_code == 0 and not (self.ended_by or self.omitted_chars or self.missing)


class _Text:
    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._left = MAX_CHARS
        self.omitted = 0

    def add(self, text: str) -> None:
        kept = text[: self._left]
        self._pieces.append(kept)
        self._left -= len(kept)
        self.omitted += len(text) - len(kept)

    def __str__(self) -> str:
        return "".join(self._pieces)


class Collector:
    """Puts the frames of one run together."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, type[frames.StreamFrame]], _Text] = {}
        self._stage = "run"
        self._compile: frames.Stage | None = None
        self._warnings: list[str] = []
        self._displays: list[dict[str, Any]] = []
        self._missing = 0

    def take(self, frame: frames.StreamFrame) -> None:
        """Note one frame."""
        match frame:
            case frames.Stdout(data=data) | frames.Stderr(data=data):
                self._texts.setdefault((self._stage, type(frame)), _Text()).add(data)
            case frames.Stage(stage="compile", state="begin"):
                self._stage = "compile"
            case frames.Stage(stage="compile"):
                self._stage, self._compile = "run", frame
            case frames.Display(data=shown) if len(self._displays) < MAX_DISPLAYS:
                self._displays.append(shown)
            case frames.Warned(rule=rule, message=message):
                self._warnings.append(f"{rule}: {message}")
            case frames.Gap(missing=missing):
                self._missing += missing

    def answer(self, result: frames.Result) -> Answer:
        """Make the answer of a run that has ended so."""
        compiled = self._compiled()
        stderr = self._text("run", frames.Stderr)
        if compiled is not None and compiled.exit_code != 0:
            stderr = compiled.stdout + compiled.stderr
        return Answer(
            stdout=self._text("run", frames.Stdout), stderr=stderr, exit_code=result.exit_code,
            execution_time_ms=float(result.execution_time), signal=result.signal,
            ended_by=result.ended_by, detail=result.detail, state=result.state,
            cpu_ms=float(result.cpu_ms), peak_memory_mib=float(result.peak_memory_mib),
            compile=compiled, cost=result.cost, warnings=tuple(self._warnings),
            displays=tuple(self._displays), missing=self._missing,
            omitted_chars=sum(text.omitted for text in self._texts.values()),
        )  # fmt: skip

    def _compiled(self) -> Compiled | None:
        stage = self._compile
        if stage is None:
            return None
        return Compiled(
            self._text("compile", frames.Stdout), self._text("compile", frames.Stderr),
            stage.exit_code if stage.exit_code is not UNSET else 0,
            float(stage.wall_ms) if stage.wall_ms is not UNSET else 0.0,
            stage.is_cached,
        )  # fmt: skip

    def _text(self, stage: str, stream: type[frames.StreamFrame]) -> str:
        return str(self._texts.get((stage, stream), ""))
