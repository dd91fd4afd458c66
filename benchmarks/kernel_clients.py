"""The sides of the kernel benchmark, and one client that speaks Jupyter's protocol to all of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import websockets

from benchmarks.serving import DEADLINE_S, HEADERS, Server
from embedenv_jupyter.protocols import kernels as protocol

COMPLETED = "import json\njso"
FORWARDER = "embedenv-process"


@dataclass(frozen=True)
class Place:
    """A kernel that was started: where its channels are, and what to delete in the end."""

    channels: str
    resource: str


@dataclass(frozen=True)
class Stock:
    """Kernels of the server itself, by the name of their spec."""

    kernel_name: str
    is_ours: bool

    async def start(self, server: Server) -> Place:
        kernel = await server.ask("POST", "api/kernels", {"name": self.kernel_name})
        path = f"api/kernels/{kernel['id']}"
        return Place(f"{path}/channels", path)


@dataclass(frozen=True)
class Rooms:
    """Each kernel in a room of its own."""

    is_ours: bool = True

    async def start(self, server: Server) -> Place:
        room = await server.ask("POST", "embedenv/api/rooms", {"kernel": True})
        channels = f"embedenv/rooms/{room['id']}/api/kernels/{room['kernel']['id']}/channels"
        return Place(channels, f"embedenv/api/rooms/{room['id']}")


Side = Rooms | Stock

IN_ROOM = Rooms()
IPYKERNEL = Stock("python3", is_ours=False)
FORWARDED = Stock(FORWARDER, is_ours=True)


def write_forwarder_spec(data_dir: Path) -> None:
    """Install a kernelspec that starts the forwarder as a process also where the server has rooms itself."""
    folder = data_dir / "kernels" / FORWARDER
    folder.mkdir(parents=True)
    spec = {
        "argv": [sys.executable, "-m", "embedenv_jupyter.forwarder", "-f", "{connection_file}"],
        "display_name": "Embedenv", "language": "python", "interrupt_mode": "message",
    }  # fmt: skip
    (folder / "kernel.json").write_text(json.dumps(spec))


@dataclass
class Ran:
    """What a request took, and what came meanwhile."""

    ms: float
    frames: list[bytes]

    def outputs(self) -> tuple[int, int]:
        """Count the messages with output, and the bytes of text in them; notes about loss do not count."""
        count = size = 0
        for frame in self.frames:
            message = protocol.decode(frame)
            kind = json.loads(message.parts[0])["msg_type"]
            content = json.loads(message.parts[3]) if kind in ("stream", "display_data") else {}
            if kind == "display_data" or content.get("name") == "stdout":
                count += 1
                size += len(content.get("text", ""))
        return count, size


class Peer:
    """A client that looks at no more of the protocol than it must."""

    def __init__(self, connection: websockets.ClientConnection, *, acks_at_once: bool) -> None:
        self._socket = connection
        self._tcp = connection.transport.get_extra_info("socket") if acks_at_once else None
        self._session = uuid.uuid4().hex

    async def request(self, kind: str, content: dict[str, Any], *, idle: bool = True) -> Ran:
        """Ask for something on the shell channel; return at its reply and, perhaps, ``idle``."""
        id = uuid.uuid4().hex
        header = {
            "msg_id": id, "msg_type": kind, "session": self._session, "username": "bench",
            "date": datetime.now(UTC).isoformat(), "version": "5.4",
        }  # fmt: skip
        parts = tuple(json.dumps(part).encode() for part in (header, {}, {}, content))
        began = time.perf_counter()
        await self._socket.send(protocol.encode(protocol.Message("shell", parts)))
        frames = await self._until(id.encode(), kind.replace("request", "reply").encode(), idle=idle)
        return Ran((time.perf_counter() - began) * 1e3, frames)

    async def _until(self, id: bytes, reply: bytes, *, idle: bool) -> list[bytes]:
        frames: list[bytes] = []
        is_replied, is_idle = False, not idle
        async with asyncio.timeout(DEADLINE_S):
            while not (is_replied and is_idle):
                if self._tcp is not None:  # it holds for a while only (tcp(7))
                    self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                frame = await self._socket.recv(decode=False)
                frames.append(frame)
                if len(frame) > 4096:
                    continue  # output; the ends that we wait for are small
                is_replied = is_replied or (reply in frame and id in frame)
                is_idle = is_idle or (b'"idle"' in frame and id in frame)
        return frames

    async def run(self, code: str, *, idle: bool = True) -> Ran:
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        return await self.request("execute_request", content, idle=idle)

    async def complete(self) -> Ran:
        content = {"code": COMPLETED, "cursor_pos": len(COMPLETED)}
        return await self.request("complete_request", content, idle=False)


@contextlib.asynccontextmanager
async def connected(server: Server, side: Side, *, acks_at_once: bool = False) -> AsyncIterator[Peer]:
    """Start a kernel, connect to it, and end it in the end."""
    place = await side.start(server)
    async with websockets.connect(
        f"ws://127.0.0.1:{server.port}/{place.channels}?session_id={uuid.uuid4().hex}",
        subprotocols=[websockets.Subprotocol(protocol.V1)], additional_headers=HEADERS,
        max_size=None, max_queue=None, compression=None,
    ) as connection:  # fmt: skip
        yield Peer(connection, acks_at_once=acks_at_once)
    await server.ask("DELETE", place.resource)
