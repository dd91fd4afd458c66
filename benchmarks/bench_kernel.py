"""Kernels of rooms against plain ipykernel behind the same Jupyter server, by the same client, in one run.

A server runs in a process of its own with its stock ``/api/kernels`` and with ours; one client here
speaks Jupyter's WebSocket subprotocol to both. The two sides take turns, so that a busy second of
the machine hits both. Rows, with the goal of each:

* start: POST to the first ``execute_reply`` of a cell, cold (no room, no kernel stands ready) and
  warm (from the pool); at most 0.5 × stock;
* ``1+1``: request to its reply and ``idle``; at most 1.2 × stock, and shown beside the same kernel without
  any server (jupyter_client over TCP), because the stock server sends without TCP_NODELAY;
* completion: ``complete_request`` of a name to its reply, the first one of a kernel and later ones; a stock
  kernel finds what jedi has parsed in the cache of its user, a new room has no such cache;
* output: 20 MB in one ``print``, 20 MB in 200,000 lines, 5,000 ``display`` messages, to reply and ``idle``.
  The stock server drops output beyond its iopub rate limits: "got" says what arrived. The same rows
  come again against a stock server whose limits are switched off, which is what is like for like;
* memory: PSS of the server and all its descendants, per kernel that has run a cell, of ten of each; at
  most 0.6 × stock. Once what ten kernels add, once with the zygote's share, which stands before the first,
  and once what they have added when each has completed something as well.

Figures of rooms come with all that rooms do: sandbox, limits, log on disk, receipts.

    python benchmarks/bench_kernel.py [--rounds 15] [--kernels 10] [--quick] [--markdown]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import websockets
from jupyter_client.manager import AsyncKernelManager
from rich.console import Console
from rich.table import Table
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from embedenv_jupyter.protocols import kernels as protocol

EMBEDENV = str(Path(sys.executable).with_name("embedenv"))
TOKEN = "bench"
HEADERS = {"Authorization": f"token {TOKEN}"}
DEADLINE_S = 120.0
REHEARSED_S = 6.0
"""Within this time after its first room a zygote has done what it does when nobody asks for anything."""

STILL_S = 1.0
"""A server whose processes are the same for so long has filled its pools and ended what it had to."""

NO_LIMITS = "--ZMQChannelsWebsocketConnection.limit_rate=False"
ONE_PRINT = "print('x' * 20_000_000)"
LINES = "for _ in range(200_000): print('x' * 99)"
DISPLAYS = "for i in range(5000): display(i)"
COMPLETED = "import json\njso"


@dataclass(frozen=True)
class Server:
    """A running server."""

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

    def pss_mib(self, *, without_server: bool = False) -> float:
        members = self.family()[1:] if without_server else self.family()
        return float(sum(member.memory_full_info().pss for member in members)) / 2**20


@contextlib.asynccontextmanager
async def serving(*options: str) -> AsyncIterator[Server]:
    """Serve in a process of its own until the body is done."""
    with tempfile.TemporaryDirectory() as directory:
        process = await asyncio.create_subprocess_exec(
            EMBEDENV, "serve", "--port", "0", f"--IdentityProvider.token={TOKEN}", *options,
            env={**os.environ, "EMBEDENV_DATA_DIR": directory}, cwd=directory, stderr=asyncio.subprocess.PIPE,
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
            await until_ready(server)
            yield server
        finally:
            process.terminate()
            await process.wait()
            await drain


async def until_ready(server: Server) -> None:
    """Wait until the server listens, the gateway serves, and its pools are full."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await server.ask("GET", "embedenv/api/rooms")
                break
            except OSError:
                await asyncio.sleep(0.05)
        await server.still()


@dataclass(frozen=True)
class Place:
    """A kernel that was started: where its channels are, and what to delete in the end."""

    channels: str
    resource: str


class Stock:
    """The server's own kernels."""

    name = "ipykernel"

    async def start(self, server: Server) -> Place:
        kernel = await server.ask("POST", "api/kernels", {"name": "python3"})
        path = f"api/kernels/{kernel['id']}"
        return Place(f"{path}/channels", path)


class Rooms:
    """Each kernel in a room of its own."""

    name = "room"

    async def start(self, server: Server) -> Place:
        room = await server.ask("POST", "embedenv/api/rooms", {"kernel": True})
        channels = f"embedenv/rooms/{room['id']}/api/kernels/{room['kernel']['id']}/channels"
        return Place(channels, f"embedenv/api/rooms/{room['id']}")


SIDES = (Rooms(), Stock())


@dataclass
class Ran:
    """What a request took, and what came meanwhile."""

    ms: float
    frames: list[bytes]

    def outputs(self) -> tuple[int, int]:
        """Count the messages with output, and the bytes of text in them; notes about loss do not count."""
        count = size = 0
        for frame in self.frames:
            message = protocol.decode(frame)
            kind = json.loads(message.parts[0])["msg_type"]
            content = json.loads(message.parts[3]) if kind in ("stream", "display_data") else {}
            if kind == "display_data" or content.get("name") == "stdout":
                count += 1
                size += len(content.get("text", ""))
        return count, size


