"""A TCP proxy that cuts connections at random places in what the server sends, frames in two included."""

from __future__ import annotations

import asyncio
import contextlib
import random

from tests.integration.client.tcp_proxy import TcpProxy, copy


class CuttingProxy(TcpProxy):
    """Forwards to ``port``; the first ``cuts`` connections are cut after 1 to ``up_to_bytes`` bytes."""

    def __init__(self, port: int, dice: random.Random, *, cuts: int, up_to_bytes: int) -> None:
        super().__init__(port)
        self._dice = dice
        self._left = cuts
        self._up_to_bytes = up_to_bytes
        self.cuts = 0
        self.connections = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        budget = None
        if self._left:
            self._left -= 1
            budget = self._dice.randint(1, self._up_to_bytes)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target)
        is_hard = self._dice.random() < 0.5
        try:
            async with asyncio.TaskGroup() as group:
                upward = group.create_task(copy(reader, server_writer))
                if await copy(server_reader, writer, budget):
                    self.cuts += 1
                    if is_hard:
                        writer.transport.abort()  # A reset: what the client has not read yet is gone too.
                upward.cancel()
        finally:
            for side in (writer, server_writer):
                side.close()
                with contextlib.suppress(OSError):
                    await side.wait_closed()
