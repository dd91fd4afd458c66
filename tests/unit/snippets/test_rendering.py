"""What an execution tells, as frames and as one answer."""

from __future__ import annotations

import json
import signal

from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.engine.events import (
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
from embedenv_jupyter.protocols.engine.codec import encode
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.snippets.rendering import Collector, FrameRenderer

DONE = ExitStatus(code=0)


def outcome(
    stage: Stage = Stage.RUN, status: ExitStatus = DONE, reason: Reason = Reason.EXIT, **more: object
) -> Outcome:
    return Outcome(stage, status, reason, 12.3456, 5.0, None, **more)  # type: ignore[arg-type]


def rendered(*events: Event) -> list[dict[str, object]]:
    renderer = FrameRenderer("r", cost=1)
    return [json.loads(encode(frame)) for event in events for frame in renderer.render(event)]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.data())
def test_text_that_was_cut_anywhere_is_whole_again(text: str, data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    told = rendered(
        *(Output(Stage.RUN, Stream.STDOUT, piece) for piece in pieces), StageEnded(Stage.RUN, DONE, 1.0, None)
    )
    assert "".join(str(frame["data"]) for frame in told if frame["type"] == "stdout") == text


def test_half_a_character_at_the_end_is_not_lost() -> None:
    told = rendered(Output(Stage.RUN, Stream.STDERR, b"a\xc3"), StageEnded(Stage.RUN, DONE, 1.0, None))
    assert [frame["data"] for frame in told if frame["type"] == "stderr"] == ["a", "\ufffd"]
    assert told[-1]["type"] == "stage"


def test_a_whole_run_is_told_in_order() -> None:
    told = rendered(
        StageBegan(Stage.RUN), Output(Stage.RUN, Stream.STDOUT, b"name? "),
        Prompted(Stage.RUN, "name? ", False),
        StageEnded(Stage.RUN, DONE, 1.5, 0.5), outcome(),
    )  # fmt: skip
    assert [frame["type"] for frame in told] == ["stage", "stdout", "prompt", "stage", "result"]
    assert told[-1] == {
        "type": "result", "id": "r", "exit_code": 0, "execution_time": 12.346, "cpu_ms": 5.0, "cost": 1
    }  # fmt: skip


def answered(*events: Event, limit: int = 100, end: Outcome | None = None) -> dict[str, object]:
    collector = Collector(limit)
    for event in events:
        collector.take(event)
    made: dict[str, object] = json.loads(
        encode(collector.answer(end or outcome(), id=None, cost=0, warnings=[]))
    )
    return made


def test_an_answer_keeps_the_beginning_and_counts_the_rest() -> None:
    made = answered(
        Output(Stage.RUN, Stream.STDOUT, b"x" * 70), Output(Stage.RUN, Stream.STDOUT, b"y" * 70),
        Output(Stage.RUN, Stream.STDERR, b"e"), limit=100,
    )  # fmt: skip
    assert (made["stdout"], made["stderr"], made["omitted_bytes"]) == ("x" * 70 + "y" * 30, "e", 40)


def test_what_a_failed_compiler_said_is_in_stderr() -> None:
    failed = ExitStatus(code=2)
    made = answered(
        Output(Stage.COMPILE, Stream.STDOUT, b"from stdout\n"),
        Output(Stage.COMPILE, Stream.STDERR, b"wrong\n"),
        StageEnded(Stage.COMPILE, failed, 3.0, 1.0), end=outcome(Stage.COMPILE, failed),
    )  # fmt: skip
    assert (made["stdout"], made["stderr"], made["exit_code"]) == ("", "from stdout\nwrong\n", 2)
    assert made["compile"] == {"stdout": "from stdout\n", "stderr": "wrong\n", "exit_code": 2, "wall_ms": 3.0}


def test_the_compilers_warnings_stay_apart_from_the_program() -> None:
    made = answered(
        Output(Stage.COMPILE, Stream.STDERR, b"warning\n"),
        StageEnded(Stage.COMPILE, DONE, 3.0, 1.0, cached=True),
        Output(Stage.RUN, Stream.STDERR, b"own\n"),
    )  # fmt: skip
    assert (made["stderr"], made["compile"]) == (
        "own\n",
        {"stderr": "warning\n", "wall_ms": 3.0, "is_cached": True},
    )


def test_a_limit_is_named_with_its_own_exit_code() -> None:
    killed = ExitStatus(signal=signal.SIGKILL)
    late = answered(
        Output(Stage.RUN, Stream.STDERR, b"half"),
        end=outcome(status=killed, reason=Reason.TIME, detail="Time is up."),
    )
    assert (late["exit_code"], late["ended_by"], late["signal"], late["stderr"]) == (
        124, "time", "SIGKILL", "half\nTime is up.\n"
    )  # fmt: skip
    oom = answered(end=outcome(status=killed, reason=Reason.OOM, session=SessionState.LOST))
    assert (oom["exit_code"], oom["ended_by"], oom["state"]) == (137, "oom", "lost")
    own = answered(end=outcome(status=ExitStatus(signal=signal.SIGSEGV), reason=Reason.SIGNAL))
    assert (own["exit_code"], own["signal"], "ended_by" in own) == (139, "SIGSEGV", False)


def test_a_session_that_began_anew_says_so() -> None:
    assert answered(end=outcome(session=SessionState.KEPT, restarted=True))["state"] == "new"
