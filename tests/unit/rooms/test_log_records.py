"""Records: what they weigh, how a reader gets the rest of one, and how frames are shared."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest

from embedenv_jupyter.rooms.events import Event, FilesChanged, Output, RunStarted
from embedenv_jupyter.rooms.log import Record
from embedenv_jupyter.rooms.log.history import History
from embedenv_jupyter.rooms.log.records import RECORD_WEIGHT, Shelf, measure
from tests.unit.rooms.log_model import lines, run_ended


def history(shelf_bytes: int = 1 << 20) -> History:
    return History(None, Shelf(shelf_bytes))


def test_numbers_start_at_one_and_follow_on() -> None:
    log = history()
    records = [log.append(lines("a\n", "b\n", "c")), log.append(run_ended()), log.append(lines("d\n"))]
    assert [(record.first, record.last, record.count) for record in records] == [
        (1, 5, 5),
        (6, 7, 2),
        (8, 9, 2),
    ]


def test_output_is_counted_in_utf8_bytes_and_nothing_else_is() -> None:
    log = history()
    first, second, third = log.append(lines("é😀\n")), log.append(run_ended()), log.append(lines("x"))
    assert (first.before_bytes, first.size_bytes) == (0, 7)
    assert (second.before_bytes, second.size_bytes) == (7, 0)
    assert (third.before_bytes, third.end_bytes) == (7, 8)


def test_the_rest_of_a_record_tells_what_to_skip() -> None:
    record = history().append(lines("a\n", "b\n"))
    assert record.after(0) is record
    rest = record.after(3)
    assert (rest.first, rest.last, rest.skip) == (1, 4, 3)
    assert rest.event is record.event
    assert record.skip == 0


def test_output_without_text_has_no_place() -> None:
    log = history()
    with pytest.raises(ValueError, match="Output without any text"):
        log.append(lines(""))
    assert log.last == 0


@pytest.mark.parametrize("text", ["\ud800", "a\udcffb\n", "ok \udc80\ud800"])
def test_half_surrogates_are_replaced_where_events_come_in(text: str) -> None:
    event, size, _ = measure(Output("r1", text, at=0))
    assert isinstance(event, Output)
    assert size == len(event.text.encode())
    assert "\N{REPLACEMENT CHARACTER}" in event.text
    files, _, _ = measure(FilesChanged((f"project/{text}", "b"), at=0))
    assert isinstance(files, FilesChanged)
    assert files.paths[1] == "b"
    assert "\N{REPLACEMENT CHARACTER}" in files.paths[0]


@pytest.mark.parametrize(
    "event",
    [FilesChanged((1,), at=0), RunStarted("r1", b"ls", "ada", "m1", at=0), FilesChanged(object(), at=0)],  # type: ignore[arg-type]
)
def test_what_could_not_be_read_back_is_refused_at_the_door(event: Event) -> None:
    with pytest.raises(TypeError):
        history().append(event)


@pytest.mark.parametrize("text", ["short\n", "x" * 1000, "é" * 300, "😀" * 300])
def test_the_weight_of_a_record_is_about_what_it_takes(text: str) -> None:
    count = 2_000
    log = history()
    gc.collect()
    tracemalloc.start()
    try:
        for index in range(count):
            log.append(Output("r1", f"{text}{index}", at=float(index)))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.4 * log.window.weight_bytes < taken < 1.1 * log.window.weight_bytes


# Frames.


class CountingRenderer:
    def __init__(self, size: int = 3) -> None:
        self.calls: list[Record] = []
        self._frame = b"x" * size

    def __call__(self, record: Record) -> Sequence[bytes]:
        self.calls.append(record)
        return [self._frame] * record.count


def test_a_record_is_rendered_once_for_each_key() -> None:
    record = history().append(lines("a\n"))
    render, other = CountingRenderer(), CountingRenderer()
    assert record.rendered("a", render) is record.rendered("a", render)
    assert record.rendered("b", other) == [b"xxx", b"xxx"]
    assert (len(render.calls), len(other.calls)) == (1, 1)


def test_frames_for_the_rest_of_a_record_are_not_mixed_up_with_those_for_all_of_it() -> None:
    record = history().append(lines("a\n"))
    render = CountingRenderer()
    record.rendered("a", render)
    rest = record.after(1)
    rest.rendered("a", render)
    rest.rendered("a", render)
    assert [call.skip for call in render.calls] == [0, 1, 1]


def test_kept_frames_are_bounded_and_the_oldest_go_first() -> None:
    log = history(shelf_bytes=10_000)
    records = [log.append(lines("a")) for _ in range(30)]
    render = CountingRenderer(size=1_000)
    for record in records:
        record.rendered("a", render)
    kept = [record for record in records if record.frames]
    assert kept == records[-len(kept) :]
    assert 5 <= len(kept) < 10
    records[0].rendered("a", render)
    assert len(render.calls) == 31


def test_frames_larger_than_the_shelf_are_not_kept() -> None:
    record = history(shelf_bytes=100).append(lines("a"))
    assert record.rendered("a", CountingRenderer(1_000)) == [b"x" * 1_000]
    assert not record.frames


def test_frames_go_with_their_record() -> None:
    log = history()
    shelf: Any = log._shelf
    log.append(lines("a")).rendered("a", CountingRenderer())
    log.drop_oldest()
    gc.collect()
    assert [reference() for reference, _, _ in shelf._kept] == [None]


def test_the_constant_is_what_short_records_weigh() -> None:
    assert history().append(lines("x")).weight_bytes == RECORD_WEIGHT + 1
