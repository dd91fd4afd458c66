"""A server that speaks the published frames of the Spaces protocol, and nothing else.

It stands for a server that never heard of our additions: it answers as the
published page shows, ignores fields that it does not know, and refuses commands
that are not on the page. ``quiet_joins`` leaves joins unanswered, which the page
allows as well as anything else.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]
KEY = "plain-key"
PUBLISHED = {"project", "create", "write", "rename", "delete", "shell", "curl"}


class PlainServer:
    """See the module's text. ``complaints`` are what a client of the published page would not send."""

    def __init__(self, *, quiet_joins: bool = False) -> None:
        self.complaints: list[str] = []
        self.commands: list[Frame] = []
        self.connections: set[ServerConnection] = set()
        self.port = 0
        self._quiet_joins = quiet_joins
        self._program: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[PlainServer]:
        async with serve(self._connection, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield self

    async def _connection(self, socket: ServerConnection) -> None:
        self.connections.add(socket)
        with contextlib.suppress(ConnectionClosed):
            await self._greet(socket, json.loads(await socket.recv()))
            async for data in socket:
                await self._command(socket, json.loads(data))
        self.connections.discard(socket)

    async def _greet(self, socket: ServerConnection, hello: Frame) -> None:
        match hello:
            case {"type": "init", "secret_key": "secret"}:
                await self._send(socket, type="init", join=KEY, remaining_credits=998)
            case {"type": "join", "join": key, "user": user, "color": color} if key == KEY:
                if not self._quiet_joins:
                    await self._send(socket, type="join", join=KEY, user=user, color=color)
            case _:
                await self._send(socket, type="error", message="Invalid keys.")
                await socket.close(1008, "Invalid keys.")

    async def _send(self, socket: ServerConnection, **frame: Any) -> None:
        await socket.send(json.dumps(frame))

    async def say(self, text: str) -> None:
        """Send a line of output to everybody, as another member's program would."""
        for socket in list(self.connections):
            await self._line(socket, text)
            await self._send(socket, type="msg", message="said")

    async def _line(self, socket: ServerConnection, text: str) -> None:
        await self._send(socket, type="terminal-data", data=text)
        await self._send(socket, type="terminal-newline", data="")

    async def _end(self, socket: ServerConnection) -> None:
        self._program = None
        await self._send(socket, type="terminal-data-end")

    def cut(self) -> None:
        for socket in list(self.connections):
            socket.transport.abort()

    async def _command(self, socket: ServerConnection, frame: Frame) -> None:
        kind = frame["command"]["type"]
        self.commands.append(frame)
        if kind not in PUBLISHED or {"id", "encoding", "run"} & set(frame):
            self.complaints.append(f"not on the page: {frame}")
        match kind:
            case "project" if "broken" in frame["file_structure"]:
                await self._send(socket, type="error", message="The tree is broken.")
            case "project":
                await self._send(socket, type="msg", message="project created")
            case "write" if frame["path"] == "project/full":
                await self._send(socket, type="error", message="The disk is full.")
            case "curl":
                await self._curl(socket, frame)
            case "shell":
                await self._shell(socket, frame["command"]["command"])

    async def _curl(self, socket: ServerConnection, frame: Frame) -> None:
        if frame["url"].endswith("/refused"):
            await self._send(socket, type="error", message="Connection refused.")
        else:
            for content in ("<!DOCTYPE html>", '<html lang="en">'):
                await self._send(socket, type="chunk", content=content)
            # Two malformed frames of the published page.
            await self._send(socket, type='head><meta charset="utf-8"/></head>')
            await self._send(socket, type="body", content="Fixed HTML Trigger Engine!")
            await self._send(socket, type="chunk", content="</html>")
        await self._send(socket, type="end")

    async def _shell(self, socket: ServerConnection, line: str) -> None:
        if line == "Ctrl+C":
            await self._end(socket)
        elif self._program is not None:
            await self._line(socket, f"got {line}")
            if self._program == "ask":
                await self._end(socket)
        elif line in ("ask", "serve"):
            self._program = line
            await self._line(socket, "name?" if line == "ask" else "Serving HTTP on 0.0.0.0 port 3000")
        elif line == "ls -la":
            for data in ("total 8", "main.py", "utils.py"):
                await self._send(socket, type="terminal-data", data=data)
            await self._end(socket)
        elif line == "broke":
            await self._send(socket, type="error", message="No credits are left.")
            await self._end(socket)
        else:
            await self._line(socket, f"ran {line}")
            await self._end(socket)
