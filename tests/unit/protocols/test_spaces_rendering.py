"""Frames from the log: the same as the typed frames make them, numbered without holes, and quickly."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.protocols.spaces import (
    RUN_END_COUNT,
    output_count,
    render_event,
    render_gap,
    render_output,
    render_run_end,
)
from embedenv_jupyter.protocols.spaces.codec import encode
from embedenv_jupyter.protocols.spaces.frames import TerminalData, TerminalNewline

OUTPUT = st.text(st.characters() | st.just("\n") | st.sampled_from('"\\\x00\x1b\r\u2028'), max_size=40)
WHOLE_OUTPUT = st.text(st.characters(exclude_categories=["Cs"]) | st.just("\n"), max_size=40)


def slow(first_n: int, text: str, *, run: str, prompt: bool, asking: bool) -> list[bytes]:
    """The same frames, made one by one by the typed ones."""
    frames: list[TerminalData | TerminalNewline] = []
    lines = text.split("\n")
    for index, line in enumerate(lines):
        is_last = index == len(lines) - 1
        if is_last and line == "" and text and not prompt:
            break
        frames.append(TerminalData(line))
        if not is_last or prompt:
            frames.append(TerminalNewline())
    if asking:
        frames = [
            type(frame)(data=frame.data, run=run, n=first_n + index) for index, frame in enumerate(frames)
        ]
    return [encode(frame) for frame in frames]


@given(WHOLE_OUTPUT, st.booleans(), st.booleans(), st.integers(1, 2**53 - 200), st.integers(0, 90))
def test_the_fast_way_is_the_slow_way(text: str, prompt: bool, asking: bool, first_n: int, skip: int) -> None:
    expected = slow(first_n, text, run='r"1', prompt=prompt, asking=asking)
    assert len(expected) == output_count(text, prompt=prompt)
    for cut in (0, min(skip, len(expected)), skip):
        assert (
            render_output(first_n, text, run='r"1', prompt=prompt, asking=asking, skip=cut) == expected[cut:]
        )


@given(OUTPUT, st.booleans(), st.booleans(), st.booleans())
def test_any_text_makes_valid_frames_that_say_it_again(
    text: str, prompt: bool, asking: bool, newlines: bool
) -> None:
    frames = [
        json.loads(frame.decode("utf-8", "strict"))
        for frame in render_output(1, text, run="r1", prompt=prompt, asking=asking, newlines=newlines)
    ]
    again = "".join("\n" if frame["type"] == "terminal-newline" else frame["data"] for frame in frames)
    sent = text + "\n" * prompt
    if asking or newlines:
        mended = sent.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        assert again == mended
    else:
        assert {frame["type"] for frame in frames} == {"terminal-data"}
        assert len(frames) == sent.count("\n") + (not sent.endswith("\n"))
    if asking:
        assert [frame["n"] for frame in frames] == list(range(1, 1 + output_count(text, prompt=prompt)))


@given(WHOLE_OUTPUT, st.integers(0, 90))
def test_without_newline_frames_skipping_keeps_what_has_a_later_number(text: str, skip: int) -> None:
    frames = render_output(1, text, run="r", skip=skip, newlines=False)
    numbered = render_output(1, text, run="r", skip=skip)
    assert frames == [frame for frame in numbered if b'"terminal-data"' in frame]


def test_a_client_that_does_not_ask_gets_the_end_alone() -> None:
    assert render_run_end(7, run="r1", code=1, signal=None) == [b'{"type":"terminal-data-end"}']
    assert render_run_end(7, run="r1", code=1, signal=None, skip=1) == []
    assert len(render_run_end(7, run="r1", code=1, signal=None, asking=True)) == RUN_END_COUNT
    assert render_run_end(7, run="r1", code=1, signal=None, asking=True, skip=2) == []


def test_an_event_cannot_pass_for_another_frame() -> None:
    (frame,) = render_event(5, "run", {"type": "exit", "n": 9, "event": "oom", "run": "r1"}, asking=True)
    assert json.loads(frame) == {"type": "event", "event": "run", "run": "r1", "n": 5}


def test_a_gap_is_told_to_everybody() -> None:
    for asking in (True, False):
        assert len(render_gap(1, 5, events=5, size_bytes=10, asking=asking)) == 1


@pytest.mark.parametrize("asking", [False, True])
def test_rendering_is_quick(asking: bool) -> None:
    """A goal of half a million frames in a second; measured as the best of several."""
    text = ("x" * 63 + "\n") * 1000
    count = len(render_output(1, text, run="r1", asking=asking))
    times_s = []
    for _ in range(20):
        begun_s = time.perf_counter()
        render_output(1, text, run="r1", asking=asking)
        times_s.append(time.perf_counter() - begun_s)
    assert count == 2000
    print(f"{count / min(times_s) / 1e6:.1f} million frames/s, asking: {asking}")
    assert count / min(times_s) > 500_000
