"""Several rooms on a real server, and clients of their kernels."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tests.integration.kernels.conftest import Api, KernelPeer, OpenRoom
from tests.integration.kernels.peers import socket_to


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


OpenAnother = Callable[..., Awaitable[OpenRoom]]


@pytest.fixture
def open_another(api: Api) -> OpenAnother:
    """Open rooms, by default for the account of the first one."""

    async def open(name: str, by: Api = api) -> OpenRoom:
        answer = await by("POST", "api/rooms", {"name": name, "kernel": True})
        assert answer.status == 201, answer
        return OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], by)

    return open


Enter = Callable[..., Awaitable[KernelPeer]]


@pytest.fixture
async def enter() -> AsyncIterator[Enter]:
    """Become a client of a room's kernel, as its owner or with a key."""
    async with AsyncExitStack() as stack:

        async def enter(room: OpenRoom, key: str | None = None) -> KernelPeer:
            return KernelPeer(await stack.enter_async_context(socket_to(room, key=key)))

        yield enter
