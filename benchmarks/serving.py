"""A gateway that runs in a process of its own, for benchmarks to ask and to weigh."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

EMBEDENV = str(Path(sys.executable).with_name("embedenv"))
TOKEN = "bench"
HEADERS = {"Authorization": f"token {TOKEN}"}
DEADLINE_S = 120.0

STILL_S = 1.0
"""A server whose processes are the same for so long has filled its pools and ended what it had to."""

RESTED_SHARE = 0.05
"""Of one processor: who spends less rests."""


@dataclass(frozen=True)
class Server:
    """A running server: Jupyter's own, with the gateway in it."""

    port: int
    process: psutil.Process

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = HTTPRequest(
            f"http://127.0.0.1:{self.port}/{path}", method=method, headers=HEADERS,
            body=json.dumps(body) if body is not None else None,
            allow_nonstandard_methods=True, request_timeout=DEADLINE_S,
        )  # fmt: skip
        answer = await AsyncHTTPClient().fetch(request)
        return json.loads(answer.body) if answer.body else None

    def family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    async def still(self) -> None:
        """Wait until processes neither come nor go."""
        before, since_s = {child.pid for child in self.family()}, time.monotonic()
        while time.monotonic() - since_s < STILL_S:
            await asyncio.sleep(0.1)
            if (now := {child.pid for child in self.family()}) != before:
                before, since_s = now, time.monotonic()

    async def rested(self) -> None:
        """Wait until the server and all that stem from it do next to nothing: what it prepares is ready."""
        spent_s = self._cpu_s()
        while True:
            await asyncio.sleep(STILL_S)
            before_s, spent_s = spent_s, self._cpu_s()
            if spent_s - before_s < STILL_S * RESTED_SHARE:
                return

    def _cpu_s(self) -> float:
        return sum(map(_spent_s, self.family()))

    def pss_mib(self, *, without_server: bool = False) -> float:
        """Return the proportional set size (proc(5)) of the server and all that stem from it."""
        members = self.family()[1:] if without_server else self.family()
        return sum(map(_pss_bytes, members)) / 2**20


def _spent_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0


def _pss_bytes(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
        return int(process.memory_full_info().pss)
    return 0


@contextlib.asynccontextmanager
async def serving(
    data_dir: str, *options: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Server]:
    """Serve until the body is done; it begins when the server listens and the gateway is ready."""
    process = await asyncio.create_subprocess_exec(
        EMBEDENV, "serve", "--port", "0", f"--IdentityProvider.token={TOKEN}", *options,
        env={**os.environ, **(environment or {}), "EMBEDENV_DATA_DIR": data_dir}, cwd=data_dir,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    port = 0
    while not port:
        line = (await process.stderr.readline()).decode()
        if match := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
            port = int(match[1])
    drain = asyncio.create_task(process.stderr.read())
    server = Server(port, psutil.Process(process.pid))
    try:
        await _until_ready(server)
        yield server
    finally:
        process.terminate()
        await process.wait()
        await drain


async def _until_ready(server: Server) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(OSError):
                await server.ask("GET", "embedenv/health")
                return
            await asyncio.sleep(0.05)
