"""Rooms with kernels on a real server, and clients that speak Jupyter's own protocol."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import websockets
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from embedenv_jupyter.protocols import kernels as protocol
from tests.integration.conftest import Served

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Answer:
    """What a REST request was answered."""

    status: int
    body: Any


class Api:
    """Plain REST, with the token of the Jupyter server or a key."""

    def __init__(self, served: Served, authorization: str) -> None:
        self.served = served
        self.authorization = authorization

    def with_key(self, key: str) -> Api:
        return Api(self.served, f"Bearer {key}")

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        request = HTTPRequest(
            f"{self.served.http_url}embedenv/{path}", method=method,
            headers={"Authorization": self.authorization, **headers},
            body=json.dumps(body) if body is not None else None,
            allow_nonstandard_methods=True, request_timeout=DEADLINE_S,
        )  # fmt: skip
        response = await AsyncHTTPClient().fetch(request, raise_error=False)
        return Answer(response.code, json.loads(response.body) if response.body else None)


@pytest.fixture
def api(served: Served, jp_serverapp: Any) -> Api:
    return Api(served, f"token {jp_serverapp.identity_provider.token}")


@dataclass
class OpenRoom:
    """A room with a kernel, opened by REST."""

    id: str
    join: str
    kernel: str
    api: Api

    @property
    def path(self) -> str:
        return f"rooms/{self.id}/api"


@pytest.fixture
async def room(api: Api) -> OpenRoom:
    answer = await api("POST", "api/rooms", {"name": "lesson", "kernel": True})
    assert answer.status == 201, answer
    return OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], api)


@dataclass(frozen=True)
class Received:
    """One message from a kernel."""

    channel: str
    type: str
    content: dict[str, Any]
    parent: str
    metadata: dict[str, Any]
    header: dict[str, Any]
    buffers: tuple[bytes, ...]

    @property
    def state(self) -> str:
        """What a ``status`` says; "" of anything else."""
        return str(self.content.get("execution_state", ""))


class KernelPeer:
    """A client written from Jupyter's documents: frames of its first WebSocket subprotocol.

    The messages of one channel come in order, those of several in no order between them. So whoever waits
    takes what he waits for, and leaves the rest to the next one who asks.
    """

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.session = uuid.uuid4().hex
        self.username = "ann"
        self.waiting: list[Received] = []
        """What has come and nobody has taken yet, the oldest first."""

    async def send(
        self,
        channel: str,
        type: str,
        content: dict[str, Any],
        parent: dict[str, Any] | None = None,
        buffers: tuple[bytes, ...] = (),
        metadata: dict[str, Any] | None = None,
        subshell: str | None = None,
    ) -> str:
        header: dict[str, Any] = {
            "msg_id": uuid.uuid4().hex, "msg_type": type, "session": self.session, "username": self.username,
            "date": "2026-01-01T00:00:00Z", "version": "5.4",
        }  # fmt: skip
        if subshell is not None:
            header["subshell_id"] = subshell
        parts = tuple(json.dumps(part).encode() for part in (header, parent or {}, metadata or {}, content))
        await self.socket.send(protocol.encode(protocol.Message(channel, parts + buffers)))
        return str(header["msg_id"])

    async def execute(self, code: str, *, cell: str = "", subshell: str | None = None, **options: Any) -> str:
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True,
            "stop_on_error": True, **options,
        }  # fmt: skip
        metadata = {"cellId": cell} if cell else {}
        return await self.send("shell", "execute_request", content, metadata=metadata, subshell=subshell)

    async def taken(self) -> None:
        """Wait until the gateway has taken what was sent so far: it takes messages in their order."""
        await self.until("kernel_info_reply", await self.send("control", "kernel_info_request", {}))

    async def until(self, type: str, parent: str = "") -> list[Received]:
        """Take what came on one channel, up to and with the first message of a type, of one ``parent``."""
        found = await self._first(lambda message: message.type == type and parent in ("", message.parent))
        channel = self.waiting[found].channel
        return self._take(found, lambda message: message.channel == channel)

    async def until_idle(self, id: str) -> list[Received]:
        """Take what a cell told everybody, up to its end."""
        idle = await self._first(lambda message: message.parent == id and message.state == "idle")
        return self._take(idle, lambda message: message.parent == id and message.channel == "iopub")

    async def answers(self, id: str) -> list[Received]:
        """Take all that answers a cell, up to its end on both channels that tell of it."""
        idle = await self._first(lambda message: message.parent == id and message.state == "idle")
        reply = await self._first(lambda message: message.parent == id and message.type == "execute_reply")
        return self._take(max(idle, reply), lambda message: message.parent == id)

    async def run(self, code: str, **options: Any) -> tuple[str, dict[str, Any], list[Received]]:
        """Run a cell to its end; return what it printed, the reply's content, and all that answers it."""
        own = await self.answers(await self.execute(code, **options))
        (reply,) = (message for message in own if message.type == "execute_reply")
        return text_of(own), reply.content, own

    async def _first(self, is_wanted: Callable[[Received], bool]) -> int:
        """Return the place of the first such message in what waits; receive until there is one."""
        place = 0
        while True:
            if place == len(self.waiting):
                self.waiting.append(await self._receive())
            if is_wanted(self.waiting[place]):
                return place
            place += 1

    def _take(self, last: int, is_wanted: Callable[[Received], bool]) -> list[Received]:
        """Take such messages out of those up to and with the place ``last``."""
        passed, later = self.waiting[: last + 1], self.waiting[last + 1 :]
        self.waiting = [message for message in passed if not is_wanted(message)] + later
        return [message for message in passed if is_wanted(message)]

    async def _receive(self) -> Received:
        async with asyncio.timeout(DEADLINE_S):
            data = await self.socket.recv()
        assert isinstance(data, bytes)
        return read(protocol.decode(data))


def text_of(messages: list[Received]) -> str:
    """Return what was printed."""
    return "".join(message.content["text"] for message in messages if message.type == "stream")


def read(message: protocol.Message) -> Received:
    header, parent, metadata, content = (json.loads(part) for part in message.parts[:4])
    return Received(
        message.channel, header["msg_type"], content, parent.get("msg_id", ""), metadata, header,
        message.parts[4:],
    )  # fmt: skip


DialKernel = Callable[..., Awaitable[KernelPeer]]


@pytest.fixture
async def dial_kernel(served: Served, room: OpenRoom) -> AsyncIterator[DialKernel]:
    """Open clients of the room's kernel; all are closed after the test."""
    async with AsyncExitStack() as stack:

        async def dial(authorization: str | None = None, **query: str) -> KernelPeer:
            words = "&".join(f"{name}={value}" for name, value in query.items())
            url = f"ws://{served.host}{served.base_url}embedenv/{room.path}/kernels/{room.kernel}/channels?{words}"
            connection = websockets.connect(
                url, subprotocols=[websockets.Subprotocol(protocol.V1)], max_size=None,
                additional_headers={"Authorization": authorization or room.api.authorization},
            )  # fmt: skip
            return KernelPeer(await stack.enter_async_context(connection))

        yield dial
