from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.flow import Buffering, Gate
from embedenv_jupyter.client.refusal import OutputLostError, StalledError
from embedenv_jupyter.client.run import LINE_LIMIT, ExitStatus, Run
from embedenv_jupyter.errors import BusyError, RoomClosedError

T = TypeVar("T")


class Recorder:
    """What a run asks of its room."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def send_input(self, run: Run, text: str) -> None:
        self.asked.append(("input", text))

    async def send_eof(self, run: Run) -> None:
        self.asked.append(("eof", ""))

    async def send_signal(self, run: Run, name: str) -> None:
        self.asked.append(("signal", name))

    async def interrupt(self, run: Run) -> None:
        self.asked.append(("interrupt", ""))


def make(buffering: Buffering = Buffering()) -> Run:  # noqa: B008  frozen
    return Run(Recorder(), Gate(buffering), "python main.py")


def produce(run: Run, *pieces: str, status: ExitStatus | None = ExitStatus(0)) -> Run:  # noqa: B008  frozen
    for piece in pieces:
        run.output(piece)
    if status is not None:
        run.ended(status)
    return run


async def soon(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(5):
        return await awaitable


async def test_lines_come_whole_and_without_their_ends() -> None:
    run = produce(make(), "a", "\n", "b", "c", "\n", "\n", "rest")
    assert [line async for line in run] == ["a", "bc", "", "rest"]


async def test_output_comes_in_batches_of_what_has_arrived() -> None:
    run = produce(make(), "a", "\n", status=None)
    batches = run.batches()
    assert await soon(anext(batches)) == "a\n"
    produce(run, "b", "\n", "c")
    assert [batch async for batch in batches] == ["b\nc"]


async def test_reading_can_be_left_and_taken_up_again() -> None:
    run = produce(make(), "a", "\n", "b", "\n", "c")
    assert await soon(anext(run)) == "a"
    assert [line async for line in run] == ["b", "c"]


async def test_a_cut_read_of_a_line_keeps_its_beginning() -> None:
    run = produce(make(), "begin", status=None)
    reading = asyncio.create_task(anext(run))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    produce(run, "ning", "\n", status=None)
    assert await soon(anext(run)) == "beginning"


async def test_pieces_come_as_they_are() -> None:
    run = produce(make(), "a", "\n", "", "b")
    assert [piece async for piece in run.pieces()] == ["a", "\n", "b"]


async def test_pieces_begin_with_what_a_line_had_left() -> None:
    run = produce(make(), "be", status=None)
    reading = asyncio.create_task(anext(run))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    produce(run, "gin")
    assert [piece async for piece in run.pieces()] == ["be", "gin"]


async def test_text_is_all_that_was_not_read() -> None:
    run = produce(make(), "a", "\n", "b", "\n", "c")
    assert await soon(anext(run)) == "a"
    assert await soon(run.text()) == "b\nc"
    assert await soon(run.text()) == ""


async def test_a_cancelled_text_leaves_the_output_unread() -> None:
    run = produce(make(), "a", "\n", "b", status=None)
    reading = asyncio.create_task(run.text())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    run.ended(ExitStatus(0))
    assert [line async for line in run] == ["a", "b"]


async def test_a_line_without_end_is_passed_on_in_parts() -> None:
    run = produce(make(), *["x" * (LINE_LIMIT // 2)] * 5)
    lines = [line async for line in run]
    assert [len(line) for line in lines] == [LINE_LIMIT, LINE_LIMIT, LINE_LIMIT // 2]


async def test_waiting_gives_the_status_to_everybody() -> None:
    run = make()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(run.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        assert run.is_running
        run.ended(ExitStatus(3))
        run.ended(ExitStatus(4))
    assert [task.result() for task in waiting] == [ExitStatus(3)] * 3
    assert await run.wait() == ExitStatus(3)


async def test_a_failure_comes_after_the_output() -> None:
    run = produce(make(), "a", "\n", "b", status=None)
    run.failed(RoomClosedError("idle"))
    assert await soon(anext(run)) == "a"
    with pytest.raises(RoomClosedError, match="idle"):
        await soon(anext(run))
    with pytest.raises(RoomClosedError, match="idle"):
        await soon(run.wait())


async def test_lost_output_does_not_pass_for_the_whole() -> None:
    run = produce(make(), "a", status=None)
    run.lost(Gap(5, 9, 5))
    produce(run, "b")
    with pytest.raises(OutputLostError, match="5 events were lost") as caught:
        await soon(run.text())
    assert caught.value.text == "ab"
    assert caught.value.events == 5


async def test_a_gap_of_unknown_size_is_said_to_be_one() -> None:
    run = make()
    run.lost(Gap(0, 0, None))
    produce(run)
    with pytest.raises(OutputLostError, match="an unknown number"):
        await soon(run.text())


async def test_waiting_behind_unread_output_is_an_error_not_a_hang() -> None:
    gate = Gate(Buffering(soft_bytes=100, hard_bytes=1000, stall_s=0.05))
    run = Run(Recorder(), gate, "yes")
    produce(run, *["y", "\n"] * 10, status=None)
    async with asyncio.TaskGroup() as group:
        passage = group.create_task(gate.passage())
        with pytest.raises(StalledError):
            await soon(run.wait())
        run.discard()
        await soon(passage)
        waiting = group.create_task(run.wait())
        produce(run, *["y", "\n"] * 10)
        assert await soon(waiting) == ExitStatus(0)
    assert gate.unread_bytes == 0


async def test_discarded_output_is_the_end_of_reading() -> None:
    run = produce(make(), "a", "\n", status=None).discard()
    assert [line async for line in run] == []


async def test_one_task_reads() -> None:
    run = make()
    reading = asyncio.create_task(anext(run))
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await anext(run)
    produce(run, "x")
    assert await soon(reading) == "x"


async def test_input_and_signals_go_to_the_room() -> None:
    recorder = Recorder()
    run = Run(recorder, Gate(Buffering()), "cat")
    await run.send("line")
    await run.send("as it is", end="")
    await run.send_eof()
    await run.interrupt()
    await run.signal("KILL")
    assert recorder.asked == [
        ("input", "line\n"), ("input", "as it is"), ("eof", ""), ("interrupt", ""), ("signal", "KILL"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "signal", "status", "shell_code", "text"),
    [
        (0, None, ExitStatus(0), 0, "exit code 0"),
        (3, None, ExitStatus(3), 3, "exit code 3"),
        (None, "SIGINT", ExitStatus(None, "SIGINT"), 130, "signal SIGINT"),
        (None, "KILL", ExitStatus(None, "SIGKILL"), 137, "signal SIGKILL"),
        (None, 11, ExitStatus(None, "SIGSEGV"), 139, "signal SIGSEGV"),
        (None, 250, ExitStatus(None, "SIG250"), 128, "signal SIG250"),
        (None, None, ExitStatus(), 0, "ended"),
    ],
)
def test_the_end_of_a_program_is_read(
    code: int | None, signal: str | int | None, status: ExitStatus, shell_code: int, text: str
) -> None:
    read = ExitStatus.from_wire(code, signal)
    assert read == status
    assert (read.shell_code, str(read)) == (shell_code, text)
    assert read.is_known is (code is not None or signal is not None)
