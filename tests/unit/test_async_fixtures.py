"""Async fixtures: the test's loop, one task from set-up to clean-up, and no failure lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def answer() -> int:
    await asyncio.sleep(0)
    return 42


@pytest.fixture
async def workers(answer: int) -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        endless = group.create_task(asyncio.Event().wait())
        yield group
        endless.cancel()


def test_a_plain_test_gets_what_an_async_fixture_returns(answer: int) -> None:
    assert answer == 42


async def test_a_task_group_stays_open_around_the_test(workers: asyncio.TaskGroup) -> None:
    task = workers.create_task(asyncio.sleep(0, "done"))
    assert await task == "done"


FAILING = """
import asyncio, pytest

@pytest.fixture
async def fails_at_first():
    raise OSError("at first")
    yield

@pytest.fixture
async def fails_at_last():
    yield
    raise OSError("at last")

@pytest.fixture
async def yields_twice():
    yield 1
    yield 2

def test_first(fails_at_first): pass
def test_last(fails_at_last): pass
def test_twice(yields_twice): pass
"""


def test_a_failure_in_a_fixture_is_an_error_of_its_test(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING)
    plugins = ["-p", "pytest_jupyter.jupyter_server", "-p", "tests.async_fixtures", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", f"--rootdir={tmp_path}", *plugins, str(tmp_path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert "OSError: at first" in told
    assert "OSError: at last" in told
    assert "the fixture yields_twice yields more than once" in told
    assert "2 passed, 3 errors" in told
