"""A TCP proxy that cuts connections at random places in what the server sends, frames in two included."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

PIECE_BYTES = 4096


class CuttingProxy:
    """Forwards to ``port``; the first ``cuts`` connections are cut after 1 to ``up_to_bytes`` bytes."""

    def __init__(self, port: int, dice: random.Random, *, cuts: int, up_to_bytes: int) -> None:
        self._target = port
        self._dice = dice
        self._left = cuts
        self._up_to_bytes = up_to_bytes
        self.cuts = 0
        self.connections = 0
        self.port = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        budget = None
        if self._left:
            self._left -= 1
            budget = self._dice.randint(1, self._up_to_bytes)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        is_hard = self._dice.random() < 0.5
        try:
            async with asyncio.TaskGroup() as group:
                upward = group.create_task(_copy(reader, server_writer, None))
                if await _copy(server_reader, writer, budget):
                    self.cuts += 1
                    if is_hard:
                        writer.transport.abort()  # A reset: what the client has not read yet is gone too.
                upward.cancel()
        finally:
            for side in (writer, server_writer):
                side.close()
                with contextlib.suppress(OSError):
                    await side.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> bool:
    """Copy until the end, or until the budget is used up; returns whether that was the reason."""
    with contextlib.suppress(OSError):
        while data := await reader.read(PIECE_BYTES):
            if budget is not None and len(data) >= budget:
                writer.write(data[:budget])
                await writer.drain()
                return True
            budget = None if budget is None else budget - len(data)
            writer.write(data)
            await writer.drain()
    return False
