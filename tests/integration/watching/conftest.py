"""Clients of the sockets that tell what happens in rooms, and browsers that have passes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from http.cookies import SimpleCookie
from typing import Any

import pytest
import websockets
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from tests.integration.conftest import Served
from tests.integration.kernels.conftest import DEADLINE_S, Answer, Api, api

__all__ = ["api"]


@pytest.fixture
def embedenv_config() -> dict[str, Any]:
    return {"kernel_pool_size": 0}


class Watcher:
    """One connection to a socket of events, written from the page alone."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []
        """What has come so far, usage left out."""

    async def send(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def receive(self) -> dict[str, Any]:
        """Return the next frame that tells no usage."""
        while True:
            async with asyncio.timeout(DEADLINE_S):
                frame = json.loads(await self.socket.recv())
            assert isinstance(frame, dict)
            if frame.get("type") != "usage":
                self.seen.append(frame)
                return frame

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """Receive up to the first frame with these fields, and return it."""
        while True:
            frame = await self.receive()
            if all(frame.get(name) == value for name, value in wanted.items()):
                return frame

    async def usage(self) -> dict[str, Any]:
        while True:
            async with asyncio.timeout(DEADLINE_S):
                frame = json.loads(await self.socket.recv())
            if frame.get("type") == "usage":
                return dict(frame)

    async def hello(self, **fields: Any) -> dict[str, Any]:
        await self.send("hello", **fields)
        answer = await self.receive()
        assert answer["type"] == "hello", answer
        return answer

    async def closed(self) -> tuple[int | None, str | None]:
        async with asyncio.timeout(DEADLINE_S):
            await self.socket.wait_closed()
        return self.socket.close_code, self.socket.close_reason

    async def parted(self) -> tuple[int | None, str]:
        """Receive up to the goodbye; return the code of the close and the reason that was given."""
        bye = await self.until(type="bye")
        return (await self.closed())[0], bye["reason"]


async def rest_of(socket: websockets.ClientConnection) -> list[str | bytes]:
    """Receive until the server has closed."""
    frames: list[str | bytes] = []
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                frames.append(await socket.recv())
    return frames


Watch = Callable[..., Awaitable[Watcher]]


@pytest.fixture
async def watch(served: Served, api: Api) -> AsyncIterator[Watch]:
    """Open connections to events, as the owner if nothing else is said; all are closed after the test."""
    async with AsyncExitStack() as stack:

        async def watch(
            path: str, browser: Browser | None = None, key: str | None = None, **more: Any
        ) -> Watcher:
            if browser is not None:
                headers = browser.headers
            else:
                headers = {"Authorization": f"Bearer {key}" if key is not None else api.authorization}
            url = f"ws://{served.host}{served.base_url}embedenv/{path}"
            connection = websockets.connect(url, additional_headers=headers, max_size=None, **more)
            return Watcher(await stack.enter_async_context(connection))

        yield watch


class Browser:
    """Keeps cookies as a browser does, and has no login unless given the token of the server."""

    def __init__(self, served: Served, authorization: str = "") -> None:
        self.served = served
        self.authorization = authorization
        self.cookies: dict[str, str] = {}
        self.last: HTTPResponse | None = None

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if self.authorization:
            headers["Authorization"] = self.authorization
        if "_xsrf" in self.cookies:
            headers["X-XSRFToken"] = self.cookies["_xsrf"]
        return headers

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        request = HTTPRequest(
            f"{self.served.http_url}embedenv/{path}", method=method, headers={**self.headers, **headers},
            body=json.dumps(body) if body is not None else None, allow_nonstandard_methods=True,
            request_timeout=DEADLINE_S,
        )  # fmt: skip
        self.last = response = await AsyncHTTPClient().fetch(request, raise_error=False)
        for line in response.headers.get_list("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if not morsel.value:
                    del self.cookies[name]
        return Answer(response.code, json.loads(response.body) if response.body else None)

    async def join(self, key: str, **fields: Any) -> dict[str, Any]:
        answer = await self("POST", "api/join", {"join": key, **fields})
        assert answer.status == 200, answer
        return dict(answer.body)


@pytest.fixture
def browser(served: Served) -> Callable[..., Browser]:
    return lambda authorization="": Browser(served, authorization)


Open = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def open_room(api: Api) -> Open:
    async def open_room(**fields: Any) -> dict[str, Any]:
        answer = await api("POST", "api/rooms", fields)
        assert answer.status == 201, answer
        return dict(answer.body)

    return open_room


KeyFor = Callable[..., Awaitable[str]]


@pytest.fixture
def key_for(api: Api) -> KeyFor:
    async def key_for(room: dict[str, Any], role: str, **fields: Any) -> str:
        answer = await api("POST", f"api/rooms/{room['id']}/keys", {"role": role, **fields})
        assert answer.status == 201, answer
        return str(answer.body["join"])

    return key_for
