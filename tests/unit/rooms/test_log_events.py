"""Events take as many numbers as they are frames."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.protocols.spaces.rendering import output_count
from embedenv_jupyter.rooms.events import (
    EngineFrame,
    Event,
    FilesChanged,
    IdleCountdown,
    KernelMessage,
    LimitBreached,
    MemberJoined,
    MemberLeft,
    Output,
    PortOpened,
    PostMortem,
    Prompt,
    PromptAnswered,
    RoleChanged,
    RoomError,
    RunEnded,
    RunStarted,
    StopStep,
)

ONE_OF_EACH: list[Event] = [
    Output("r1", "a\nb", stream="stderr", prompt=True, at=1.5),
    Prompt("r1", "name? ", id="p1", password=True, at=1.5),
    PromptAnswered("p1", "r1", "ada", at=1.5),
    KernelMessage("iopub", (b"{}", b"{}", b"{}", b"{}", b"\x00\xff"), to="s1", at=1.5),
    EngineFrame(b'{"type":"stdout"}', at=1.5),
    RunStarted("r1", "ls -la", "ada", "m1", at=1.5),
    RunEnded("r1", None, "SIGKILL", 1.25, cost=5, cpu_s=0.5, reason="time", at=1.5),
    StopStep("r1", "TERM", at=1.5),
    MemberJoined("m1", "ada", "#6366f1", "edit", at=1.5),
    MemberLeft("m1", "ada", at=1.5),
    RoleChanged("m1", "ada", "view", "bob", at=1.5),
    FilesChanged(("project/main.py", "project/ä"), "ada", at=1.5),
    PortOpened(3000, at=1.5),
    LimitBreached("oom", "the kernel killed python3", at=1.5),
    IdleCountdown(None, at=1.5),
    RoomError("the disk is full", at=1.5),
    PostMortem(
        "idle", cause=None, code=0, signal=None, breaches=("oom", "pids"), peak_memory_bytes=1 << 33,
        cpu_s=0.25, duration_s=3600.0, at=1.5,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("a", 1),
        ("\n", 2),
        ("a\n", 2),
        ("a\nb", 3),
        ("a\nb\n", 4),
        ("\n\n\n", 6),
        ("a\rb\n", 2),
        ("a\u2028b", 1),
    ],
)
def test_output_takes_two_numbers_for_a_line_and_one_for_a_partial_line(text: str, count: int) -> None:
    assert Output("r1", text, at=0).count == count


@pytest.mark.parametrize(("text", "count"), [("", 2), ("name? ", 2), ("a\nname? ", 4), ("a\n", 4)])
def test_a_prompt_counts_as_a_line(text: str, count: int) -> None:
    assert Output("r1", text, prompt=True, at=0).count == count


@given(st.text("ab\n\r"), st.booleans())
def test_each_number_of_an_output_stands_for_one_piece(text: str, prompt: bool) -> None:
    output = Output("r1", text, prompt=prompt, at=0)
    pieces = list(output.pieces())
    assert len(pieces) == output.count
    assert "".join(pieces) == text + "\n" * prompt


@given(st.text("ab\n\r", min_size=1), st.booleans())
def test_the_spaces_protocol_counts_alike(text: str, prompt: bool) -> None:
    assert Output("r1", text, prompt=prompt, at=0).count == output_count(text, prompt=prompt)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_kind_comes_back_from_msgpack(event: Event) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event


def test_only_output_and_the_end_of_a_run_take_more_than_one_number() -> None:
    counts = {type(event).__name__: event.count for event in ONE_OF_EACH}
    assert counts.pop("Output") == 4
    assert counts.pop("RunEnded") == 2
    assert set(counts.values()) == {1}


def test_every_kind_of_event_is_covered_here() -> None:
    assert {type(event) for event in ONE_OF_EACH} == set(Event.__args__)


def test_a_post_mortem_tells_whether_memory_ran_out() -> None:
    assert PostMortem("oom", breaches=("oom",), at=0).oom
    assert not PostMortem("idle", at=0).oom
