"""Async fixtures on pytest-jupyter's loop, which by itself runs async tests only.

A fixture runs from its first to its last line in one task of its own, so that
it may hold an ``async with`` (a TaskGroup, a timeout) open while the test runs.
It must have the scope of a function: so has the loop.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Let pytest see a plain fixture in the place of an async one, for the time of its set-up."""
    original: Callable[..., Any] = fixturedef.func
    if inspect.isasyncgenfunction(original):
        run: Callable[..., Any] = _run_generator
    elif inspect.iscoroutinefunction(original):
        run = _run_coroutine
    else:
        return (yield)
    loop: asyncio.AbstractEventLoop = request.getfixturevalue("jp_asyncio_loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixturedef, "func", functools.partial(run, loop, original))
        return (yield)


def _run_coroutine(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], **arguments: Any) -> Any:
    return loop.run_until_complete(function(**arguments))


def _run_generator(
    loop: asyncio.AbstractEventLoop, function: Callable[..., AsyncGenerator[Any, None]], **arguments: Any
) -> Generator[Any, None, None]:
    started: asyncio.Future[Any] = loop.create_future()
    test_ended = asyncio.Event()

    async def hold() -> None:
        fixture = function(**arguments)
        started.set_result(await anext(fixture))
        await test_ended.wait()
        async for _ in fixture:
            raise RuntimeError(f"the fixture {function.__name__} yields more than once")

    task = loop.create_task(hold())
    # A failure before the first yield ends the task, and `started` stays open.
    loop.run_until_complete(asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED))
    if not started.done():
        loop.run_until_complete(task)
    yield started.result()
    test_ended.set()
    loop.run_until_complete(task)
