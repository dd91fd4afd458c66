"""A program in a real room, and the address that shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from embedenv_jupyter.rooms.room import Room
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import Api, api

__all__ = ["Api", "api"]

DEADLINE_S = 60.0
PORT = 5000
PROGRAM = Path(__file__).with_name("program.py")


@dataclass
class Shown:
    """A room with a program, and a preview of it."""

    served: Served
    api: Api
    room: Room
    path: str = ""
    """What is to be asked of the server."""
    previews: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rest(self) -> str:
        return f"rooms/{self.room.id}/api"

    async def make(self, port: int = PORT, **wanted: float) -> str:
        """Make a preview and return its path."""
        answer = await self.api("POST", f"{self.rest}/previews", {"port": port, **wanted})
        assert answer.status == 201, answer
        self.previews.append(answer.body)
        return str(answer.body["url"])

    async def get(self, path: str = "", **options: Any) -> HTTPResponse:
        """Send a request as a browser does that has only the address."""
        request = HTTPRequest(
            f"http://{self.served.host}{self.path}{path}", request_timeout=DEADLINE_S,
            follow_redirects=False, allow_nonstandard_methods=True, **options,
        )  # fmt: skip
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    async def echo(self, path: str = "api/x", **options: Any) -> dict[str, Any]:
        """Return what the program was asked."""
        answer = json.loads((await self.get(path, **options)).body)
        assert isinstance(answer, dict)
        return answer

    async def raw(self, data: bytes) -> bytes:
        """Send bytes and return all that comes back."""
        host, _, port = self.served.host.partition(":")
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(data)
            answer = await reader.read()
            writer.close()
        return answer

    @property
    def socket_url(self) -> str:
        return f"ws://{self.served.host}{self.path}ws"


async def listening(room: Room, port: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while port not in await room.sandbox.ports():
            await asyncio.sleep(0.02)


@pytest.fixture
async def shown(served: Served, api: Api) -> AsyncIterator[Shown]:
    answer = await api("POST", "api/rooms", {"name": "lesson"})
    assert answer.status == 201, answer
    room = served.gateway.rooms.find(answer.body["id"])
    assert room is not None
    await room.sandbox.files.write("program.py", PROGRAM.read_bytes())
    process = await room.sandbox.spawn(["python3", "program.py", str(PORT)])
    await listening(room, PORT)
    shown = Shown(served, api, room)
    shown.path = await shown.make()
    assert urlsplit(shown.path).path.startswith(served.base_url)
    yield shown
    process.close()
