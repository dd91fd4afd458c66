"""How the events of a room's log look on its socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from embedenv_jupyter.rooms import events
from embedenv_jupyter.rooms.log import Gap, Log, Record
from embedenv_jupyter.rooms.room_frames import PIECE_BYTES, described, render

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "rooms.json").read_text(encoding="utf-8")
)
ELSEWHERE = {events.KernelMessage, events.EngineFrame}
"""What is never in the log of a room."""


def payloads(data: bytes) -> list[dict[str, Any]]:
    """Read the text messages out of unmasked frames (RFC 6455 section 5.2)."""
    found = []
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10]), 10
        found.append(json.loads(data[start : start + size]))
        data = data[start + size :]
    return found


def rendered(*records: Record | Gap) -> list[dict[str, Any]]:
    return [frame for piece in render(records) for frame in payloads(piece)]


@pytest.mark.parametrize("entry", GOLDEN["events"], ids=lambda entry: entry["name"])
def test_an_event_is_written_with_its_fields(entry: dict[str, Any]) -> None:
    event = msgspec.convert(entry["event"], events.Event)
    record = Record(entry["n"] - event.count + 1, entry["n"], event, 0, 0, 0)
    (frame,) = rendered(record)
    assert list(frame.items()) == list(entry["frame"].items())


def test_every_kind_of_event_has_a_golden_frame() -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in set(get_args(events.Event)) - ELSEWHERE}
    assert {entry["event"]["type"] for entry in GOLDEN["events"]} == kinds


@pytest.mark.parametrize(
    ("text", "prompt", "rests"),
    [
        ("one\ntwo", False, ["one\ntwo", "\ntwo", "two"]),
        ("one\nname?", True, ["one\nname?", "\nname?", "name?", ""]),
        ("\n", False, ["\n", "\n"]),
    ],
)
async def test_who_resumes_in_the_middle_of_output_gets_the_rest(
    text: str, prompt: bool, rests: list[str]
) -> None:
    log = Log(None)
    log.append(events.Output("r1", text, prompt=prompt, at=1.0))
    for position, rest in enumerate(rests):
        async with log.watch(position) as watcher:
            (frame,) = rendered(*await watcher.read())
        assert (frame["text"], frame["n"], frame["prompt"]) == (rest, log.last, prompt)
    await log.aclose()


def test_a_gap_says_how_much_is_lost() -> None:
    assert rendered(Gap(3, 42, 4096)) == [{"type": "gap", "from": 3, "count": 40, "bytes": 4096}]


def test_long_output_goes_in_pieces() -> None:
    event = events.Output("r1", "x" * 50_000 + "\n", at=1.0)
    records = [Record(n * 2 + 1, n * 2 + 2, event, 0, 0, 0) for n in range(10)]
    pieces = list(render(records))
    assert len(pieces) == 4 and all(len(piece) < PIECE_BYTES + 60_000 for piece in pieces)
    assert [frame["n"] for piece in pieces for frame in payloads(piece)] == list(range(2, 22, 2))


def test_an_event_says_who_in_one_word() -> None:
    assert described(events.FilesChanged(("a",), "Ann", at=0)) == ("files", {"paths": ("a",), "user": "Ann"})
