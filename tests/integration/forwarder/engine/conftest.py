"""An Engine gateway on this machine, and kernels that forward to it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from tests.integration.forwarder.engine_peer import EnginePeer

API_KEY = "sk-test-6f1d2c9a"
DEADLINE_S = 30.0


@pytest.fixture
async def peer() -> AsyncIterator[EnginePeer]:
    async with EnginePeer(API_KEY).serving() as peer:
        yield peer


@dataclass
class Outcome:
    """What a cell did, as a front end sees it."""

    reply: dict[str, Any]
    metadata: dict[str, Any]
    stdout: str = ""
    stderr: str = ""
    errors: list[dict[str, Any]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    @property
    def error(self) -> str:
        """The one error that the notebook shows."""
        (error,) = self.errors
        assert error["traceback"] == [f"{error['ename']}: {error['evalue']}"]
        assert self.reply["status"] == "error" and self.reply["evalue"] == error["evalue"]
        return f"{error['ename']}: {error['evalue']}"


class Front:
    """A front end of one kernel."""

    def __init__(self, manager: AsyncKernelManager, client: AsyncKernelClient, log: Path) -> None:
        self.manager = manager
        self.client = client
        self.log = log

    async def run(self, code: str, **options: Any) -> Outcome:
        """Run a cell to its end."""
        return await self.outcome(self.client.execute(code, **options))

    async def outcome(self, request: str) -> Outcome:
        """Collect what belongs to a request, up to its idle status and its reply."""
        outcome = Outcome({}, {})
        async with asyncio.timeout(DEADLINE_S):
            while "idle" not in outcome.states:
                message = await self.client.get_iopub_msg(timeout=DEADLINE_S)
                if message["parent_header"].get("msg_id") == request:
                    _note(outcome, message["msg_type"], message["content"])
            reply = await self._reply(request)
        outcome.reply, outcome.metadata = reply["content"], reply["metadata"]
        return outcome

    async def reply(self, request: str) -> dict[str, Any]:
        """Return the reply to a request that runs nothing."""
        async with asyncio.timeout(DEADLINE_S):
            return dict((await self._reply(request))["content"])

    async def _reply(self, request: str) -> dict[str, Any]:
        while True:
            reply: dict[str, Any] = await self.client.get_shell_msg(timeout=DEADLINE_S)
            if reply["parent_header"]["msg_id"] == request:
                return reply

    async def control(self, kind: str, **content: Any) -> dict[str, Any]:
        """Send a request on the control channel and return its reply."""
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                reply: dict[str, Any] = await self.client.get_control_msg(timeout=DEADLINE_S)
                if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
                    return dict(reply["content"])


def _note(outcome: Outcome, kind: str, content: dict[str, Any]) -> None:
    match kind, content:
        case "stream", {"name": "stdout", "text": text}:
            outcome.stdout += text
        case "stream", {"text": text}:
            outcome.stderr += text
        case "error", _:
            outcome.errors.append(content)
        case "status", {"execution_state": state}:
            outcome.states.append(state)


StartKernel = Callable[..., Awaitable[Front]]


@pytest.fixture
def kernel_dir(tmp_path: Path) -> Path:
    """A folder of kernelspecs: the two ways in which a kernel may be interrupted, and the usual forwarder."""
    for mode in ("message", "signal", "usual"):
        folder = tmp_path / "kernels" / f"engine-{mode}"
        folder.mkdir(parents=True)
        module = "embedenv_jupyter.forwarder" + ("" if mode == "usual" else ".engine_kernel")
        spec = {
            "argv": [sys.executable, "-m", module, "-f", "{connection_file}"],
            "display_name": "Embedenv", "language": "python",
            "interrupt_mode": "message" if mode == "usual" else mode,
        }  # fmt: skip
        (folder / "kernel.json").write_text(json.dumps(spec))
    return tmp_path / "kernels"


@pytest.fixture
def kernel_env(peer: EnginePeer) -> dict[str, str]:
    """What a kernel needs to reach the peer, in the environment where Jupyter starts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMBEDENV_")}
    return {**kept, "EMBEDENV_URL": peer.url, "EMBEDENV_API_KEY": API_KEY}


def make_manager(kernel_dir: Path, mode: str = "message") -> AsyncKernelManager:
    specs = KernelSpecManager(kernel_dirs=[str(kernel_dir)], ensure_native_kernel=False)
    return AsyncKernelManager(kernel_name=f"engine-{mode}", kernel_spec_manager=specs)


@pytest.fixture
async def start_kernel(
    kernel_dir: Path, kernel_env: dict[str, str], tmp_path: Path
) -> AsyncIterator[StartKernel]:
    """Start kernels; each is shut down after the test."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, mode: str = "message", **environment: str) -> Front:
            manager = make_manager(kernel_dir, mode)
            log = tmp_path / f"kernel-{len(list(tmp_path.iterdir()))}.log"
            stderr = stack.enter_context(log.open("wb"))
            await manager.start_kernel(
                env={**kernel_env, **environment}, stderr=stderr, extra_arguments=list(arguments)
            )
            stack.push_async_callback(manager.shutdown_kernel)
            client = manager.client()
            assert isinstance(client, AsyncKernelClient)
            client.start_channels()
            stack.callback(client.stop_channels)
            await client.wait_for_ready(timeout=DEADLINE_S)
            return Front(manager, client, log)

        yield start
