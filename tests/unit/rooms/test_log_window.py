"""The window and the milestones against plain lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.rooms.log.history import History
from embedenv_jupyter.rooms.log.milestones import Milestones
from embedenv_jupyter.rooms.log.records import Record, Shelf
from tests.unit.rooms.log_model import lines

sizes = st.lists(st.integers(1, 5), min_size=1, max_size=60)


@given(sizes, st.data())
def test_the_window_reads_like_a_list(counts: list[int], data: st.DataObject) -> None:
    history = History(None, Shelf(1))
    records = [history.append(lines("ab\n" * count)) for count in counts]
    dropped = data.draw(st.integers(0, len(records) - 1))
    window = history.window
    if data.draw(st.booleans()):
        for _ in range(dropped):
            window.pop_oldest()
    elif dropped:
        window.pop_through(records[dropped - 1].last)
    left = records[dropped:]
    assert len(window) == len(left)
    assert window.oldest is left[0]
    assert window.weight_bytes == sum(record.weight_bytes for record in left)

    position = data.draw(st.integers(left[0].first - 1, left[-1].last - 1))
    limit, limit_bytes = data.draw(st.integers(1, 70)), data.draw(st.integers(0, 400))
    behind = [record for record in left if record.last > position][:limit]
    expected: list[Record] = []
    for record in behind:
        if expected and record.end_bytes - behind[0].before_bytes > limit_bytes:
            break
        expected.append(record)
    assert window.after(position, limit, limit_bytes) == expected
    assert window.before_bytes(position + 1) == behind[0].before_bytes


@given(sizes, st.integers(0, 30_000))
def test_the_oldest_records_of_a_weight_are_the_fewest(counts: list[int], weight: int) -> None:
    history = History(None, Shelf(1))
    records = [history.append(lines("ab\n" * count)) for count in counts]
    chosen = history.window.oldest_of_weight(weight)
    assert chosen == records[: len(chosen)]
    assert not chosen or sum(record.weight_bytes for record in chosen[:-1]) < weight
    assert len(chosen) == len(records) or sum(record.weight_bytes for record in chosen) >= weight


def test_the_front_of_the_window_is_really_given_back() -> None:
    history = History(None, Shelf(1))
    for _ in range(10_000):
        history.append(lines("a"))
        if len(history.window) > 100:
            history.drop_oldest()
    assert len(history.window) == 100
    assert len(history.window._records) < 1_000
    assert [record.first for record in history.window.after(9_990, 3, 100)] == [9_991, 9_992, 9_993]


@given(st.permutations(range(40)))
def test_milestones_may_come_in_any_order(order: list[int]) -> None:
    milestones = Milestones()
    for index in order:
        milestones.add(1 + 3 * index, 10 * index)
        milestones.add(1 + 3 * index, 10 * index)
    assert len(milestones) == 40
    for number in range(1, 121):
        assert milestones.before_bytes(number) == (number - 1) // 3 * 10


def test_milestones_are_bounded_exact_for_the_newest_and_never_too_late() -> None:
    milestones = Milestones(kept=100)
    milestones.add_all((1 + index, 7 * index) for index in range(5_000))
    assert len(milestones) <= 100
    assert milestones.before_bytes(1) == 0
    for number in range(1, 5_001):
        assert milestones.before_bytes(number) <= 7 * (number - 1)
    assert all(milestones.before_bytes(number) == 7 * (number - 1) for number in range(4_951, 5_001))
