"""The Spaces protocol end to end, over real sockets, against named rivals in one run.

A gateway runs in a process of its own; the clients are in this one. Rows:

* init → join key, warm (a sandbox waits in the pool) and cold (none does);
* the first output of a shell line, against ``bash -c`` run here without room or socket;
* a keystroke (a line to a waiting ``cat``) and its echo, against terminado's own terminal in the same server;
* lines of output per second to one and to fifty watchers, against ``bash -c`` piped to a reader here;
* many rooms at once: the time until all have answered, and what each idle one (sandbox, room, log,
  socket) adds to the proportional set size of the gateway with all of its processes.

Goals stand beside what was measured (the median), with pass or miss.

    python -m benchmarks.bench_spaces [--rounds 30] [--lines 200000] [--rooms 100]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import websockets
from rich.console import Console
from rich.table import Table

from benchmarks.serving import EMBEDENV, TOKEN, Server, serving

WARM_GOAL_MS = 10.0
COLD_GOAL_MS = 60.0
IDLE_GOAL_MIB = 5.0
SETTLE_S = 2.0


@dataclass(frozen=True)
class Gateway:
    """A running gateway and keys that pay."""

    server: Server
    public_key: str
    secret_key: str

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/spaces/defoult/"


@contextlib.asynccontextmanager
async def gateway(*options: str) -> AsyncIterator[Gateway]:
    """Serve in a process of its own until the body is done, for an account that can pay."""
    with tempfile.TemporaryDirectory() as directory:
        made = subprocess.run(
            [EMBEDENV, "keys", "create", "--credits", "1000000", "--json"],
            env={**os.environ, "EMBEDENV_DATA_DIR": directory}, capture_output=True, check=True,
        )  # fmt: skip
        keys = json.loads(made.stdout)
        async with serving(directory, *options) as server:
            yield Gateway(server, keys["public_key"], keys["secret_key"])


def command(kind: str, **fields: Any) -> str:
    return json.dumps({"type": "cmd", "project_name": "bench", "command": {"type": kind, **fields}})


@contextlib.asynccontextmanager
async def room(found: Gateway) -> AsyncIterator[tuple[websockets.ClientConnection, str, float]]:
    """Open a room; yield the socket, the join key, and the milliseconds from init to its answer."""
    async with websockets.connect(found.url, max_queue=None, compression=None) as socket:
        began = time.perf_counter()
        await socket.send(
            json.dumps({"type": "init", "public_key": found.public_key, "secret_key": found.secret_key})
        )
        answer = json.loads(await socket.recv())
        yield socket, answer["join"], (time.perf_counter() - began) * 1e3


async def until(socket: websockets.ClientConnection, kind: str) -> int:
    """Receive up to a frame of this type; return how many came."""
    count = 1
    wanted = f'{{"type":"{kind}"'
    while not str(await socket.recv()).startswith(wanted):
        count += 1
    return count


async def init_ms(found: Gateway, rounds: int, pause_s: float) -> list[float]:
    figures = []
    for _ in range(rounds):
        async with room(found) as (_, _, took):
            figures.append(took)
        await asyncio.sleep(pause_s)  # the pool fills up again meanwhile
    return figures


async def shell_ms(found: Gateway, rounds: int) -> list[float]:
    figures = []
    async with room(found) as (socket, _, _):
        for _ in range(rounds):
            began = time.perf_counter()
            await socket.send(command("shell", command="echo x"))
            await until(socket, "terminal-data-end")
            figures.append((time.perf_counter() - began) * 1e3)
    return figures


async def bash_ms(rounds: int) -> list[float]:
    figures = []
    for _ in range(rounds):
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec("bash", "-c", "echo x", stdout=subprocess.PIPE)
        await process.communicate()
        figures.append((time.perf_counter() - began) * 1e3)
    return figures


async def keystroke_ms(found: Gateway, rounds: int) -> list[float]:
    figures = []
    async with room(found) as (socket, _, _):
        await socket.send(command("shell", command="echo ready; exec cat"))
        await until(socket, "terminal-newline")
        for number in range(rounds * 10):
            began = time.perf_counter()
            await socket.send(command("shell", command=f"k{number}"))
            await until(socket, "terminal-newline")
            figures.append((time.perf_counter() - began) * 1e3)
        await socket.send(command("shell", command="Ctrl+C"))
        await until(socket, "terminal-data-end")
    return figures


async def terminado_ms(found: Gateway, rounds: int) -> list[float]:
    """The same line to ``cat`` in a stock Jupyter terminal of the same server."""
    base = f"127.0.0.1:{found.port}"

    def make() -> str:
        request = urllib.request.Request(
            f"http://{base}/api/terminals", data=b"{}", headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(json.load(answer)["name"])

    name = await asyncio.to_thread(make)
    figures = []
    async with websockets.connect(
        f"ws://{base}/terminals/websocket/{name}?token={TOKEN}", max_queue=None, compression=None
    ) as socket:
        await socket.send(json.dumps(["stdin", "stty -echo; echo rea''dy; exec cat\r"]))
        await see(socket, "ready")
        for number in range(rounds * 10):
            began = time.perf_counter()
            await socket.send(json.dumps(["stdin", f"k{number}.\r"]))
            await see(socket, f"k{number}.")
            figures.append((time.perf_counter() - began) * 1e3)
    return figures


async def see(socket: websockets.ClientConnection, text: str) -> None:
    seen = ""
    while text not in seen:
        kind, *rest = json.loads(await socket.recv())
        if kind == "stdout":
            seen += rest[0]


class Watcher:
    """A member that only counts frames: a full WebSocket client in Python would be what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def join(cls, found: Gateway, key: str, user: str) -> Watcher:
        reader, writer = await asyncio.open_connection("127.0.0.1", found.port, limit=4 << 20)
        writer.write(
            b"GET /ws/spaces/defoult/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        watcher = cls(reader, writer)
        watcher.send(json.dumps({"type": "join", "join": key, "user": user, "color": "#123"}))
        await reader.readuntil(b'"type":"join"')
        return watcher

    def send(self, text: str) -> None:
        data = text.encode()
        assert len(data) < 126
        self._writer.write(bytes((0x81, 0x80 | len(data), 0, 0, 0, 0)) + data)  # masked with zeros

    async def lines(self) -> int:
        """Count line ends up to the end of the run."""
        count = 0
        rest = b""
        while True:
            data = rest + await self._reader.read(1 << 20)
            count += data.count(b'"terminal-newline"') - rest.count(b'"terminal-newline"')
            if b'"terminal-data-end"' in data:
                return count
            rest = data[-18:]  # one byte short of the end's pattern, and as long as the line's

    def close(self) -> None:
        self._writer.close()


async def lines_per_s(found: Gateway, lines: int, watchers: int) -> float:
    async with room(found) as (socket, key, _):
        members = [await Watcher.join(found, key, f"u{number}") for number in range(watchers)]
        await socket.close()  # the host would be one more watcher
        began = time.perf_counter()
        members[0].send(command("shell", command=f"seq {lines}"))
        counts = await asyncio.gather(*(member.lines() for member in members))
        took = time.perf_counter() - began
        assert set(counts) == {lines}, counts
        for member in members:
            member.close()
        return lines / took


async def bare_lines_per_s(lines: int) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"seq {lines}", stdout=subprocess.PIPE, limit=1 << 20
    )
    assert process.stdout is not None
    count = 0
    async for _ in process.stdout:
        count += 1
    await process.wait()
    assert count == lines
    return lines / (time.perf_counter() - began)


