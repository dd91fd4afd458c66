"""A TCP proxy on this machine, for tests that do something to connections on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

PIECE_BYTES = 4096


class TcpProxy:
    """Serves on a port of its own in front of ``target``; what becomes of a connection is up to the heirs."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._carrying: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            self.end()
            for task in self._carrying:
                task.cancel()
            await asyncio.gather(*self._carrying, return_exceptions=True)
            await server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio serves each connection in a task"
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        await self.carry(reader, writer)

    def end(self) -> None:
        """Do what there is to do when no connection comes any more."""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        raise NotImplementedError


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None = None) -> bool:
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
