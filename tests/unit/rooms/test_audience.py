"""Who watches a room is told the newest of what has no number."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from embedenv_jupyter.errors import SandboxGoneError
from embedenv_jupyter.rooms import audience as module
from embedenv_jupyter.rooms.audience import Audience
from embedenv_jupyter.sandbox.spec import Usage


class Counting:
    """Stands for a sandbox: counts how often it is looked at."""

    def __init__(self) -> None:
        self.spec = SimpleNamespace(id="s")
        self.looks = 0
        self.is_gone = False

    async def usage(self) -> Usage:
        self.looks += 1
        if self.is_gone:
            raise SandboxGoneError("oom")
        return Usage(pids=self.looks)


class Watching:
    def __init__(self) -> None:
        self.usages: asyncio.Queue[Usage] = asyncio.Queue()
        self.looking: list[str] = []

    def used(self, usage: Usage) -> None:
        self.usages.put_nowait(usage)

    def looks_at(self, member: str) -> None:
        self.looking.append(member)

    async def next(self) -> int | None:
        async with asyncio.timeout(10):
            return (await self.usages.get()).pids


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)


def audience_of(sandbox: Any) -> Audience:
    return Audience(sandbox)


async def test_one_look_is_for_all_and_the_last_is_told_at_once() -> None:
    sandbox, one, other = Counting(), Watching(), Watching()
    audience = audience_of(sandbox)
    audience.add(one)
    assert await one.next() == 1
    audience.add(other)
    assert other.usages.get_nowait().pids == sandbox.looks
    assert await other.next() == await one.next()
    await audience.aclose()


async def test_nobody_looks_while_nobody_watches() -> None:
    sandbox, one = Counting(), Watching()
    audience = audience_of(sandbox)
    assert sandbox.looks == 0
    audience.add(one)
    await one.next()
    (looking,) = [task for task in asyncio.all_tasks() if task.get_name() == "usage of s"]
    audience.remove(one)
    audience.remove(one)
    async with asyncio.timeout(10):
        await looking
    looks = sandbox.looks
    audience.add(one)
    while await one.next() != looks + 1:
        pass
    await audience.aclose()


async def test_a_sandbox_that_has_gone_ends_the_looking() -> None:
    sandbox, one = Counting(), Watching()
    audience = audience_of(sandbox)
    audience.add(one)
    await one.next()
    (looking,) = [task for task in asyncio.all_tasks() if task.get_name() == "usage of s"]
    sandbox.is_gone = True
    async with asyncio.timeout(10):
        await looking
    await audience.aclose()


async def test_a_closed_audience_looks_no_more() -> None:
    sandbox = Counting()
    audience = audience_of(sandbox)
    await audience.aclose()
    audience.add(Watching())
    await asyncio.sleep(0)
    assert sandbox.looks == 0


async def test_others_are_told_where_somebody_is() -> None:
    audience, one, other = audience_of(Counting()), Watching(), Watching()
    audience.add(one)
    audience.add(other)
    audience.tell_where("m1", but=one)
    assert (one.looking, other.looking) == ([], ["m1"])
    await audience.aclose()