class Peer:
    """A client that speaks Jupyter's protocol, and looks at no more of it than it must."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._session = uuid.uuid4().hex

    async def request(self, kind: str, content: dict[str, Any], *, idle: bool = True) -> Ran:
        """Ask for something on the shell channel; return at its reply and, perhaps, ``idle``."""
        id = uuid.uuid4().hex
        header = {
            "msg_id": id, "msg_type": kind, "session": self._session, "username": "bench",
            "date": datetime.now(UTC).isoformat(), "version": "5.4",
        }  # fmt: skip
        parts = tuple(json.dumps(part).encode() for part in (header, {}, {}, content))
        began = time.perf_counter()
        await self._socket.send(protocol.encode(protocol.Message("shell", parts)))
        frames = await self._until(id.encode(), kind.replace("request", "reply").encode(), idle=idle)
        return Ran((time.perf_counter() - began) * 1e3, frames)

    async def _until(self, id: bytes, reply: bytes, *, idle: bool) -> list[bytes]:
        frames: list[bytes] = []
        is_replied, is_idle = False, not idle
        async with asyncio.timeout(DEADLINE_S):
            while not (is_replied and is_idle):
                frame = await self._socket.recv(decode=False)
                frames.append(frame)
                if len(frame) > 4096:
                    continue  # output; the ends that we wait for are small
                is_replied = is_replied or (reply in frame and id in frame)
                is_idle = is_idle or (b'"idle"' in frame and id in frame)
        return frames

    async def run(self, code: str, *, idle: bool = True) -> Ran:
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        return await self.request("execute_request", content, idle=idle)

    async def complete(self) -> Ran:
        content = {"code": COMPLETED, "cursor_pos": len(COMPLETED)}
        return await self.request("complete_request", content, idle=False)


@contextlib.asynccontextmanager
async def connected(server: Server, side: Stock | Rooms) -> AsyncIterator[Peer]:
    """Start a kernel, connect to it, and end it in the end."""
    place = await side.start(server)
    async with websockets.connect(
        f"ws://127.0.0.1:{server.port}/{place.channels}?session_id={uuid.uuid4().hex}",
        subprotocols=[websockets.Subprotocol(protocol.V1)], additional_headers=HEADERS,
        max_size=None, max_queue=None, compression=None,
    ) as socket:  # fmt: skip
        yield Peer(socket)
    await server.ask("DELETE", place.resource)


@dataclass
class Row:
    """One measure of both sides, in the same unit."""

    name: str
    goal: float | None = None
    rival: str = "ipykernel"
    expected: int = 0
    """How many output messages or bytes should have come, 0 where none are counted."""
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    ours_got: list[int] = field(default_factory=list)
    theirs_got: list[int] = field(default_factory=list)

    def add(self, side: Stock | Rooms, figure: float, got: int = 0) -> None:
        mine = isinstance(side, Rooms)
        (self.ours if mine else self.theirs).append(figure)
        (self.ours_got if mine else self.theirs_got).append(got)

    def cells(self) -> list[str]:
        ours, theirs = statistics.median(self.ours), statistics.median(self.theirs)
        ratio = ours / theirs
        verdict = "-"
        if self.goal is not None:
            verdict = f"≤ {self.goal:g} × {'met' if ratio <= self.goal else 'MISSED'}"
        return [
            self.name, f"{ours:,.1f}", f"{min(self.ours):,.1f}", self._got(self.ours_got),
            self.rival, f"{theirs:,.1f}", f"{min(self.theirs):,.1f}", self._got(self.theirs_got),
            f"{ratio:.2f} ×", verdict,
        ]  # fmt: skip

    def _got(self, got: list[int]) -> str:
        return f"{100 * min(got) / self.expected:.0f} %" if self.expected else "-"


HEADINGS = ("", "room", "min", "got", "rival", "rival", "min", "got", "ratio", "goal")


async def starts(server: Server, row: Row, completion: Row, rounds: int) -> None:
    await bring_up(server)
    for number in range(rounds + 1):
        for side in SIDES:
            await server.still()
            began = time.perf_counter()
            async with connected(server, side) as peer:
                await peer.run("1+1", idle=False)
                took = (time.perf_counter() - began) * 1e3
                completed = await peer.complete()
            if number:  # the first round finds cold files
                row.add(side, took)
                completion.add(side, completed.ms)


async def bring_up(server: Server) -> None:
    """Start one kernel of each side, and wait for what follows from that."""
    for side in SIDES:
        async with connected(server, side) as peer:
            await peer.run("1+1")
            await peer.complete()
    await asyncio.sleep(REHEARSED_S)
    await server.still()


@contextlib.asynccontextmanager
async def both(server: Server) -> AsyncIterator[list[tuple[Stock | Rooms, Peer]]]:
    """Connect to one kernel of each side, and let each run some cells first."""
    async with contextlib.AsyncExitStack() as stack:
        pairs = [(side, await stack.enter_async_context(connected(server, side))) for side in SIDES]
        for _, peer in pairs:
            for _ in range(5):
                await peer.run("1+1")
                await peer.complete()
        yield pairs


async def latencies(server: Server, cell: Row, completion: Row, rounds: int) -> None:
    async with both(server) as pairs:
        for _ in range(10 * rounds):
            for side, peer in pairs:
                cell.add(side, (await peer.run("1+1")).ms)
        for _ in range(2 * rounds):
            for side, peer in pairs:
                completion.add(side, (await peer.complete()).ms)


async def bare_cells(row: Row, ours: Row, rounds: int) -> None:
    """Run the same cell in a kernel without a server, and set that beside what rooms took."""
    manager = AsyncKernelManager()
    await manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=DEADLINE_S)
        for number in range(10 * rounds + 5):
            began = time.perf_counter()
            await client.execute_interactive("1+1", output_hook=lambda _: None, timeout=DEADLINE_S)
            if number >= 5:
                row.theirs.append((time.perf_counter() - began) * 1e3)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)
    row.ours = ours.ours


async def outputs(server: Server, rival: str, rounds: int) -> list[Row]:
    rows = [
        (Row("20 MB in one print, ms", None, rival, 20_000_001), ONE_PRINT, 1),
        (Row("20 MB in 200,000 lines, ms", None, rival, 20_000_000), LINES, 1),
        (Row("5,000 displays, ms", None, rival, 5000), DISPLAYS, 0),
    ]
    async with both(server) as pairs:
        for row, code, which in rows:
            for _ in range(rounds):
                for side, peer in pairs:
                    ran = await peer.run(code)
                    row.add(side, ran.ms, ran.outputs()[which])
    return [row for row, _, _ in rows]


async def memory(server: Server, kernels: int) -> list[Row]:
    added = Row(f"memory that {kernels} kernels add, MiB each", 0.6)
    whole = Row("the same with the zygote's share, MiB each", 0.6)
    completed = Row("what they add once they have completed, MiB each", 0.6)
    await bring_up(server)
    for side in SIDES:
        await server.still()
        before, standing = server.pss_mib(), server.pss_mib(without_server=True)
        async with contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(connected(server, side)) for _ in range(kernels)]
            for peer in peers:
                await peer.run("1+1")
            figure = (server.pss_mib() - before) / kernels
            added.add(side, figure)
            whole.add(side, figure + (standing / kernels if isinstance(side, Rooms) else 0))
            for peer in peers:
                await peer.complete()
            completed.add(side, (server.pss_mib() - before) / kernels)
    return [added, whole, completed]


async def measure(rounds: int, kernels: int) -> list[Row]:
    cold, warm = (Row(f"start → first reply, {name}, ms", 0.5) for name in ("cold", "warm"))
    cell, completion = Row("1+1, ms", 1.2), Row("completion, later ones, ms")
    first, first_warm = Row("completion, a kernel's first, ms"), Row("")
    bare = Row("1+1, ms", None, "no server")
    few = max(1, rounds // 3)
    async with serving("--EmbedenvApp.pool_size=0", "--EmbedenvApp.kernel_pool_size=0") as server:
        memory_rows = await memory(server, kernels)
        await starts(server, cold, first, rounds)
        await latencies(server, cell, completion, rounds)
        limited = await outputs(server, "ipykernel", few)
    await bare_cells(bare, cell, rounds)
    async with serving(NO_LIMITS) as server:
        await starts(server, warm, first_warm, rounds)
        lifted = await outputs(server, "no limits", few)
    return [cold, warm, cell, bare, first, completion, *limited, *lifted, *memory_rows]


def machine() -> str:
    """Say what this was measured on."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    loads = "/".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}, "
        f"load {loads}"
    )


def as_markdown(rows: list[Row]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "|---" * len(HEADINGS) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row.cells()) + " |" for row in rows)])


def as_table(rows: list[Row]) -> Table:
    table = Table()
    for index, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if index in (0, 4, 9) else "right")
    for row in rows:
        table.add_row(*row.cells())
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--kernels", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="a smoke run: figures mean nothing")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.kernels = 1, 2
    before = machine()
    rows = asyncio.run(measure(arguments.rounds, arguments.kernels))
    show: Callable[[Any], None] = print if arguments.markdown else Console(width=150).print
    show(f"{arguments.rounds} rounds, {before}; medians")
    show(as_markdown(rows) if arguments.markdown else as_table(rows))


if __name__ == "__main__":
    main()
