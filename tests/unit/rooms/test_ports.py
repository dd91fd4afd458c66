"""When a room looks for ports, and what it says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from embedenv_jupyter.errors import SandboxGoneError
from embedenv_jupyter.rooms import ports
from embedenv_jupyter.rooms.ports import PortWatch

DEADLINE_S = 10.0


class Listening:
    """The ports of a room as a test sets them, and what was said of them."""

    def __init__(self) -> None:
        self.now: set[int] = set()
        self.looks = 0
        self.is_gone = False
        self.said: list[int] = []
        self.watch = PortWatch(self.look, self.said.append)

    async def look(self) -> set[int]:
        self.looks += 1
        if self.is_gone:
            raise SandboxGoneError("closed")
        return set(self.now)

    async def looked(self, times: int = 2) -> None:
        """Wait until it was looked that often from now on; with two, once from the beginning."""
        until = self.looks + times
        async with asyncio.timeout(DEADLINE_S):
            while self.looks < until:
                await asyncio.sleep(0)

    async def ended(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while any(task.get_name() == "ports" for task in asyncio.all_tasks()):
                await asyncio.sleep(0)


@pytest.fixture
async def listening(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listening]:
    monkeypatch.setattr(ports, "LOOK_AFTER_S", (0.0, 0.0, 0.0))
    listening = Listening()
    yield listening
    await listening.watch.aclose()


async def test_each_port_is_told_once_and_again_when_it_comes_back(listening: Listening) -> None:
    listening.watch.runs_changed(1)
    for now in ({3000}, {3000, 8080}, {8080}, {8080, 3000}):
        listening.now = now
        await listening.looked()
    assert listening.said == [3000, 8080, 3000]


async def test_an_idle_room_is_not_looked_at(listening: Listening) -> None:
    listening.watch.runs_changed(1)
    await listening.looked(20)
    listening.watch.runs_changed(0)
    await listening.ended()
    looks = listening.looks
    await asyncio.sleep(0)
    assert listening.looks == looks


async def test_what_the_last_run_left_behind_is_found(listening: Listening) -> None:
    listening.watch.runs_changed(1)
    listening.watch.runs_changed(0)
    listening.now = {3000}
    await listening.ended()
    assert listening.said == [3000]


async def test_many_ports_at_once_are_told_a_few_at_a_time(listening: Listening) -> None:
    listening.now = set(range(1, 101))
    listening.watch.runs_changed(1)
    await listening.looked(1)
    assert len(listening.said) <= ports.MAX_REPORTED
    await listening.looked(20)
    assert listening.said == list(range(1, 101))


async def test_the_end_of_the_sandbox_ends_it(listening: Listening) -> None:
    listening.is_gone = True
    listening.watch.runs_changed(1)
    await listening.ended()
    assert listening.looks == 1
    await listening.watch.aclose()
    listening.watch.runs_changed(1)
    await listening.ended()
    assert listening.looks == 1
