"""Members of rooms that ask, and members that read by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.conftest import Dial, Served
from tests.integration.spaces.peers import Asking, Raw

DialRaw = Callable[[], Awaitable[Raw]]
JoinRaw = Callable[..., Awaitable[Raw]]


@pytest.fixture
async def member(served: Served, dial: Dial) -> Asking:
    """The owner of a new room, who asks."""
    return await Asking.init(served, dial)


@pytest.fixture
async def dial_raw(served: Served) -> AsyncIterator[DialRaw]:
    """Open connections that are read and written by hand; all are cut after the test."""
    async with AsyncExitStack() as stack:

        async def dial() -> Raw:
            raw = await Raw.dial(served)
            stack.push_async_callback(raw.aclose)
            return raw

        yield dial


@pytest.fixture
def join_raw(dial_raw: DialRaw) -> JoinRaw:
    """Enter a room by hand."""

    async def join(key: str, **fields: Any) -> Raw:
        raw = await dial_raw()
        await raw.join(key, **fields)
        return raw

    return join
