"""Servers in a sandbox, reached through descriptors that the supervisor hands out; and kernels."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient

from embedenv_jupyter.errors import SandboxRequestError
from embedenv_jupyter.sandbox.forked_kernel import ForkedKernel
from embedenv_jupyter.sandbox.kernel import connection_info, socket_names
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from tests.integration.sandbox.programs import DEADLINE_S, output, read_until

SERVER = """
import socket, sys
family, address = (socket.AF_INET6, "::1") if sys.argv[1] == "6" else (socket.AF_INET, "127.0.0.1")
with socket.create_server((address, 0), family=family) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data.upper())
"""


async def serve(sandbox: Sandbox, version: int) -> tuple[Process, int]:
    process = await sandbox.spawn(["python3", "-c", SERVER, str(version)])
    return process, int(await read_until(process, b"\n"))


async def exchange(connection: socket.socket, data: bytes) -> bytes:
    """Send and receive through a stream; the connection is closed after that."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(sock=connection)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


@pytest.mark.parametrize("version", [4, 6])
async def test_server_in_the_room_is_reached(sandbox: Sandbox, version: int) -> None:
    process, port = await serve(sandbox, version)
    assert port in await sandbox.ports()
    for _ in range(3):
        assert await exchange(await sandbox.connect(port), b"hello" * 10_000) == b"HELLO" * 10_000
    await process.signal(9)
    await process.wait()
    process.close()
    with pytest.raises(ConnectionRefusedError, match=f"port {port}"):
        await sandbox.connect(port)
    assert port not in await sandbox.ports()


async def test_port_that_nobody_listens_on_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ConnectionRefusedError, match="nothing listens on port 9 in this room"):
        await sandbox.connect(9)


@pytest.mark.parametrize("port", [-1, 65_536])
async def test_what_is_no_port_is_refused(sandbox: Sandbox, port: int) -> None:
    with pytest.raises(SandboxRequestError):
        await sandbox.connect(port)


async def test_gateways_own_servers_are_not_reached_through_a_room(sandbox: Sandbox) -> None:
    if sandbox.tier_name in ("landlock", "unsafe"):
        pytest.skip(f"{sandbox.tier_name} has no network of its own")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            await sandbox.connect(port)
        assert port not in await sandbox.ports()


async def test_cancelled_connections_leak_nothing(sandbox: Sandbox) -> None:
    process, port = await serve(sandbox, 4)
    before = len(os.listdir("/proc/self/fd"))
    for turns in range(6):
        tasks = [asyncio.create_task(sandbox.connect(port)) for _ in range(10)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()
    async with asyncio.timeout(DEADLINE_S):
        while len(os.listdir("/proc/self/fd")) != before:  # some look for the port in threads, which go on
            await sandbox.request("ping")
    await process.signal(9)
    await process.wait()
    process.close()


# Kernels.


@pytest.fixture
def links() -> Iterator[Path]:
    """A folder for the names of a kernel's sockets; its path is short, as sun_path has 108 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="embedenv-test-"))
    yield folder
    shutil.rmtree(folder)


def connection_to(kernel: ForkedKernel, key: str, links: Path) -> tuple[dict[str, Any], list[int]]:
    """Give libzmq, which connects to names, names that lead to the kernel's sockets."""
    opened = {name: kernel.open_socket(channel) for channel, name in socket_names().items()}
    for name, fd in opened.items():
        (links / name).symlink_to(f"/proc/self/fd/{fd}")
    return {**connection_info(str(links), key), "key": key.encode()}, list(opened.values())


async def execute(client: AsyncKernelClient, code: str) -> str:
    """Run a cell and return what it printed."""
    printed: list[str] = []

    def collect(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = await client.execute_interactive(code, output_hook=collect, timeout=DEADLINE_S)
    assert reply["content"]["status"] == "ok", reply
    return "".join(printed)


async def test_kernel_is_forked_and_computes(sandbox: Sandbox, links: Path) -> None:
    kernel = await sandbox.fork_kernel("k1", "secret")
    info, opened = connection_to(kernel, "secret", links)
    client = AsyncKernelClient()
    client.load_connection_info(info)  # type: ignore[arg-type]
    client.start_channels()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await client.wait_for_ready(timeout=DEADLINE_S)
            assert await execute(client, "print(1 + 1)") == "2\n"
            found = await execute(client, "import os; print(os.getcwd(), os.environ['HOME'])")
            assert found == f"{sandbox.home} {sandbox.home}\n"
            await execute(client, "with open('x', 'w') as file: file.write('seen')")
    finally:
        client.stop_channels()
        for fd in opened:
            os.close(fd)
    assert await sandbox.files.read("x") == b"seen"
    await kernel.signal(9)
    assert (await kernel.wait()).signal == 9
    kernel.close()
    await sandbox.aclose()


async def test_kernel_that_cannot_start_says_why(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxRequestError, match="NoSuchOption"):
        await sandbox.fork_kernel("k1", "secret", argv=["--NoSuchOption"])
    kernel = await sandbox.fork_kernel("k2", "secret")
    with pytest.raises(SandboxRequestError, match="File exists"):
        await sandbox.fork_kernel("k2", "secret")
    await kernel.signal(9)
    await kernel.wait()
    kernel.close()
    with pytest.raises(SandboxRequestError, match="no name of a kernel"):
        await sandbox.fork_kernel("../k", "secret")
    assert await output(sandbox, "echo usable") == b"usable\n"
