"""The Engine protocol, over real sockets, against named rivals in one run.

A gateway runs in a process of its own, and is asked when it has prepared what it prepares; the client is in
this one. Rows:

* a cell in a warm Python session over WebSocket, against a raw ipykernel over ZMQ that this process started;
* a one-shot hello in Python by WebSocket, REST and Server-Sent Events, against ``python3 main.py`` run bare;
* frames per second to one client, sent again from a session's log;
* with ``--languages``: hello of each language that is installed, compile and run, against the same commands
  run bare here.

Goals stand beside what was measured (the median), with pass or miss.

    python -m benchmarks.bench_engine [--rounds 50] [--languages]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websockets
from jupyter_client.manager import AsyncKernelManager
from rich.console import Console
from rich.table import Table
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from benchmarks.serving import EMBEDENV, serving
from benchmarks.versus import machine
from embedenv_jupyter.languages.registry import Language, Languages

CELL_GOAL_MS = 5.0
CELL_GOAL_RATIO = 1.5
REST_GOAL_MS = 30.0
FRAMES_GOAL = 20_000
HELLO = 'print("Hello, World!")'
FRAMES = 40_000
OPTIONS = ("--EmbedenvApp.runs_per_minute=0", "--EmbedenvApp.pool_size=3")


@dataclass
class Row:
    """One measure; ``goal`` is for ours, ``rival`` a name and its figures."""

    name: str
    ours: list[float]
    goal: str = "-"
    is_met: bool | None = None
    rival: str = "-"
    theirs: list[float] = field(default_factory=list)

    def cells(self) -> list[str]:
        ours = statistics.median(self.ours)
        theirs = statistics.median(self.theirs) if self.theirs else None
        verdict = "" if self.is_met is None else ": pass" if self.is_met else ": MISS"
        return [
            self.name, f"{ours:,.2f}", f"{min(self.ours):,.2f}", self.goal + verdict,
            self.rival if theirs is None else f"{self.rival} {theirs:,.2f}",
            "-" if theirs is None else f"{ours / theirs:.2f}",
        ]  # fmt: skip


@dataclass(frozen=True)
class Gateway:
    """A running gateway and the key that pays."""

    port: int
    key: str

    @contextlib.asynccontextmanager
    async def dial(self) -> AsyncIterator[websockets.ClientConnection]:
        url = f"ws://127.0.0.1:{self.port}/ws"
        async with websockets.connect(url, max_queue=None, max_size=None, compression=None) as socket:
            yield socket

    async def execute(self, socket: websockets.ClientConnection, **fields: Any) -> dict[str, Any]:
        await socket.send(json.dumps({"action": "execute", "api_key": self.key, **fields}))
        answer: dict[str, Any] = json.loads(await socket.recv())
        assert answer["exit_code"] == 0, answer
        return answer

    async def post(self, body: dict[str, Any], accept: str = "application/json") -> bytes:
        request = HTTPRequest(
            f"http://127.0.0.1:{self.port}/api/v1/execute", method="POST", body=json.dumps(body),
            headers={"Authorization": f"Bearer {self.key}", "Accept": accept},
        )  # fmt: skip
        return (await AsyncHTTPClient().fetch(request)).body


@contextlib.asynccontextmanager
async def gateway() -> AsyncIterator[Gateway]:
    """Serve until the body is done, for an account that can pay."""
    with tempfile.TemporaryDirectory() as directory:
        made = subprocess.run(
            [EMBEDENV, "keys", "create", "--credits", "1000000", "--json"],
            env={**os.environ, "EMBEDENV_DATA_DIR": directory}, capture_output=True, check=True,
        )  # fmt: skip
        async with serving(directory, *OPTIONS) as server:
            await server.rested()
            yield Gateway(server.port, json.loads(made.stdout)["api_key"])


async def timed(work: Callable[[], Awaitable[object]], rounds: int, pause_s: float = 0) -> list[float]:
    """Return the milliseconds of each round; the first is a rehearsal."""
    figures = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        await work()
        figures.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(pause_s)
    return figures[1:]


async def cells(found: Gateway, rounds: int) -> Row:
    """Cells of the session and of the raw kernel take turns, so that both meet the same machine."""
    ours: list[float] = []
    theirs: list[float] = []
    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=60)

    async def raw() -> None:
        id = client.execute(HELLO)
        missing = {"execute_reply", "idle"}
        while "idle" in missing:
            message = await client.get_iopub_msg(timeout=30)
            if message["parent_header"].get("msg_id") == id:
                missing.discard(message["content"].get("execution_state", ""))
        await client.get_shell_msg(timeout=30)

    try:
        async with found.dial() as socket:
            for _ in range(rounds):
                ours += await timed(lambda: found.execute(socket, language="python", code=HELLO), 1)
                theirs += await timed(raw, 1)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    middle, raw_middle = statistics.median(ours), statistics.median(theirs)
    is_met = middle <= CELL_GOAL_MS and middle <= CELL_GOAL_RATIO * raw_middle
    goal = f"≤ {CELL_GOAL_MS:g} ms and ≤ {CELL_GOAL_RATIO:g} ×"
    return Row("cell of a warm session, WebSocket, ms", ours, goal, is_met, "raw ipykernel", theirs)


async def hellos(found: Gateway, rounds: int) -> list[Row]:
    """The same hello by each way in; the pool of rooms fills up again between two."""
    body = {"language": "python", "code": HELLO}
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(Path(folder, "main.py").write_text, HELLO)

        async def bare() -> None:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "main.py", cwd=folder, stdout=subprocess.PIPE
            )
            await process.communicate()

        alone = await timed(bare, rounds)
    async with found.dial() as socket:
        fresh = await timed(lambda: found.execute(socket, **body, fresh=True), rounds)
    rest = await timed(lambda: found.post(body), rounds, 0.15)
    events = await timed(lambda: found.post(body, "text/event-stream"), rounds, 0.15)
    is_met = statistics.median(rest) <= REST_GOAL_MS
    name = "python3 main.py"
    return [
        Row("one-shot hello, WebSocket, ms", fresh, rival=name, theirs=alone),
        Row("one-shot hello, REST, a room each, ms", rest, f"≤ {REST_GOAL_MS:g} ms", is_met, name, alone),
        Row("one-shot hello, Server-Sent Events, ms", events, rival=name, theirs=alone),
    ]


async def frames(found: Gateway) -> Row:
    """Have a session make many small frames, then count how quickly they are sent to who comes back."""
    shown = "display({'text/plain': str(n), 'a/b': ''}, raw=True)"
    code = f"from IPython.display import display\nfor n in range({FRAMES}):\n    {shown}"
    async with found.dial() as socket:
        request = {"action": "execute", "language": "python", "code": code, "api_key": found.key}
        await socket.send(
            json.dumps({**request, "stream": True, "id": "f", "session": "frames", "timeout": 600})
        )
        while '"type":"result"' not in str(await socket.recv()):
            pass
    figures = []
    for _ in range(3):
        async with found.dial() as socket:
            began, count = time.perf_counter(), 0
            await socket.send(json.dumps({"action": "resume", "session": "frames", "api_key": found.key}))
            while '"type":"result"' not in str(await socket.recv()):
                count += 1
            figures.append(count / (time.perf_counter() - began))
    is_met = statistics.median(figures) >= FRAMES_GOAL
    return Row("frames to one client, per second", figures, f"≥ {FRAMES_GOAL:,}/s", is_met)


async def languages(found: Gateway, rounds: int) -> list[Row]:
    """Hello of each language that is there, compiled anew each time, against its commands run bare."""
    rows = []
    async with found.dial() as socket:
        for language in Languages.shipped():
            if any(shutil.which(program) is None for program in language.needs):
                continue
            ours = []
            for number in range(rounds):
                before = time.perf_counter()
                answer = await _hello(found, socket, language, number)
                if answer is not None:
                    ours.append((time.perf_counter() - before) * 1e3)
            theirs = [await _bare(language) for _ in range(rounds)]
            if ours and all(theirs):
                rows.append(Row(f"hello, {language.name}, ms", ours, rival="bare", theirs=theirs))
    return rows


async def _hello(
    found: Gateway, socket: websockets.ClientConnection, language: Language, number: int
) -> dict[str, Any] | None:
    """Run a hello whose source is new, so that nothing compiled before is taken."""
    files = {"unused.txt": f"{time.time()} {number}"}
    with contextlib.suppress(AssertionError):
        return await found.execute(
            socket, language=language.id, code=language.samples.hello, fresh=True, files=files
        )
    return None


async def _bare(language: Language) -> float:
    """Compile and run hello in a folder of this machine; 0 where that fails."""
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(Path(folder, language.source).write_text, language.samples.hello)
        began = time.perf_counter()
        for line in filter(None, (language.compile, language.run)):
            process = await asyncio.create_subprocess_exec(
                "sh", "-c", line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, **language.env, "HOME": folder},
            )  # fmt: skip
            await process.communicate()
            if process.returncode != 0:
                return 0
        return (time.perf_counter() - began) * 1e3


async def measure(options: argparse.Namespace) -> list[Row]:
    async with gateway() as found:
        rows = [await cells(found, options.rounds), *await hellos(found, options.rounds), await frames(found)]
        if options.languages:
            rows += await languages(found, 3)
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--languages", action="store_true", help="Run hello in each installed language, too.")
    options = parser.parse_args()
    rows = asyncio.run(measure(options))
    table = Table(
        "", "median", "min", "goal", "rival (median)", "× rival", title=f"Engine protocol, {machine()}"
    )
    for row in rows:
        table.add_row(*row.cells())
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
