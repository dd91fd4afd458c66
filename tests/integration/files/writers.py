"""Somebody who writes in a document of a room, on pycrdt and frames made by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pycrdt
import websockets
from pycrdt import Doc, Text

from tests.integration.files.conftest import DEADLINE_S, FilesApi


class Writer:
    """A document of pycrdt that is kept the same as the room's, over one socket after another."""

    def __init__(self, files: FilesApi, path: str) -> None:
        self.files = files
        self.path = path
        self.doc: Doc[Any] = Doc()
        self.source = self.doc.get("source", type=Text)
        self.shown: dict[int, Any] = {}
        """What clients show of themselves; null where they are gone."""
        self.close_code: int | None = None
        self.close_reason = ""
        self._socket: websockets.ClientConnection | None = None
        self._subscription: object = None
        self._changed = asyncio.Condition()
        self._synced = False
        self._unsent: list[bytes] = []

    @property
    def text(self) -> str:
        return str(self.source)

    @asynccontextmanager
    async def connected(self, wait: bool = True) -> AsyncIterator[Writer]:
        """Be connected; what was written before is sent, too."""
        url = f"{self.files.url.replace('http', 'ws', 1)}/documents/{quote(self.path)}"
        async with websockets.connect(url, additional_headers=self.files.proof, max_size=None) as socket:
            self._socket, self._synced, self.close_code = socket, False, None
            self._subscription = self.doc.observe(self._note)
            async with asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(self._receive(socket))
                sending = tasks.create_task(self._send(socket))
                await socket.send(pycrdt.create_sync_message(self.doc))
                if wait:
                    await self.until(lambda: self._synced)
                yield self
                await self._flushed()
                sending.cancel()
                await socket.close()
                await receiving
            self.doc.unobserve(self._subscription)

    def _note(self, event: Any) -> None:
        if not self._applying:
            self._unsent.append(pycrdt.create_update_message(event.update))

    _applying = False

    async def _send(self, socket: websockets.ClientConnection) -> None:
        while True:
            while self._unsent:
                await socket.send(self._unsent[0])
                del self._unsent[0]
            await asyncio.sleep(0.005)

    async def _flushed(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while self._unsent and self.close_code is None:
                await asyncio.sleep(0.005)

    async def _receive(self, socket: websockets.ClientConnection) -> None:
        try:
            async for message in socket:
                assert isinstance(message, bytes)
                await self._take(socket, message)
        except websockets.ConnectionClosedError:
            pass
        async with self._changed:
            self.close_code, self.close_reason = socket.close_code, socket.close_reason or ""
            self._changed.notify_all()

    async def _take(self, socket: websockets.ClientConnection, message: bytes) -> None:
        self._applying = True
        try:
            if message[0] == pycrdt.YMessageType.SYNC:
                reply = pycrdt.handle_sync_message(message[1:], self.doc)
                if reply is not None:
                    await socket.send(reply)
                self._synced = self._synced or message[1] == pycrdt.YSyncMessageType.SYNC_STEP2
            else:
                decoder = pycrdt.Decoder(pycrdt.read_message(message[1:]))
                for _ in range(decoder.read_var_uint()):
                    client, _clock = decoder.read_var_uint(), decoder.read_var_uint()
                    self.shown[client] = json.loads(decoder.read_var_string())
        finally:
            self._applying = False
        async with self._changed:
            self._changed.notify_all()

    async def raw(self, frame: bytes | str) -> None:
        """Send a frame as it is."""
        assert self._socket is not None
        await self._socket.send(frame)

    async def show(self, client: int, clock: int, state: Any) -> None:
        """Show the others something."""
        word = json.dumps(state).encode()
        numbers = pycrdt.write_var_uint(1) + pycrdt.write_var_uint(client) + pycrdt.write_var_uint(clock)
        await self.raw(pycrdt.create_awareness_message(numbers + pycrdt.write_message(word)))

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until what is received makes something true."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(is_so)

    async def ended(self) -> tuple[int | None, str]:
        """Wait for the gateway to close the connection."""
        await self.until(lambda: self.close_code is not None)
        return self.close_code, self.close_reason


async def file_becomes(files: FilesApi, path: str, content: str) -> None:
    """Wait until the room's own programs see this content."""
    seen = ""
    async with asyncio.timeout(DEADLINE_S):
        while (seen := await files.run(f"cat {path} 2>/dev/null || true")) != content:
            await asyncio.sleep(0.05)
    assert seen == content
