"""A TCP proxy between a browser and JupyterLab, which a test cuts and mends.

Chromium's own offline mode leaves WebSockets open that are there, so it is no cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Literal
from urllib.parse import urlsplit

from tests.browser.conftest import Lab

Cut = Literal["closed", "silent"]
CHUNK_BYTES = 1 << 16


class CuttableProxy:
    """Carries connections to one port; cut, it closes them all, or leaves them open and carries nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._carriers: set[asyncio.Task[None]] = set()
        self._through = asyncio.Event()
        self._through.set()
        self._is_refusing = False

    @property
    def is_through(self) -> bool:
        return self._through.is_set()

    def cut(self, how: Cut) -> int:
        """Cut what is open and what is opened until :meth:`mend`; returns how many were open."""
        self._through.clear()
        number = len(self._carriers)
        if how == "closed":
            self._is_refusing = True
            for carrier in self._carriers:
                carrier.cancel()
        return number

    def mend(self) -> None:
        self._is_refusing = False
        self._through.set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until it ends."""
        task = asyncio.current_task()
        assert task is not None
        self._carriers.add(task)
        try:
            if not self._is_refusing:
                await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # it is over, which is what a cut is for
        finally:
            self._carriers.discard(task)
            # Reset, as a cut does: an orderly end would let pass what was sent before.
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back))
                group.create_task(self._carry(there, writer))
        except* OSError:
            pass
        finally:
            back.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK_BYTES):
            await self._through.wait()
            target.write(data)
            await target.drain()
        with suppress(OSError):
            target.write_eof()

    async def aclose(self) -> None:
        for carrier in self._carriers:
            carrier.cancel()
        await asyncio.gather(*self._carriers, return_exceptions=True)


@asynccontextmanager
async def cuttable(lab: Lab) -> AsyncIterator[tuple[CuttableProxy, Lab]]:
    """Put a proxy before a server; yields it, and the server as it is behind it."""
    address = urlsplit(lab.url)
    assert address.port is not None
    proxy = CuttableProxy(address.port)
    listener = await asyncio.start_server(proxy.take, "127.0.0.1", 0)
    try:
        port = listener.sockets[0].getsockname()[1]
        yield proxy, replace(lab, url=address._replace(netloc=f"127.0.0.1:{port}").geturl())
    finally:
        listener.close()
        await proxy.aclose()
