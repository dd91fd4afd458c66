"""How ``embedenv run --url`` delivers input: again while a program is busy, never a part in silence."""

from __future__ import annotations

from typing import Any

import pytest

from embedenv_jupyter.cli import run_remote
from embedenv_jupyter.client import RefusedError

BUSY = "The program does not read its input: 1048000 bytes wait already, and at most 1048576 may."


class BusyRun:
    """A run that refuses input a number of times."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.is_running = True
        self.got = ""
        self.signals: list[str] = []

    async def send(self, text: str, *, end: str = "\n") -> None:
        if self.refusals:
            self.refusals -= 1
            raise RefusedError(BUSY)
        self.got += text + end

    async def signal(self, name: str) -> None:
        self.signals.append(name)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_remote, "AGAIN_S", (0.0, 0.0))


async def test_input_that_is_refused_is_sent_again() -> None:
    run: Any = BusyRun(refusals=5)
    await run_remote.delivered(run, lambda: run.send("text"))
    assert run.got == "text\n"


async def test_input_that_nobody_takes_is_given_up_after_a_time() -> None:
    run: Any = BusyRun(refusals=1 << 30)
    with pytest.raises(RefusedError, match="does not read"):
        await run_remote.delivered(run, lambda: run.send("text"), full_s=0.01)


async def test_a_program_that_has_ended_is_not_asked_again() -> None:
    run: Any = BusyRun(refusals=2)
    run.is_running = False
    with pytest.raises(RefusedError):
        await run_remote.delivered(run, lambda: run.send("text"))
    assert run.refusals == 1


async def test_a_program_whose_input_cannot_be_delivered_is_ended(capsys: pytest.CaptureFixture[str]) -> None:
    run: Any = BusyRun(refusals=1 << 30)

    async def feed(started: Any) -> None:
        await run_remote.delivered(started, lambda: started.send("text"), full_s=0.01)

    await run_remote.guarded(run, feed)
    assert run.signals == ["KILL"]
    assert f"its input cannot be delivered: {BUSY}" in capsys.readouterr().err
