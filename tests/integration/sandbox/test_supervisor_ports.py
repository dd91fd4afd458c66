"""Servers in a sandbox, reached through descriptors that the supervisor hands out; and kernels."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient

from embedenv_jupyter.errors import SandboxRequestError
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from tests.integration.sandbox.programs import DEADLINE_S, OpenSandbox, output, read_until

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
def runtime_dir() -> Iterator[Path]:
    """A folder for the sockets of kernels; its path is short, as sun_path has 108 bytes (unix(7))."""
    folder = Path(tempfile.mkdtemp(prefix="embedenv-test-"))
    yield folder
    shutil.rmtree(folder)


def write_connection_file(runtime_dir: Path, inside: str) -> dict[str, Any]:
    """Write what the kernel reads; return what a client outside needs."""
    info: dict[str, Any] = {
        "transport": "ipc", "ip": f"{inside}/k", "key": uuid.uuid4().hex, "signature_scheme": "hmac-sha256",
        "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5,
    }  # fmt: skip
    path = runtime_dir / "k.json"
    path.write_text(json.dumps(info))
    path.chmod(0o644)
    return {**info, "ip": f"{runtime_dir}/k", "key": info["key"].encode()}


async def execute(client: AsyncKernelClient, code: str) -> str:
    """Run a cell and return what it printed."""
    printed: list[str] = []

    def collect(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = await client.execute_interactive(code, output_hook=collect, timeout=DEADLINE_S)
    assert reply["content"]["status"] == "ok", reply
    return "".join(printed)


async def test_kernel_is_forked_and_computes(open_sandbox: OpenSandbox, runtime_dir: Path) -> None:
    sandbox = await open_sandbox(runtime_dir=str(runtime_dir))
    info = write_connection_file(runtime_dir, sandbox.runtime)
    kernel = await sandbox.fork_kernel(f"{sandbox.runtime}/k.json")
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
    assert await sandbox.read_file("x") == b"seen"
    await kernel.signal(9)
    assert (await kernel.wait()).signal == 9
    kernel.close()
    await sandbox.aclose()


async def test_kernel_that_cannot_start_says_why(sandbox: Sandbox) -> None:
    kernel = await sandbox.fork_kernel("/no/such/connection.json")
    assert kernel.stderr is not None
    words = b""
    async with asyncio.timeout(DEADLINE_S):
        while data := await kernel.stderr.read():
            words += data
        assert (await kernel.wait()).code != 0
    assert b"connection.json" in words
    kernel.close()
    assert await output(sandbox, "echo usable") == b"usable\n"
