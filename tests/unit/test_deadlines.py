"""Deadlines, above all where the task that has them is being cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import embedenv_jupyter
from embedenv_jupyter.deadlines import deadline

PACKAGE = Path(embedenv_jupyter.__file__).parent


async def test_time_is_up() -> None:
    with pytest.raises(TimeoutError):
        async with deadline(0.01):
            await asyncio.Event().wait()


async def test_what_is_in_time_goes_on() -> None:
    async with deadline(60), deadline(None):
        await asyncio.sleep(0)


async def test_time_is_up_for_who_cleans_up_after_a_cancellation() -> None:
    seen: list[str] = []

    async def cleaning() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                async with deadline(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                seen.append("killed")

    task = asyncio.create_task(cleaning())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["killed"]


async def test_cancellation_from_outside_is_no_timeout() -> None:
    async def waiting() -> None:
        async with deadline(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancellation_in_the_moment_of_the_deadline_is_not_lost() -> None:
    async def waiting() -> None:
        async with deadline(0):
            task.cancel()
            await asyncio.Event().wait()

    task = asyncio.create_task(waiting())
    with pytest.raises(asyncio.CancelledError):
        await task


def test_everything_of_ours_has_deadlines_that_hold_in_cleaning_up() -> None:
    users = {path.name for path in PACKAGE.rglob("*.py") if "asyncio.timeout(" in path.read_text()}
    assert users == {"deadlines.py"}
