"""Clients of a room's kernel for tests: with keys, numbered, and by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import psutil
import websockets
from websockets.asyncio.client import ClientConnection

from embedenv_jupyter.protocols import kernels as protocol
from tests.integration.kernels.conftest import DEADLINE_S, OpenRoom, Received, read


def url_of(room: OpenRoom, **query: object) -> str:
    served, words = room.api.served, "&".join(f"{name}={value}" for name, value in query.items())
    return f"ws://{served.host}{served.base_url}embedenv/{room.path}/kernels/{room.kernel}/channels?{words}"


@contextlib.asynccontextmanager
async def socket_to(
    room: OpenRoom, subprotocol: str = protocol.V1, key: str | None = None, **query: object
) -> AsyncIterator[ClientConnection]:
    """Open a WebSocket to the kernel, as the room's owner or with a key."""
    connection = websockets.connect(
        url_of(room, **query), subprotocols=[websockets.Subprotocol(subprotocol)], max_size=None,
        additional_headers={"Authorization": f"Bearer {key}" if key else room.api.authorization},
    )  # fmt: skip
    async with connection as socket:
        yield socket


async def key_of(room: OpenRoom, role: str, **more: object) -> str:
    answer = await room.api("POST", f"api/rooms/{room.id}/keys", {"role": role, **more})
    assert answer.status == 201, answer
    return str(answer.body["join"])


def request(type: str, content: dict[str, Any] | None = None, **header: Any) -> tuple[bytes, ...]:
    """Return the parts of a message of a client."""
    full = {
        "msg_id": uuid.uuid4().hex, "msg_type": type, "session": "s", "username": "ann",
        "date": "2026-01-01T00:00:00Z", "version": "5.4", **header,
    }  # fmt: skip
    return tuple(json.dumps(part).encode() for part in (full, {}, {}, content or {}))


def execute(code: str, **options: Any) -> tuple[bytes, ...]:
    content = {
        "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True,
        "stop_on_error": True, **options,
    }  # fmt: skip
    return request("execute_request", content)


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Wait for the close and return its code and reason."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code, socket.close_reason


async def stopped() -> None:
    """Wait until a process of a room has stopped."""
    async with asyncio.timeout(DEADLINE_S):
        while not any(child.status() == "stopped" for child in psutil.Process().children(recursive=True)):
            await asyncio.sleep(0.05)


class NumberedPeer:
    """A client of the resumable subprotocol, which survives its sockets."""

    def __init__(self, room: OpenRoom, session_id: str | None = None) -> None:
        self.room = room
        self.id = session_id or uuid.uuid4().hex
        self.session = protocol.ClientSession()
        self.received: list[Received] = []
        self.gaps: list[protocol.Gap] = []
        self.hello: protocol.Hello | None = None

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[ClientConnection]:
        """Connect, come back to where we were, and send again what was not acknowledged."""
        query: dict[str, Any] = {"resume": self.session.last} if self.hello is not None else {}
        async with socket_to(self.room, protocol.RESUMABLE, session_id=self.id, **query) as socket:
            async with asyncio.timeout(DEADLINE_S):
                hello = protocol.decode_notice(await socket.recv())
            assert isinstance(hello, protocol.Hello)
            if self.hello is None:
                self.session.last = hello.n
            self.hello = hello
            for frame in self.session.reconnected(hello):
                await socket.send(frame)
            yield socket

    async def take(self, socket: ClientConnection) -> Received | None:
        """Receive one frame; return the message in it if it is a new one."""
        async with asyncio.timeout(DEADLINE_S):
            data = await socket.recv()
        if isinstance(data, bytes):
            message = self.session.receive(data)
            if message is None:
                return None
            self.received.append(read(message))
            return self.received[-1]
        match protocol.decode_notice(data):
            case protocol.Ack(received):
                self.session.acknowledged(received)
            case protocol.Gap() as gap:
                self.gaps.append(gap)
                self.session.missed(gap)
        return None

    async def until(self, socket: ClientConnection, type: str) -> Received:
        while True:
            message = await self.take(socket)
            if message is not None and message.type == type:
                return message
