"""Clients of the Engine protocol that are written from its page: JSON in, JSON out."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import websockets
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from tests.integration.conftest import Served

DEADLINE_S = 60.0
ENDS = ("result", "error")


@dataclass
class Streamed:
    """A streamed run, as far as it has come."""

    frames: list[dict[str, Any]] = field(default_factory=list)

    def text(self, stream: str = "stdout") -> str:
        return "".join(frame["data"] for frame in self.frames if frame["type"] == stream)

    @property
    def end(self) -> dict[str, Any]:
        return self.frames[-1]


class EnginePeer:
    """One connection. Frames of different runs may mix; each is kept until somebody asks for its run's."""

    def __init__(self, socket: websockets.ClientConnection, key: str) -> None:
        self.socket = socket
        self.key = key
        self._waiting: list[dict[str, Any]] = []
        self._ids = itertools.count(1)

    async def send(self, action: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"action": action, **fields}))

    async def receive(self) -> dict[str, Any]:
        """Return the next frame, whatever it belongs to."""
        if self._waiting:
            return self._waiting.pop(0)
        return await self._read()

    async def _read(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            frame = json.loads(await self.socket.recv())
        assert isinstance(frame, dict)
        return frame

    async def of(self, id: str) -> dict[str, Any]:
        """Return the next frame of a run; those of others wait."""
        for frame in self._waiting:
            if frame.get("id") == id:
                self._waiting.remove(frame)
                return frame
        while (frame := await self._read()).get("id") != id:
            self._waiting.append(frame)
        return frame

    async def ask(self, code: str, language: str = "python", **fields: Any) -> dict[str, Any]:
        """Run code without a stream, and return the answer."""
        id = fields.pop("id", f"a{next(self._ids)}")
        await self.send("execute", language=language, code=code, api_key=self.key, id=id, **fields)
        return await self.of(id)

    async def begin(self, code: str, language: str = "python", **fields: Any) -> str:
        """Begin a streamed run, and return its id."""
        id = fields.pop("id", f"s{next(self._ids)}")
        await self.send(
            "execute", language=language, code=code, api_key=self.key, id=id, stream=True, **fields
        )
        return str(id)

    async def until(self, id: str, type: str, text: str = "") -> Streamed:
        """Receive a run's frames up to one of this type, and until they have printed ``text``."""
        seen = Streamed()
        while not seen.frames or seen.end["type"] != type or text not in seen.text():
            seen.frames.append(await self.of(id))
            assert seen.end["type"] not in ENDS or seen.end["type"] == type, seen.frames
        return seen

    async def stream(self, code: str, language: str = "python", **fields: Any) -> Streamed:
        """Run code with a stream, to its end."""
        id = await self.begin(code, language, **fields)
        seen = Streamed([await self.of(id)])
        while seen.end["type"] not in ENDS:
            seen.frames.append(await self.of(id))
        return seen


Dial = Callable[..., Awaitable[EnginePeer]]


@pytest.fixture
def engine_url(served: Served) -> str:
    return f"ws://{served.host}{served.base_url}ws"


@pytest.fixture
async def api_key(served: Served) -> str:
    return (await served.gateway.accounts.create_key("Ada", credits=100_000)).api_key


@pytest.fixture
async def dial_engine(engine_url: str, api_key: str) -> AsyncIterator[Dial]:
    """Connect; all connections are closed after the test."""
    async with AsyncExitStack() as stack:

        async def dial(key: str = api_key, **options: Any) -> EnginePeer:
            socket = await stack.enter_async_context(websockets.connect(engine_url, max_size=None, **options))
            return EnginePeer(socket, key)

        yield dial


@pytest.fixture
async def peer(dial_engine: Dial) -> EnginePeer:
    return await dial_engine()


Post = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture
def post(served: Served, api_key: str) -> Post:
    """Send a body to ``api/v1/execute``; the key is the account's, or what is given."""

    async def post(body: Any, key: str | None = api_key, **headers: str) -> HTTPResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        request = HTTPRequest(
            f"{served.http_url}api/v1/execute",
            method="POST",
            headers=sent,
            body=raw,
            request_timeout=DEADLINE_S,
        )
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    return post