async def crowd(found: Gateway, count: int) -> tuple[float, float]:
    """Open rooms all at once; return the milliseconds until all have answered, and the MiB of each."""
    before = found.server.pss_mib()
    async with contextlib.AsyncExitStack() as stack:
        began = time.perf_counter()
        opened = await asyncio.gather(*(stack.enter_async_context(room(found)) for _ in range(count)))
        took = (time.perf_counter() - began) * 1e3
        assert len({key for _, key, _ in opened}) == count
        await asyncio.sleep(SETTLE_S)
        return took, (found.server.pss_mib() - before) / count


def verdict(figure: float, goal: float, unit: str) -> str:
    return f"≤ {goal:g} {unit}: {'pass' if figure <= goal else 'miss'} ({figure / goal:.2f}×)"


async def measure(rounds: int, lines: int, rooms: int) -> None:
    table = Table(title=f"Spaces protocol, {rounds} rounds")
    for heading in ("", "median", "min", "goal", "rival (median)", "× rival"):
        table.add_column(heading, justify="left" if not heading else "right")

    def row(
        name: str, figures: list[float], rival: tuple[str, list[float]] | None = None, *, goal: float = 0
    ) -> None:
        median = statistics.median(figures)
        named, ratio = "-", "-"
        if rival is not None:
            other = statistics.median(rival[1])
            named, ratio = f"{rival[0]} {other:.2f}", f"{median / other:.2f}"
        aim = verdict(median, goal, "ms") if goal else "-"
        table.add_row(name, f"{median:.2f}", f"{min(figures):.2f}", aim, named, ratio)

    async with gateway("--ServerApp.jpserver_extensions=jupyter_server_terminals=True") as found:
        await init_ms(found, 2, 0.1)
        row("init → join key, warm, ms", await init_ms(found, rounds, 0.1), goal=WARM_GOAL_MS)
        row("shell line to its end, ms", await shell_ms(found, rounds), ("bash -c", await bash_ms(rounds)))
        row(
            "keystroke echo, ms", await keystroke_ms(found, rounds),
            ("terminado", await terminado_ms(found, rounds)),
        )  # fmt: skip
        bare = await bare_lines_per_s(lines)
        for watchers in (1, 50):
            count = lines if watchers == 1 else max(1000, lines // 10)
            rate = await lines_per_s(found, count, watchers)
            table.add_row(
                f"lines/s to {watchers} watcher(s), each gets all", f"{rate:,.0f}", "-", "-",
                f"bash | reader {bare:,.0f}", f"{rate / bare:.2f}",
            )  # fmt: skip
    async with gateway("--EmbedenvApp.pool_size=0") as found:
        await init_ms(found, 2, 0)
        row("init → join key, cold, ms", await init_ms(found, rounds, 0), goal=COLD_GOAL_MS)
    async with gateway("--EmbedenvApp.pool_size=0") as found:
        await init_ms(found, 2, 0)
        took, each = await crowd(found, rooms)
        table.add_row(f"{rooms} rooms at once, all open, ms", f"{took:.0f}", "-", "-", "-", "-")
        table.add_row("idle room, PSS MiB", f"{each:.2f}", "-", verdict(each, IDLE_GOAL_MIB, "MiB"), "-", "-")
    Console(width=130).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rooms", type=int, default=100)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.rounds, arguments.lines, arguments.rooms))
