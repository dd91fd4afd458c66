"""An Engine gateway written from the published page alone, which really runs python and bash.

Each connection keeps nothing between runs. ``conduct`` lets a test answer a request itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

COMMANDS = {"python": [sys.executable, "-I", "-c"], "bash": ["bash", "-c"]}

Conduct = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]


class EnginePeer:
    """``wss://HOST/ws`` of the page, on this machine and with one key."""

    def __init__(self, api_key: str) -> None:
        self.api_key = api_key
        self.port = 0
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.sockets: set[ServerConnection] = set()
        self.greeting: list[str | bytes] = []
        """What is sent to each new connection before it asked for anything."""
        self.conduct: Conduct | None = None
        """Answers the requests, where it is set."""
        self.running = asyncio.Event()
        """Set while a program runs."""
        self.killed = asyncio.Event()
        """Set when a program was ended because its client left."""
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[EnginePeer]:
        await self.appear()
        try:
            yield self
        finally:
            await self.vanish()

    async def appear(self) -> None:
        """Listen, after the first time on the port of the first time."""
        # A compressed answer would be bounded before it is unpacked; the tests of bounds want it plain.
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, compression=None, max_size=None, close_timeout=1
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def vanish(self) -> None:
        """Close every connection and stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.sockets.add(socket)
        with contextlib.suppress(ConnectionClosed):
            for frame in self.greeting:
                await socket.send(frame)
            async for message in socket:
                request = json.loads(message)
                self.requests.append(request)
                await (self.conduct or self._answer)(socket, request)

    async def _answer(self, socket: ServerConnection, request: dict[str, Any]) -> None:
        if request.get("action") != "execute" or request.get("api_key") != self.api_key:
            await socket.send(json.dumps({"type": "error", "message": f"bad key {request.get('api_key')}"}))
            return
        command = COMMANDS.get(request["language"])
        if command is None:
            await socket.send(json.dumps({"error": f"no such language; there are: {', '.join(COMMANDS)}"}))
            return
        await socket.send(json.dumps(await self._run(socket, [*command, request["code"]])))

    async def _run(self, socket: ServerConnection, argv: list[str]) -> dict[str, Any]:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.running.set()
        async with asyncio.TaskGroup() as group:
            left = group.create_task(self._kill_when_left(socket, process))
            stdout, stderr = await process.communicate()
            left.cancel()
        self.running.clear()
        return {
            "stdout": stdout.decode("utf-8", "replace"),
            "stderr": stderr.decode("utf-8", "replace"),
            "exit_code": process.returncode,
            "execution_time": round((time.monotonic() - began) * 1000),
        }

    async def _kill_when_left(self, socket: ServerConnection, process: asyncio.subprocess.Process) -> None:
        await socket.wait_closed()
        process.kill()
        self.killed.set()
