"""The room's log against the plain thing: a bounded deque and one ``asyncio.Queue`` for each watcher.

The baseline keeps no more than the log does in memory, has no numbers to resume
from, no disk, no bound on its queues and holds no producer; it passes pointers,
never looks at the text, and so is the least that fan-out costs in asyncio. The
log counts lines and bytes and writes everything to disk; the column "in memory"
is a log without a disk. Rows:

* small appends (one line each) and output in chunks of 64 KiB, with 0, 1 and 50 live watchers;
* frames made from what is read (JSON, as protocols do), which the log shares between watchers;
* reading from disk (its page cache), against reading the same files without looking at them.

The two sides take turns, so that a busy minute of the machine hits both; each
cell is the best of the rounds. Rates count what was produced, once, however
many watchers got it.

    python -m benchmarks.bench_log [--rounds 3] [--megabytes 64] [--appends 50000]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from embedenv_jupyter.rooms.events import Output
from embedenv_jupyter.rooms.log import Log, Record, Watcher

LINE = "hello, world\n"
CHUNK = ("x" * 99 + "\n") * 655
YIELD_EVERY = 16
READ_BYTES = 256 << 10
MEMORY_BYTES = 1 << 20

_encoder = msgspec.json.Encoder()

Render = Callable[[Output], list[bytes]]


def frames(event: Output) -> list[bytes]:
    """Make a JSON frame for each line."""
    return [_encoder.encode({"type": "terminal-data", "data": line}) for line in event.text.split("\n")[:-1]]


@dataclass(frozen=True)
class Load:
    """What is produced, for how many, and what the watchers make of it."""

    text: str
    times: int
    watchers: int
    render: Render | None = None

    async def produce(self, append: Callable[[Output], object], log: Log | None = None) -> None:
        """Append as a room's pump does: chunks are read from a terminal, so the loop turns between them."""
        every = 1 if self.text is CHUNK else YIELD_EVERY
        for index in range(self.times):
            append(Output("r1", self.text, at=1.0))
            if log is not None:
                await log.writable()
            if index % every == 0:
                await asyncio.sleep(0)


# The two sides.


async def through_log(load: Load, *, to_disk: bool = True) -> float:
    """Return the seconds until every watcher has everything."""
    with tempfile.TemporaryDirectory() as directory:
        log = Log(Path(directory) / "log" if to_disk else None, memory_bytes=MEMORY_BYTES)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(load.watchers):
                group.create_task(_watch_log(log.watch(0), load.render))
            await load.produce(log.append, log)
            log.finish()
        took = time.perf_counter() - began
        await log.aclose(delete=True)
        return took


async def _watch_log(watcher: Watcher, render: Render | None) -> None:
    def rendered(record: Record) -> Sequence[bytes]:
        assert render is not None
        assert isinstance(record.event, Output)
        return render(record.event)

    async with watcher:
        async for items in watcher:
            for item in items:
                assert isinstance(item, Record), "a live watcher sees no gap"
                if render is not None:
                    item.rendered("bench", rendered)
            await asyncio.sleep(0)  # a socket is written to here


async def through_queues(load: Load) -> float:
    """Do the same with a deque and queues."""
    kept: deque[tuple[int, Output]] = deque(maxlen=max(1, MEMORY_BYTES // (len(load.text) + 384)))
    queues: list[asyncio.Queue[tuple[int, Output] | None]] = [asyncio.Queue() for _ in range(load.watchers)]

    def append(event: Output) -> None:
        numbered = (len(kept), event)
        kept.append(numbered)
        for queue in queues:
            queue.put_nowait(numbered)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for queue in queues:
            group.create_task(_watch_queue(queue, load.render))
        await load.produce(append)
        for queue in queues:
            queue.put_nowait(None)
    return time.perf_counter() - began


async def _watch_queue(queue: asyncio.Queue[tuple[int, Output] | None], render: Render | None) -> None:
    while (numbered := await queue.get()) is not None:
        while numbered is not None:
            if render is not None:
                render(numbered[1])
            if queue.empty():
                break
            numbered = queue.get_nowait()
        if numbered is None:
            return
        await asyncio.sleep(0)


# Disk.


async def from_disk(megabytes: int, readers: int) -> tuple[float, float]:
    """Return the seconds that readers take for a log on disk, and those for its bytes alone."""
    with tempfile.TemporaryDirectory() as directory:
        log = Log(Path(directory) / "log", memory_bytes=MEMORY_BYTES, disk_bytes=(megabytes + 64) << 20)
        await Load(CHUNK, (megabytes << 20) // len(CHUNK), 0).produce(log.append, log)
        log.finish()
        await log.aclose()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(readers):
                group.create_task(_watch_log(log.watch(0), None))
        ours = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(readers):
            await asyncio.to_thread(_read_files, Path(directory) / "log")
        plain = time.perf_counter() - began
        await log.aclose(delete=True)
        return ours, plain


def _read_files(directory: Path) -> None:
    for path in sorted(directory.iterdir()):
        with path.open("rb", buffering=0) as file:
            while file.read(READ_BYTES):
                pass


# The table.


async def best(rounds: int, *sides: Callable[[], Awaitable[float]]) -> list[float]:
    """Let the sides take turns; return the best of each."""
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for times, side in zip(taken, sides, strict=True):
            gc.collect()
            times.append(await side())
    return [min(times) for times in taken]


async def measure(rounds: int, megabytes: int, appends: int) -> Table:
    """Run everything, one thing after another."""
    table = Table("measured", "log", "in memory", "deque + queues", "log ÷ baseline", title="The room's log")
    for watchers in (0, 1, 50):
        load = Load(LINE, appends, watchers)
        await _row(table, rounds, f"small appends, {_watching(watchers)}", load, appends / 1e3, "k/s")
    for watchers in (0, 1, 50):
        load = Load(CHUNK, (megabytes << 20) // len(CHUNK), watchers)
        await _row(table, rounds, f"64 KiB chunks, {_watching(watchers)}", load, megabytes, "MiB/s")
    for watchers in (1, 50):
        few = max(1, megabytes // watchers)
        load = Load(CHUNK, (few << 20) // len(CHUNK), watchers, frames)
        await _row(table, rounds, f"as JSON frames, {_watching(watchers)}", load, few, "MiB/s")
    for readers in (1, 10):
        results = [await from_disk(megabytes, readers) for _ in range(rounds)]
        ours, plain = (min(side) for side in zip(*results, strict=True))
        label = f"cold from disk, {readers} reader{'s' * (readers > 1)}"
        _add(table, label, megabytes * readers, "MiB/s", ours, None, plain)
    return table


def _watching(watchers: int) -> str:
    return {0: "nobody watching", 1: "1 watcher"}.get(watchers, f"{watchers} watchers")


async def _row(table: Table, rounds: int, label: str, load: Load, amount: float, unit: str) -> None:
    ours, in_memory, plain = await best(
        rounds,
        lambda: through_log(load),
        lambda: through_log(load, to_disk=False),
        lambda: through_queues(load),
    )
    _add(table, label, amount, unit, ours, in_memory, plain)


def _add(
    table: Table, label: str, amount: float, unit: str, ours: float, in_memory: float | None, plain: float
) -> None:
    cells = ("" if took is None else f"{amount / took:,.0f} {unit}" for took in (ours, in_memory, plain))
    table.add_row(label, *cells, f"{plain / ours:.2f} ×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=64, help="output to produce in each round")
    parser.add_argument("--appends", type=int, default=50_000, help="small appends in each round")
    arguments = parser.parse_args()
    table = asyncio.run(measure(arguments.rounds, arguments.megabytes, arguments.appends))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
