from __future__ import annotations

from unittest.mock import Mock

from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.flow import Buffering, Gate
from embedenv_jupyter.client.frames import (
    Exit,
    Happening,
    TerminalData,
    TerminalEnd,
    TerminalNewline,
)
from embedenv_jupyter.client.run import ExitStatus, Run
from embedenv_jupyter.client.runs import Runs
from embedenv_jupyter.errors import RoomClosedError

GAP = Gap(5, 9, 5)


class Fixture:
    """Runs, and the gate that counts what waits in them."""

    def __init__(self) -> None:
        self.gate = Gate(Buffering())
        self.runs = Runs(lambda command, user: Run(Mock(), self.gate, command, user))

    def start(self, number: str, command: str = "ls") -> None:
        self.runs.receive(Happening("run", {"command": command, "user": "ada"}, number, n=1))

    def print(self, number: str, text: str) -> None:
        self.runs.receive(TerminalData(text, number))
        self.runs.receive(TerminalNewline(number))

    def end(self, number: str, code: int = 0) -> None:
        self.runs.receive(TerminalEnd(number))
        self.runs.receive(Exit(number, code))


async def test_output_from_before_the_claim_is_there_after_it() -> None:
    fixture = Fixture()
    fixture.runs.expect()
    fixture.start("r1")
    fixture.print("r1", "early")
    fixture.end("r1", 3)
    run = fixture.runs.claim("r1", "ls")
    fixture.runs.expected()
    assert await run.text() == "early\n"
    assert run.status == ExitStatus(3)
    assert fixture.runs.foreground is None


async def test_a_claim_may_come_before_the_run() -> None:
    fixture = Fixture()
    run = fixture.runs.claim("r1", "ls")
    assert fixture.runs.foreground == "r1"
    fixture.print("r1", "late")
    fixture.end("r1")
    assert await run.text() == "late\n"


def test_candidates_that_nobody_claims_are_forgotten() -> None:
    fixture = Fixture()
    fixture.runs.expect()
    fixture.start("r1")
    fixture.print("r1", "not ours")
    assert fixture.gate.unread_bytes > 0
    fixture.runs.expected()
    assert fixture.gate.unread_bytes == 0
    fixture.print("r1", "not ours either")
    assert fixture.gate.unread_bytes == 0


def test_output_of_runs_that_nobody_follows_is_dropped() -> None:
    fixture = Fixture()
    fixture.start("r1")
    fixture.print("r1", "x")
    fixture.runs.receive(TerminalData("without a run"))
    assert fixture.gate.unread_bytes == 0
    assert fixture.runs.foreground == "r1"
    fixture.end("r1")
    assert fixture.runs.foreground is None


async def test_watchers_each_get_their_own_reading_of_a_run() -> None:
    fixture = Fixture()
    one, two = fixture.runs.watch(), fixture.runs.watch()
    fixture.start("r1", "make")
    fixture.runs.unwatch(two)
    fixture.print("r1", "x")
    fixture.end("r1")
    fixture.start("r2")
    for box in (one, two):
        run = await box.take()
        assert run is not None
        assert (run.command, run.user, await run.text()) == ("make", "ada", "x\n")
    assert await two.take() is None
    assert len(one) == 1


def test_a_run_whose_end_may_be_in_a_gap_has_ended_when_another_starts() -> None:
    fixture = Fixture()
    run = fixture.runs.claim("r1", "ls")
    fixture.runs.lost(GAP)
    assert run.gaps == [GAP]
    assert run.is_running
    assert fixture.runs.foreground is None
    fixture.start("r2")
    assert run.status == ExitStatus()


def test_a_run_that_goes_on_behind_a_gap_ends_as_it_does() -> None:
    fixture = Fixture()
    run = fixture.runs.claim("r1", "ls")
    fixture.runs.lost(GAP)
    fixture.end("r1", 4)
    assert run.status == ExitStatus(4)


async def test_the_end_of_the_room_is_the_end_of_all_runs() -> None:
    fixture = Fixture()
    box = fixture.runs.watch()
    run = fixture.runs.claim("r1", "ls")
    fixture.runs.failed(RoomClosedError("idle"))
    assert not run.is_running
    assert await box.take() is None
