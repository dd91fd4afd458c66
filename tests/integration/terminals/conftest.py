"""Terminals of a real room, and clients that speak terminado's protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import websockets

from tests.integration.conftest import Served
from tests.integration.kernels.conftest import Api, api

__all__ = ["Api", "api"]

DEADLINE_S = 60.0
PROMPT = "# "
"""What the tests' shells write when they wait for a line."""


class TerminalPeer:
    """A client that knows what JupyterLab's does: JSON arrays of text."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.shown = ""
        self.has_ended = False

    async def send(self, *frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def type(self, text: str) -> None:
        await self.send("stdin", text)

    async def receive(self) -> str:
        """Receive one frame, and return its kind."""
        async with asyncio.timeout(DEADLINE_S):
            kind, *rest = json.loads(await self.socket.recv())
        if kind == "stdout":
            self.shown += rest[0]
        self.has_ended = self.has_ended or kind == "disconnect"
        return str(kind)

    async def until(self, text: str) -> str:
        """Receive until the terminal has shown this; forget all up to its end and return it."""
        parts, tail = [], ""
        while text not in tail + self.shown:
            tail = (tail + self.shown)[-len(text) :]
            parts.append(self.shown)
            self.shown = ""
            await self.receive()
        seen, _, self.shown = "".join([*parts, self.shown]).partition(text)
        return seen + text

    async def closed(self) -> tuple[int, str]:
        """Receive until the gateway closes; return its code and reason."""
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await self.receive()
        assert self.socket.close_code is not None, "not closed"
        return self.socket.close_code, self.socket.close_reason or ""

    async def until_end(self) -> int | None:
        """Receive to the end of the terminal; return the close code."""
        while not self.has_ended:
            await self.receive()
        async with asyncio.timeout(DEADLINE_S):
            await self.socket.wait_closed()
        return self.socket.close_code


@dataclass(frozen=True)
class TerminalRoom:
    """A room, opened by REST."""

    id: str
    join: str
    api: Api

    @property
    def path(self) -> str:
        return f"rooms/{self.id}/api/terminals"

    async def key(self, role: str) -> str:
        """Make a join key."""
        answer = await self.api("POST", f"api/rooms/{self.id}/keys", {"role": role})
        return f"Bearer {answer.body['join']}"

    async def open(self, **wanted: str) -> str:
        """Open a terminal and return its name."""
        answer = await self.api("POST", self.path, wanted)
        assert answer.status == 200, answer
        return str(answer.body["name"])

    async def names(self) -> list[str]:
        return [model["name"] for model in (await self.api("GET", self.path)).body]


@pytest.fixture
async def room(api: Api) -> TerminalRoom:
    answer = await api("POST", "api/rooms", {"name": "lesson"})
    assert answer.status == 201, answer
    return TerminalRoom(answer.body["id"], answer.body["join"], api)


DialTerminal = Callable[..., Awaitable[TerminalPeer]]


@pytest.fixture
async def dial_terminal(served: Served, room: TerminalRoom) -> AsyncIterator[DialTerminal]:
    """Connect to a terminal of the room; all connections are closed after the test."""
    async with AsyncExitStack() as stack:

        async def dial(name: str, authorization: str | None = None, **options: Any) -> TerminalPeer:
            url = f"ws://{served.host}{served.base_url}embedenv/rooms/{room.id}/terminals/websocket/{name}"
            connection = websockets.connect(
                url, max_size=None,
                additional_headers={"Authorization": authorization or room.api.authorization}, **options,
            )  # fmt: skip
            peer = TerminalPeer(await stack.enter_async_context(connection))
            assert await peer.receive() == "setup"
            return peer

        yield dial


@pytest.fixture
async def peer(room: TerminalRoom, dial_terminal: DialTerminal) -> TerminalPeer:
    """Somebody at a new terminal, whose shell waits for a line."""
    peer = await dial_terminal(await room.open())
    await peer.type(f"PS1='{PROMPT[:1]}'\"{PROMPT[1:]}\"\r")
    await peer.until(f'"{PROMPT[1:]}"')
    await peer.until(PROMPT)
    return peer
