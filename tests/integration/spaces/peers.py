"""Clients of the Spaces protocol that do what the published ones never would: ask, and misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from typing import Any, Self

from tests.integration.conftest import DEADLINE_S, Dial, Peer, Served

Frame = dict[str, Any]


class Asking:
    """A member that asks: it sees numbers, runs and events, and can come back as the same member."""

    def __init__(self, peer: Peer, hello: Frame) -> None:
        self.peer = peer
        self.join_key: str = hello["join"]
        self.token: str = hello["member"]
        self.role: str = hello["role"]
        self.newest: int = hello["n"]
        self._ids = 0

    @classmethod
    async def init(cls, served: Served, dial: Dial) -> Self:
        peer = await dial()
        await peer.send(type="init", public_key=served.public_key, secret_key=served.secret_key, resume=0)
        return cls(peer, await answered(peer, "init"))

    @classmethod
    async def join(cls, dial: Dial, key: str, *, resume: int = 0, **fields: Any) -> Self:
        peer = await dial()
        await peer.send(type="join", join=key, user="asking", color="#abc", resume=resume, **fields)
        return cls(peer, await answered(peer, "join"))

    async def again(self, dial: Dial, resume: int) -> Self:
        """Come back as the same member, for whom ids that were used are not new."""
        returned = await type(self).join(dial, self.join_key, resume=resume, member=self.token)
        returned._ids = self._ids
        return returned

    async def command(
        self, kind: str, inside: Frame | None = None, /, *, id: str | None = None, **beside: Any
    ) -> str:
        """Send a command, with fields inside of it or beside it; return its id."""
        self._ids += 1
        id = id or f"c{self._ids}"
        await self.peer.send(type="cmd", command={"type": kind, **(inside or {})}, id=id, **beside)
        return id

    async def shell(self, line: str, *, id: str | None = None) -> str:
        return await self.command("shell", {"command": line}, id=id)

    async def ask(self, kind: str, inside: Frame | None = None, /, **beside: Any) -> Frame:
        """Send a command and receive up to the frame that answers it, which is returned."""
        return await self.answer(await self.command(kind, inside, **beside))

    async def until(self, **wanted: Any) -> list[Frame]:
        """Receive up to and with the first frame that has these fields."""
        frames: list[Frame] = []
        while not frames or not wanted.items() <= frames[-1].items():
            frames.append(await self.peer.receive())
        return frames

    async def answer(self, id: str) -> Frame:
        """Receive up to the frame that answers a command, and return it."""
        return (await self.until(id=id))[-1]

    async def ended(self, id: str) -> tuple[Frame, Frame]:
        """Receive the answer to a shell line and the end of its run, whichever comes first."""
        answer: Frame = {}
        ends: dict[str, Frame] = {}
        while not answer or answer["run"] not in ends:
            frame = await self.peer.receive()
            if frame.get("id") == id:
                answer = frame
            elif frame["type"] == "exit":
                ends[frame["run"]] = frame
        return answer, ends[answer["run"]]

    async def run(self, line: str) -> tuple[str, Frame]:
        """Run a shell line; return its output and how it ended."""
        await self.shell(line)
        frames = await self.until(type="exit")
        return output_of(frames), frames[-1]


def output_of(frames: list[Frame]) -> str:
    """Put the text of terminal frames together."""
    return "".join(
        "\n" if frame["type"] == "terminal-newline" else frame["data"]
        for frame in frames
        if frame["type"] in ("terminal-data", "terminal-newline")
    )


def events_of(frames: list[Frame], name: str) -> list[Frame]:
    """Pick the events of one name."""
    return [frame for frame in frames if frame["type"] == "event" and frame["event"] == name]


async def answered(peer: Peer, kind: str) -> Frame:
    """Receive the answer to a hello."""
    frame = await peer.receive()
    assert frame["type"] == kind, frame
    return frame


class Raw:
    """A WebSocket client by hand, over a plain TCP connection: it reads when told, and writes anything."""

    TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def dial(cls, served: Served, *, limit: int = 64 << 10) -> Self:
        host, _, port = served.host.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
        path = f"{served.base_url}ws/spaces/defoult/"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {served.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        return cls(reader, writer)

    def send(self, **frame: Any) -> None:
        self.send_raw(self.TEXT, json.dumps(frame).encode())

    def send_raw(self, opcode: int, payload: bytes, *, final: bool = True) -> None:
        """Write one frame, masked with zeros (RFC 6455 section 5.2)."""
        size = len(payload)
        if size < 126:
            length = struct.pack("!B", 0x80 | size)
        elif size < 1 << 16:
            length = struct.pack("!BH", 0x80 | 126, size)
        else:
            length = struct.pack("!BQ", 0x80 | 127, size)
        self.writer.write(bytes((final << 7 | opcode,)) + length + bytes(4) + payload)

    async def receive_raw(self) -> tuple[int, bytes]:
        """Read one frame: its opcode and its payload; (-1, b"") where the connection was just cut."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                first, size = await self.reader.readexactly(2)
                if size == 126:
                    (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
                return first & 15, await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return -1, b""

    async def receive(self) -> Frame:
        """Read one JSON frame, answering pings on the way."""
        while True:
            opcode, payload = await self.receive_raw()
            if opcode == self.TEXT:
                frame: Frame = json.loads(payload)
                return frame
            assert opcode == self.PING, (opcode, payload)
            self.send_raw(self.PONG, payload)

    async def join(self, key: str, **fields: Any) -> Frame:
        """Enter a room; return the answer."""
        self.send(type="join", join=key, user="raw", color="#123", **fields)
        return await self.receive()

    async def batches(self) -> AsyncIterator[list[Frame]]:
        """Read to the end, answering what has to be; yield the frames of what was read at once together."""
        rest = b""
        while True:
            async with asyncio.timeout(DEADLINE_S):
                data = await self.reader.read(1 << 20)
            if not data:
                return
            payloads, rest = _parse(rest + data)
            for opcode, payload in payloads:
                if opcode in (self.PING, self.CLOSE):
                    self.send_raw(self.PONG if opcode == self.PING else self.CLOSE, payload)
            yield [json.loads(payload) for opcode, payload in payloads if opcode == self.TEXT]

    async def close_code(self) -> int:
        """Read on to the end; return the code of the close frame, or 1006 where there was none."""
        while True:
            opcode, payload = await self.receive_raw()
            if opcode == self.CLOSE:
                return int(struct.unpack("!H", payload[:2])[0]) if payload else 1005
            if opcode == -1:
                return 1006

    async def aclose(self) -> None:
        """Cut the connection."""
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def _parse(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Cut frames of a server off: opcode and payload of each, and the incomplete rest."""
    frames = []
    start = 0
    while len(data) - start >= 10 or (len(data) - start >= 2 and data[start + 1] < 126):
        size, body = data[start + 1], start + 2
        if size == 126:
            size, body = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
        elif size == 127:
            size, body = int.from_bytes(data[start + 2 : start + 10], "big"), start + 10
        if len(data) < body + size:
            break
        frames.append((data[start] & 15, data[body : body + size]))
        start = body + size
    return frames, data[start:]
