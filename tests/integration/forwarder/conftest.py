"""Kernels that are started as Jupyter starts them, with the forwarder between us and a room."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager

from tests.integration.own_gateway import OwnGateway, serving_gateways

DEADLINE_S = 40.0


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    """One gateway for the tests of a module."""
    with serving_gateways(tmp_path_factory.mktemp("gateway")) as serve:
        yield serve("--EmbedenvApp.kernel_pool_size=0", "--EmbedenvApp.pool_size=0")


@pytest.fixture
def by_api_key(gateway: OwnGateway) -> dict[str, str]:
    """What sends a forwarder to the gateway."""
    return {"EMBEDENV_URL": gateway.http_url, "EMBEDENV_API_KEY": gateway.api_key}


class Notebook:
    """A kernel and a client of it."""

    def __init__(self, manager: AsyncKernelManager | None, client: AsyncKernelClient, room: str = "") -> None:
        self._manager = manager
        self.room = room
        self.client = client

    @property
    def manager(self) -> AsyncKernelManager:
        assert self._manager is not None, "this kernel has no process"
        return self._manager

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.manager.provisioner.process.pid)  # type: ignore[union-attr]

    @property
    def memory_file(self) -> Path:
        return Path(self.manager.connection_file).with_suffix(".embedenv")

    @property
    def memory(self) -> dict[str, Any]:
        found = json.loads(self.memory_file.read_text())
        assert isinstance(found, dict)
        return found

    async def iopub(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.client.get_iopub_msg(timeout=DEADLINE_S)
        return message

    async def until(self, type: str, parent: str = "") -> list[dict[str, Any]]:
        """Receive on iopub up to and with the first message of a type that belongs to ``parent``."""
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["msg_type"] != type or parent not in ("", parent_of(seen[-1])):
            seen.append(await self.iopub())
        return seen

    async def until_idle(self, id: str) -> list[dict[str, Any]]:
        """Receive what belongs to a cell until it has ended."""
        seen: list[dict[str, Any]] = []
        while True:
            message = await self.iopub()
            if parent_of(message) == id:
                if message["content"].get("execution_state") == "idle":
                    return seen
                seen.append(message)

    async def reply(self, id: str, channel: str = "shell") -> dict[str, Any]:
        """Wait for the reply to a request."""
        receive = {"shell": self.client.get_shell_msg, "control": self.client.get_control_msg}[channel]
        while True:
            message: dict[str, Any] = await receive(timeout=DEADLINE_S)
            if parent_of(message) == id:
                return message

    async def run(self, code: str) -> tuple[str, dict[str, Any]]:
        """Run a cell; return what it printed, and the content of the reply."""
        id = self.client.execute(code, allow_stdin=True)
        text = text_of(await self.until_idle(id))
        content: dict[str, Any] = (await self.reply(id))["content"]
        return text, content

    async def control(self, type: str, content: dict[str, Any]) -> dict[str, Any]:
        """Ask something on the control channel."""
        message = self.client.session.msg(type, content)
        self.client.control_channel.send(message)
        return await self.reply(message["header"]["msg_id"], "control")


def parent_of(message: dict[str, Any]) -> str:
    return str(message["parent_header"].get("msg_id", ""))


def text_of(messages: list[dict[str, Any]]) -> str:
    return "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")


async def eventually(holds: Callable[[], bool], what: str, seconds: float = DEADLINE_S) -> None:
    """Wait until something holds that tells nobody when it changes."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


StartNotebook = Callable[..., Awaitable[Notebook]]


@pytest.fixture
async def start_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StartNotebook]:
    """Start kernels with an environment; what still runs is shut down after the test."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    async with AsyncExitStack() as stack:

        async def start(env: dict[str, str] | None = None, *, ready: bool = True) -> Notebook:
            manager = AsyncKernelManager(kernel_name="embedenv")
            clean = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
            await manager.start_kernel(env={**clean, **(env or {})})
            stack.push_async_callback(_shut_down, manager)
            client = manager.client()
            client.start_channels()
            stack.callback(client.stop_channels)
            if ready:
                await client.wait_for_ready(timeout=DEADLINE_S)
            return Notebook(manager, client)

        yield start


async def _shut_down(manager: AsyncKernelManager) -> None:
    if await manager.is_alive():
        await manager.shutdown_kernel()
    manager.context.destroy()
