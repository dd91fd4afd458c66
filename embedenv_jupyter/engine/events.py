"""What an execution tells, in order: stages begin, give output, end; one outcome comes last."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from embedenv_jupyter.sandbox.spec import Breach, ExitStatus


class Stage(enum.StrEnum):
    """What is done to the source."""

    COMPILE = "compile"
    RUN = "run"


class Stream(enum.StrEnum):
    """Where a program writes."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Reason(enum.StrEnum):
    """Why an execution ended."""

    EXIT = "exit"
    SIGNAL = "signal"
    STOPPED = "stopped"
    """Somebody asked for it: the ladder INT, TERM, KILL."""
    TIME = "time"
    OOM = "oom"
    PIDS = "pids"
    DISK = "disk"
    GONE = "gone"
    """The sandbox ended first."""

    @classmethod
    def of(cls, breach: Breach) -> Reason:
        return cls(breach.value)


class SessionState(enum.StrEnum):
    """What became of the state of a session in a run."""

    NONE = "none"
    """There is no session, or this language keeps files only."""
    KEPT = "kept"
    LOST = "lost"
    """The program that held it ended; the next run begins anew."""


@dataclass(frozen=True)
class StageBegan:
    """A stage begins; in a session, when its driver takes the cell or has to be started for it."""

    stage: Stage


@dataclass(frozen=True)
class Output:
    """Bytes as they were produced, in pieces of at most 64 KiB; a character may be cut in two."""

    stage: Stage
    stream: Stream
    data: bytes


@dataclass(frozen=True)
class Displayed:
    """Something to be shown that is no text only: representations by MIME type, of about ``size_bytes``."""

    stage: Stage
    data: Mapping[str, object]
    size_bytes: int


@dataclass(frozen=True)
class Prompted:
    """The program waits for a line of input; ``text`` is what it asked, which went out as output, too."""

    stage: Stage
    text: str
    password: bool


@dataclass(frozen=True)
class StageEnded:
    """How a stage ended.

    ``cpu_ms`` is ``None`` in a session, whose program lives on, and where a tier cannot tell.
    ``cached`` tells that nothing was compiled, as the same source was before.
    """

    stage: Stage
    exit: ExitStatus
    wall_ms: float
    cpu_ms: float | None
    cached: bool = False


@dataclass(frozen=True)
class Outcome:
    """The last event. ``stage`` is the one that ended it; ``exit`` how.

    ``peak_memory_mib`` is of the largest process; ``None`` where it was less than what the
    sandbox itself holds (some 50 MiB) or is not known. ``detail`` is a sentence for people
    where ``reason`` is a limit. ``restarted`` tells that this run began in a session whose
    earlier state had been lost.
    """

    stage: Stage
    exit: ExitStatus
    reason: Reason
    wall_ms: float
    cpu_ms: float | None
    peak_memory_mib: float | None
    detail: str = ""
    session: SessionState = SessionState.NONE
    restarted: bool = False

    @property
    def ok(self) -> bool:
        return self.reason is Reason.EXIT and self.exit.code == 0


Event: TypeAlias = StageBegan | Output | Displayed | Prompted | StageEnded | Outcome
