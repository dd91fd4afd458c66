"""A real gateway inside a real Jupyter server, plain WebSocket clients for it, and a PostgreSQL server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import websockets
from traitlets.config import Config

from embedenv_jupyter.app import EmbedenvApp
from embedenv_jupyter.gateway import Gateway
from tests.integration.accounts.postgres import PostgresServer, installed_binaries, running_server
from tests.integration.own_gateway import serve_gateway
from tests.lacking import lacking

__all__ = ["serve_gateway"]

DEADLINE_S = 60.0


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    binaries = installed_binaries()
    if binaries is None:
        lacking("PostgreSQL", "postgresql")
    with running_server(binaries) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    return postgres_server.new_database()


@dataclass(frozen=True)
class Served:
    """A running gateway: its managers, its address, and keys that pay."""

    app: EmbedenvApp
    host: str
    base_url: str
    public_key: str
    secret_key: str

    @property
    def gateway(self) -> Gateway:
        return self.app.gateway

    @property
    def http_url(self) -> str:
        return f"http://{self.host}{self.base_url}"

    @property
    def spaces_url(self) -> str:
        return f"ws://{self.host}{self.base_url}ws/spaces/defoult/"


@pytest.fixture
def embedenv_config() -> dict[str, Any]:
    """Override to configure ``EmbedenvApp`` for the tests of a module."""
    return {}


@pytest.fixture
def jp_server_config(jp_server_config: Config, embedenv_config: dict[str, Any], tmp_path: Any) -> Config:
    config = Config(jp_server_config)
    config.EmbedenvApp.data_dir = str(tmp_path / "embedenv")
    config.EmbedenvApp.pool_size = 0
    config.EmbedenvApp.update(embedenv_config)
    return config


@pytest.fixture
async def served(
    jp_serverapp: Any, http_server: Any, http_server_port: tuple[Any, int], jp_base_url: str
) -> AsyncIterator[Served]:
    """Start the extension in pytest-jupyter's server (which does not run start hooks itself)."""
    await jp_serverapp.extension_manager.start_all_extensions()
    (app,) = jp_serverapp.extension_manager.extension_apps["embedenv_jupyter"]
    keys = await app.gateway.accounts.create_key("tests", credits=1000)
    host = f"127.0.0.1:{http_server_port[1]}"
    yield Served(app, host, jp_base_url, keys.public_key, keys.secret_key)
    await app.gateway.aclose()


class Peer:
    """A client written from the published page alone: JSON in, JSON out."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            frame = json.loads(await self.socket.recv())
        assert isinstance(frame, dict)
        return frame

    async def until(self, *types: str) -> list[dict[str, Any]]:
        """Receive up to and with the first frame of one of these types."""
        frames = [await self.receive()]
        while frames[-1]["type"] not in types:
            frames.append(await self.receive())
        return frames

    async def command(self, kind: str, /, **fields: Any) -> None:
        inner = {key: fields.pop(key) for key in ("command", "item", "name_", "root") if key in fields}
        await self.send(
            type="cmd", project_name="unified_workspace", command={"type": kind, **inner}, **fields
        )

    async def shell(self, command: str) -> None:
        await self.command("shell", command=command)

    async def output(self, command: str) -> str:
        """Run a shell line and return its output as text."""
        await self.shell(command)
        return text_of(await self.until("terminal-data-end"))

    async def closed(self) -> int | None:
        """Wait for the close and return its code."""
        async with asyncio.timeout(DEADLINE_S):
            await self.socket.wait_closed()
        return self.socket.close_code


def text_of(frames: list[dict[str, Any]]) -> str:
    """Put the text of terminal frames together."""
    ends = {"terminal-newline": "\n"}
    return "".join(ends.get(f["type"], f["data"]) for f in frames if f["type"] in ("terminal-data", *ends))


Dial = Callable[..., Awaitable[Peer]]


@pytest.fixture
async def dial(served: Served) -> AsyncIterator[Dial]:
    """Open plain connections to the gateway; all are closed after the test."""
    async with AsyncExitStack() as stack:

        async def dial(url: str | None = None, **options: Any) -> Peer:
            options = {"max_size": None, "max_queue": None, **options}
            connection = websockets.connect(url or served.spaces_url, **options)
            return Peer(await stack.enter_async_context(connection))

        yield dial


@pytest.fixture
async def host(served: Served, dial: Dial) -> Peer:
    """A peer that has opened a room; ``peer.join_key`` admits others."""
    peer = await dial()
    await peer.send(type="init", public_key=served.public_key, secret_key=served.secret_key)
    answer = await peer.receive()
    assert answer["type"] == "init", answer
    peer.join_key = answer["join"]  # type: ignore[attr-defined]
    return peer
