"""What a kernel answers to interrupts at awkward moments; with real ones, see tests/integration/kernels."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from embedenv_jupyter.sandbox import interrupts

Execute = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
OK = {"status": "ok"}


@pytest.fixture(autouse=True)
def _own_handler() -> Iterator[None]:
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, handler)


def interrupt(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def begun(
    execute: Execute, send: Callable[..., None] = lambda *_: None, type: str = "execute_request"
) -> Any:
    """Return a kernel that is about to handle a request."""
    kernel = SimpleNamespace(
        do_execute=execute, send_response=send, iopub_socket=None, execution_count=3,
        get_parent=lambda _channel: {"header": {"msg_type": type}},
    )  # fmt: skip
    interrupts.answer_interrupted(SimpleNamespace(kernel=kernel))
    kernel.pre_handler_hook()
    return kernel


def run(kernel: Any) -> dict[str, Any]:
    """Run a cell without a loop, which would catch interrupts itself."""
    with pytest.raises(StopIteration) as end:
        kernel.do_execute().send(None)
    answer: dict[str, Any] = end.value.value
    return answer


async def cell() -> dict[str, Any]:
    return OK


async def interrupted_cell() -> dict[str, Any]:
    interrupt()
    return OK


def test_cell_is_run() -> None:
    assert run(begun(cell)) == OK


def test_interrupt_before_a_cell_keeps_it_from_running() -> None:
    ran = []

    async def execute() -> dict[str, Any]:
        ran.append(True)
        return OK

    shown: list[tuple[object, ...]] = []
    kernel = begun(execute, lambda *told: shown.append(told))
    interrupt()
    answer = run(kernel)
    assert (answer["status"], answer["ename"], answer["execution_count"]) == ("error", "KeyboardInterrupt", 3)
    assert [told[1] for told in shown] == ["error"]
    assert not ran


def test_interrupt_of_the_request_before_is_forgotten() -> None:
    kernel = begun(cell)
    interrupt()
    kernel.pre_handler_hook()
    assert run(kernel) == OK


def test_second_interrupt_while_the_first_is_answered_is_one_too_many() -> None:
    assert run(begun(interrupted_cell, interrupt))["ename"] == "KeyboardInterrupt"


def test_interrupt_after_the_answer_comes_too_late() -> None:
    kernel = begun(cell)
    answer = run(kernel)
    interrupt()
    assert answer == OK


def test_other_requests_are_interrupted_at_once() -> None:
    begun(cell, type="complete_request")
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_subshells_have_threads_to_which_no_signal_comes() -> None:
    kernel = begun(cell)
    handler = signal.getsignal(signal.SIGINT)
    answers: list[dict[str, Any]] = []

    def handle() -> None:
        kernel.pre_handler_hook()
        answers.append(asyncio.run(kernel.do_execute()))

    interrupt()  # noted for the cell of the main thread
    thread = threading.Thread(target=handle)
    thread.start()
    thread.join()
    assert answers == [OK]
    assert signal.getsignal(signal.SIGINT) is handler
    assert run(kernel)["ename"] == "KeyboardInterrupt"
