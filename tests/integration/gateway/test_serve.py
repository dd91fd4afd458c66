"""``embedenv serve`` as a process: it answers, is measured, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import websockets

from tests.integration.conftest import Peer
from tests.integration.own_gateway import OwnGateway, ServeGateway

DEADLINE_S = 60.0


async def open_room(gateway: OwnGateway) -> tuple[Peer, websockets.ClientConnection]:
    socket = await websockets.connect(gateway.spaces_url)
    peer = Peer(socket)
    await peer.send(type="init", public_key=gateway.public_key, secret_key=gateway.secret_key)
    answer = await peer.receive()
    assert answer["type"] == "init", answer
    return peer, socket


def mounts() -> set[str]:
    return {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}


def cgroups_of(pid: int) -> list[Path]:
    return list(Path("/sys/fs/cgroup").glob(f"**/embedenv-{pid}-*"))


def sleepers(family: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in family if _exists(process) and process.name() == "sleep"]


async def gone(processes: list[psutil.Process]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes if _exists(p)):
            await asyncio.sleep(0.02)


def _exists(process: psutil.Process) -> bool:
    try:
        process.status()
    except psutil.NoSuchProcess:
        return False
    return True


async def test_health_and_metrics(serve_gateway: ServeGateway) -> None:
    gateway = await asyncio.to_thread(serve_gateway)
    health = json.loads(await asyncio.to_thread(gateway.get, "embedenv/health"))
    assert health["status"] == "ok"
    peer, socket = await open_room(gateway)
    async with socket:
        metrics: str = await asyncio.to_thread(gateway.get, "metrics")
        assert "embedenv_rooms 1.0" in metrics
        assert "embedenv_sandbox_start_seconds_count 1.0" in metrics
        assert "http_request_duration_seconds" in metrics, "Jupyter's own are beside ours"
        assert await peer.output("echo hello") == "hello\n"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
async def test_the_end_of_the_gateway_leaves_nothing(serve_gateway: ServeGateway, signum: int) -> None:
    before = mounts()
    gateway = await asyncio.to_thread(serve_gateway)
    rooms: list[Any] = [await open_room(gateway) for _ in range(3)]
    for peer, _ in rooms:
        await peer.shell("sleep 1000 & setsid sleep 1001 & echo started; sleep 1002")
        await peer.until("terminal-newline")
    async with asyncio.timeout(DEADLINE_S):
        while len(sleepers(family := psutil.Process(gateway.process.pid).children(recursive=True))) < 9:
            await asyncio.sleep(0.02)
    gateway.process.send_signal(signum)
    await gone(family)
    for _, socket in rooms:
        await socket.close()
    await asyncio.to_thread(gateway.process.wait, 20)
    async with asyncio.timeout(DEADLINE_S):
        while cgroups_of(gateway.process.pid):
            await asyncio.sleep(0.05)
    assert not [path for path in mounts() - before if "overlay" not in path]  # of an engine that is at work
