"""A relay in the process of the tests, whose WebSocket goes through a proxy; and a proxy with a switch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import write_connection_file

from embedenv_jupyter.client.backoff import Retry
from embedenv_jupyter.forwarder.connection import ConnectionInfo, Sockets
from embedenv_jupyter.forwarder.discovery import Found
from embedenv_jupyter.forwarder.relay import Relay
from embedenv_jupyter.forwarder.remote import open_kernel
from embedenv_jupyter.forwarder.rest import GatewayAddress
from tests.integration.client.tcp_proxy import TcpProxy, copy
from tests.integration.forwarder.conftest import Notebook
from tests.integration.own_gateway import OwnGateway

PATIENT = Retry(base_s=0.0005, cap_s=0.005, give_up_s=60, first_s=60)


@asynccontextmanager
async def relayed(
    gateway: OwnGateway, port: int, folder: Path, *, tell_after_s: float, retry: Retry = PATIENT
) -> AsyncIterator[Notebook]:
    """A kernel behind a relay of this process, whose WebSocket goes through a proxy."""
    address = GatewayAddress(gateway.http_url, gateway.api_key)
    remote = await open_kernel(Found(address), None)
    through = GatewayAddress(f"http://127.0.0.1:{port}/", gateway.api_key)
    path, _ = write_connection_file(str(folder / "kernel.json"))
    sockets = Sockets(ConnectionInfo.read(Path(path)))
    link = remote.link(retry=retry, through=through)
    relay = Relay(sockets, link, tell_after_s=tell_after_s)
    context = zmq.asyncio.Context()
    client = AsyncKernelClient(connection_file=path, context=context)
    client.load_connection_file()
    running = asyncio.create_task(relay.run())
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=30)
        yield Notebook(None, client, remote.room)
    finally:
        client.stop_channels()
        relay.stop()
        await running
        await link.aclose()
        await remote.end()
        await sockets.aclose()
        context.destroy()


class Switch(TcpProxy):
    """Forwards to a port while it is on; off, it cuts what there is and takes nothing new."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._is_on = True
        self._open: set[asyncio.StreamWriter] = set()

    def end(self) -> None:
        self.off()

    def off(self) -> None:
        self._is_on = False
        for writer in self._open:
            writer.transport.abort()

    def on(self) -> None:
        self._is_on = True

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_on:
            writer.transport.abort()
            return
        behind = await asyncio.open_connection("127.0.0.1", self.target)
        writers = {writer, behind[1]}
        self._open |= writers
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, behind[1]))
                group.create_task(_copy(behind[0], writer))
        finally:
            self._open -= writers


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await copy(reader, writer)
    writer.close()
