"""The frames of a run, put together."""

from __future__ import annotations

from typing import Any

import pytest

from embedenv_jupyter.client import answer as answers
from embedenv_jupyter.client.answer import Answer, Collector, Compiled
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.frames import Display, Gap, Stage, Stderr, Stdout, Warned

BEGIN, END = Stage(id="a", stage="compile", state="begin"), Stage(id="a", stage="compile", state="end")


def collected(*told: frames.StreamFrame, **result: Any) -> Answer:
    collector = Collector()
    for frame in told:
        collector.take(frame)
    return collector.answer(frames.Result(id="a", **{"exit_code": 0, "execution_time": 7, **result}))


def test_the_streams_are_kept_apart() -> None:
    answer = collected(Stdout(id="a", data="1"), Stderr(id="a", data="e"), Stdout(id="a", data="2"), cost=3)
    assert (answer.stdout, answer.stderr, answer.execution_time_ms, answer.cost) == ("12", "e", 7, 3)
    assert answer.ok and answer.compile is None


def test_what_a_compiler_said_is_apart_and_is_the_error_when_it_failed() -> None:
    said = (BEGIN, Stderr(id="a", data="hm"))
    good = collected(
        *said, Stage(id="a", stage="compile", state="end", exit_code=0, wall_ms=5), Stdout(id="a", data="x")
    )
    assert good.compile == Compiled("", "hm", 0, 5.0, is_cached=False)
    assert (good.stdout, good.stderr) == ("x", "")
    bad = collected(*said, Stage(id="a", stage="compile", state="end", exit_code=1), exit_code=1)
    assert (bad.stderr, bad.ok) == ("hm", False)
    assert collected(BEGIN, END).compile == Compiled("", "", 0, 0.0, is_cached=False)


@pytest.mark.parametrize("told", [{"exit_code": 1}, {"ended_by": "oom"}])
def test_an_end_that_is_no_success_is_not_ok(told: dict[str, Any]) -> None:
    assert not collected(**told).ok


def test_what_is_missing_is_counted_and_not_ok() -> None:
    answer = collected(Gap(missing=2, n=3), Gap(missing=1, n=9))
    assert (answer.missing, answer.ok) == (3, False)


def test_warnings_and_pictures_are_kept() -> None:
    answer = collected(Warned(id="a", rule="r", message="m"), Display(id="a", data={"text/html": "<b>"}))
    assert (answer.warnings, answer.displays) == (("r: m",), ({"text/html": "<b>"},))


def test_what_is_too_much_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_CHARS", 5)
    answer = collected(*[Stdout(id="a", data="abc")] * 3)
    assert (answer.stdout, answer.omitted_chars, answer.ok) == ("abcab", 4, False)
