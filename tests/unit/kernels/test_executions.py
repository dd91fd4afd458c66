"""Cells on their way: bounded in number and in what they make us keep."""

from __future__ import annotations

from embedenv_jupyter.kernels import executions
from embedenv_jupyter.kernels.authors import Author
from embedenv_jupyter.kernels.executions import Execution, Executions


def cell(id: str, header: bytes = b"{}", code: str = "1") -> Execution:
    return Execution(
        run=f"k-{id}", msg_id=id, session="s", header=header, code=code, author=Author("ann", "#000000")
    )


def test_cells_are_found_taken_once_and_kept_in_order() -> None:
    waiting = Executions()
    for id in "abc":
        waiting.add(cell(id))
    assert [execution.msg_id for execution in waiting] == ["a", "b", "c"]
    assert waiting.find("b") is waiting.take("b")
    assert waiting.find("b") is waiting.take("b") is None
    assert [execution.msg_id for execution in waiting.take_all()] == ["a", "c"]
    assert len(waiting) == 0 and waiting.take_all() == []


async def test_who_waits_is_woken_when_all_are_answered() -> None:
    waiting = Executions()
    await waiting.answered()
    waiting.add(cell("a"))
    waiting.add(cell("b"))
    waiting.take("a")
    assert not waiting._none.is_set()
    waiting.take("unknown")
    assert not waiting._none.is_set()
    waiting.take("b")
    await waiting.answered()


def test_so_many_cells_may_wait() -> None:
    waiting = Executions()
    for number in range(executions.MAX_WAITING):
        assert not waiting.is_full
        waiting.add(cell(str(number)))
    assert waiting.is_full
    waiting.take("0")
    assert not waiting.is_full


def test_so_much_may_wait() -> None:
    waiting = Executions()
    size = executions.MAX_WAITING_BYTES // 4
    for id in "abcd":
        assert not waiting.is_full
        waiting.add(cell(id, header=b"x" * size))
    assert waiting.is_full
    waiting.take_all()
    assert waiting._bytes == 0


def test_the_time_of_a_cell_counts_from_its_turn() -> None:
    execution = cell("a")
    execution.began_s -= 100
    execution.begin()
    assert execution.is_running and execution.duration_s < 50
    began = execution.began_s
    execution.begin()
    assert execution.began_s == began


def test_a_receipt_says_who_what_where_and_how_much() -> None:
    execution = cell("a")
    execution.cost = 5
    receipt = execution.receipt("room", "ok")
    assert {key: receipt[key] for key in ("run", "room", "author", "status", "cost")} == {
        "run": "k-a", "room": "room", "author": "ann", "status": "ok", "cost": 5,
    }  # fmt: skip
    assert receipt["duration_s"] >= 0 and receipt["started_at"] > 0


def test_a_cell_that_comes_again_is_known_by_its_client_and_id() -> None:
    waiting = Executions()
    waiting.remember("s", "a")
    assert waiting.had("s", "a") and not waiting.had("other", "a")
    for number in range(executions.MAX_REMEMBERED):
        waiting.remember("s", str(number))
    assert not waiting.had("s", "a"), "so many are remembered"
