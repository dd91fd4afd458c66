"""What an execution tells, as frames of a stream or as the one answer that holds all of it."""

from __future__ import annotations

import codecs
from typing import Final

from msgspec import UNSET

from embedenv_jupyter.engine.events import (
    Displayed,
    Event,
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
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.sandbox.spec import ExitStatus

TIMED_OUT: Final = 124
"""The exit code of a program whose time was up, as timeout(1) has it."""

_ENDED_BY_ITSELF: Final = frozenset({Reason.EXIT, Reason.SIGNAL})


def exit_code(outcome: Outcome) -> int:
    """Return the number that stands for an end: 128 and more for a signal, as in a shell."""
    return TIMED_OUT if outcome.reason is Reason.TIME else outcome.exit.shell_code


def signal_name(status: ExitStatus) -> str:
    """Return the name of the signal that ended a program, empty for none."""
    return str(status).removeprefix("signal ") if status.signal is not None else ""


def ended_by(outcome: Outcome) -> str:
    """Return the word for what ended a run before its time, empty for an end of its own."""
    return "" if outcome.reason in _ENDED_BY_ITSELF else outcome.reason.value


class Decoder:
    """Text of the two streams of each stage; a character that was cut in two is kept for its second half."""

    def __init__(self) -> None:
        self._decoders: dict[tuple[Stage, Stream], codecs.IncrementalDecoder] = {}

    def decode(self, output: Output) -> str:
        key = (output.stage, output.stream)
        if key not in self._decoders:
            self._decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
        return self._decoders[key].decode(output.data)

    def rest(self, stage: Stage, stream: Stream) -> str:
        """Return what no second half came for: U+FFFD, or nothing."""
        decoder = self._decoders.pop((stage, stream), None)
        return decoder.decode(b"", final=True) if decoder is not None else ""


class FrameRenderer:
    """One run's events as frames of a stream."""

    def __init__(self, id: str, *, cost: int) -> None:
        self._id = id
        self._cost = cost
        self._decoder = Decoder()

    def render(self, event: Event) -> list[frames.StreamFrame]:
        match event:
            case Output(stream=stream):
                return self._text(stream, self._decoder.decode(event))
            case StageBegan(stage=stage):
                return [frames.Stage(id=self._id, stage=stage.value, state="begin")]
            case StageEnded(stage=stage):
                rest = [
                    frame
                    for stream in Stream
                    for frame in self._text(stream, self._decoder.rest(stage, stream))
                ]
                return [*rest, self._stage_ended(event)]
            case Displayed(data=data):
                return [frames.Display(id=self._id, data=dict(data))]
            case Prompted(text=text, password=password):
                return [frames.Prompt(id=self._id, text=text, password=password)]
            case Outcome():
                return [self._result(event)]

    def _text(self, stream: Stream, text: str) -> list[frames.StreamFrame]:
        if not text:
            return []
        kind = frames.Stdout if stream is Stream.STDOUT else frames.Stderr
        return [kind(id=self._id, data=text)]

    def _stage_ended(self, event: StageEnded) -> frames.Stage:
        return frames.Stage(
            id=self._id, stage=event.stage.value, state="end", exit_code=event.exit.shell_code,
            signal=signal_name(event.exit), wall_ms=_rounded(event.wall_ms),
            cpu_ms=UNSET if event.cpu_ms is None else _rounded(event.cpu_ms), is_cached=event.cached,
        )  # fmt: skip

    def _result(self, outcome: Outcome) -> frames.Result:
        return frames.Result(
            id=self._id, exit_code=exit_code(outcome), execution_time=_rounded(outcome.wall_ms),
            signal=signal_name(outcome.exit), ended_by=ended_by(outcome), detail=outcome.detail,
            state=_state(outcome), cpu_ms=_rounded(outcome.cpu_ms or 0),
            peak_memory_mib=_rounded(outcome.peak_memory_mib or 0), cost=self._cost,
        )  # fmt: skip


class Collector:
    """Gathers one run's output for an answer; of each stream it keeps the first ``limit_bytes``."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._kept: dict[tuple[Stage, Stream], bytearray] = {}
        self._omitted_bytes = 0
        self._compile: StageEnded | None = None

    def take(self, event: Event) -> None:
        match event:
            case Output(stage=stage, stream=stream, data=data):
                kept = self._kept.setdefault((stage, stream), bytearray())
                room = max(0, self._limit_bytes - len(kept))
                kept += data[:room]
                self._omitted_bytes += max(0, len(data) - room)
            case StageEnded(stage=Stage.COMPILE):
                self._compile = event

    def answer(self, outcome: Outcome, *, id: str | None, cost: int, warnings: list[str]) -> frames.Answer:
        """Make the answer; what a compiler that failed said is in ``stderr``, where clients look."""
        compiled = self._compile
        stdout, stderr = self._text(Stage.RUN, Stream.STDOUT), self._text(Stage.RUN, Stream.STDERR)
        if outcome.stage is Stage.COMPILE:
            stderr = self._text(Stage.COMPILE, Stream.STDOUT) + self._text(Stage.COMPILE, Stream.STDERR)
        if outcome.detail:
            stderr += f"{'' if not stderr or stderr.endswith(chr(10)) else chr(10)}{outcome.detail}\n"
        return frames.Answer(
            stdout=stdout, stderr=stderr, exit_code=exit_code(outcome),
            execution_time=_rounded(outcome.wall_ms), id=id if id is not None else UNSET,
            signal=signal_name(outcome.exit), ended_by=ended_by(outcome), state=_state(outcome),
            cpu_ms=_rounded(outcome.cpu_ms or 0), peak_memory_mib=_rounded(outcome.peak_memory_mib or 0),
            compile=self._report(compiled) if compiled is not None else UNSET,
            omitted_bytes=self._omitted_bytes, warnings=warnings, cost=cost,
        )  # fmt: skip

    def _report(self, ended: StageEnded) -> frames.StageReport:
        return frames.StageReport(
            stdout=self._text(Stage.COMPILE, Stream.STDOUT), stderr=self._text(Stage.COMPILE, Stream.STDERR),
            exit_code=ended.exit.shell_code, wall_ms=_rounded(ended.wall_ms), is_cached=ended.cached,
        )  # fmt: skip

    def _text(self, stage: Stage, stream: Stream) -> str:
        return bytes(self._kept.get((stage, stream), b"")).decode("utf-8", "replace")


def _state(outcome: Outcome) -> str:
    """Say what a client has to know of a session's state: it was lost, now or before this run."""
    if outcome.session is SessionState.LOST:
        return "lost"
    return "new" if outcome.restarted else ""


def _rounded(value: float) -> float:
    return round(value, 3)
