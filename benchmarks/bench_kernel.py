"""Kernels of rooms against plain ipykernel behind the same Jupyter server, by the same client, in one run.

A server runs in a process of its own with its stock ``/api/kernels`` and with ours; one client here
speaks Jupyter's WebSocket subprotocol to both. The two sides take turns, so that a busy second of
the machine hits both. Rows, with the goal of each:

* start: POST to the first ``execute_reply`` of a cell, cold (no room, no kernel stands ready) and
  warm (from the pool); at most 0.5 × stock;
* ``1+1``: request to its reply and ``idle``; at most 1.2 × stock, and shown beside the same kernel without
  any server (jupyter_client over TCP), because the stock server sends without TCP_NODELAY;
* ``1+1`` through the forwarder as a process, whose gateway is the same server's; at most 1.2 × stock. Both
  sides go through the stock server here, so the client acknowledges at once, which spares both its 40 ms;
* completion: ``complete_request`` of a name to its reply, the first one of a kernel and later ones; a stock
  kernel finds what jedi has parsed in the cache of its user, a new room has no such cache;
* output: 20 MB in one ``print``, 20 MB in 200,000 lines, 5,000 ``display`` messages, to reply and ``idle``.
  The stock server drops output beyond its iopub rate limits: "got" says what arrived. The same rows
  come again against a stock server whose limits are switched off, which is what is like for like;
* memory: PSS of the server and all its descendants, per kernel that has run a cell, of ten of each; at
  most 0.6 × stock. Once what ten kernels add, once with the zygote's share, which stands before the first,
  and once what they have added when each has completed something as well.

Figures of rooms come with all that rooms do: sandbox, limits, log on disk, receipts.

    python -m benchmarks.bench_kernel [--rounds 15] [--kernels 10] [--quick] [--markdown]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from rich.console import Console

from benchmarks.kernel_clients import (
    FORWARDED,
    IN_ROOM,
    IPYKERNEL,
    Peer,
    Side,
    connected,
    write_forwarder_spec,
)
from benchmarks.serving import DEADLINE_S, Server, serving
from benchmarks.versus import Row, as_markdown, as_table, machine

REHEARSED_S = 6.0
"""Within this time after its first room a zygote has done what it does when nobody asks for anything."""

NO_LIMITS = "--ZMQChannelsWebsocketConnection.limit_rate=False"
ONE_PRINT = "print('x' * 20_000_000)"
LINES = "for _ in range(200_000): print('x' * 99)"
DISPLAYS = "for i in range(5000): display(i)"
SIDES: tuple[Side, ...] = (IN_ROOM, IPYKERNEL)


@contextlib.asynccontextmanager
async def serving_kernels(*options: str) -> AsyncIterator[Server]:
    """Serve until the body is done; it begins when the pools are full."""
    with tempfile.TemporaryDirectory() as directory:
        write_forwarder_spec(Path(directory))
        async with serving(directory, *options, environment={"JUPYTER_PATH": directory}) as server:
            await server.still()
            yield server


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
                row.add(took, is_ours=side.is_ours)
                completion.add(completed.ms, is_ours=side.is_ours)


async def bring_up(server: Server) -> None:
    """Start one kernel of each side, and wait for what follows from that."""
    for side in SIDES:
        async with connected(server, side) as peer:
            await peer.run("1+1")
            await peer.complete()
    await asyncio.sleep(REHEARSED_S)
    await server.still()


@contextlib.asynccontextmanager
async def warm(
    server: Server, sides: tuple[Side, ...] = SIDES, *, acks_at_once: bool = False
) -> AsyncIterator[list[tuple[Side, Peer]]]:
    """Connect to one kernel of each side, and let each run some cells first."""
    async with contextlib.AsyncExitStack() as stack:
        pairs = [
            (side, await stack.enter_async_context(connected(server, side, acks_at_once=acks_at_once)))
            for side in sides
        ]
        for _, peer in pairs:
            for _ in range(5):
                await peer.run("1+1")
                await peer.complete()
        yield pairs


async def latencies(server: Server, cell: Row, completion: Row, rounds: int) -> None:
    async with warm(server) as pairs:
        for _ in range(10 * rounds):
            for side, peer in pairs:
                cell.add((await peer.run("1+1")).ms, is_ours=side.is_ours)
        for _ in range(2 * rounds):
            for side, peer in pairs:
                completion.add((await peer.complete()).ms, is_ours=side.is_ours)


async def forwarded_cells(server: Server, cell: Row, rounds: int) -> None:
    async with warm(server, (FORWARDED, IPYKERNEL), acks_at_once=True) as pairs:
        for _ in range(10 * rounds):
            for side, peer in pairs:
                cell.add((await peer.run("1+1")).ms, is_ours=side.is_ours)


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
    async with warm(server) as pairs:
        for row, code, which in rows:
            for _ in range(rounds):
                for side, peer in pairs:
                    ran = await peer.run(code)
                    row.add(ran.ms, ran.outputs()[which], is_ours=side.is_ours)
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
            added.add(figure, is_ours=side.is_ours)
            whole.add(figure + (standing / kernels if side.is_ours else 0), is_ours=side.is_ours)
            for peer in peers:
                await peer.complete()
            completed.add((server.pss_mib() - before) / kernels, is_ours=side.is_ours)
    return [added, whole, completed]


async def measure(rounds: int, kernels: int) -> list[Row]:
    cold, ready = (Row(f"start → first reply, {name}, ms", 0.5) for name in ("cold", "warm"))
    cell, completion = Row("1+1, ms", 1.2), Row("completion, later ones, ms")
    first, first_warm = Row("completion, a kernel's first, ms"), Row("")
    bare = Row("1+1, ms", None, "no server")
    forwarded = Row("1+1 through the forwarder, ms", 1.2)
    few = max(1, rounds // 3)
    async with serving_kernels("--EmbedenvApp.pool_size=0", "--EmbedenvApp.kernel_pool_size=0") as server:
        memory_rows = await memory(server, kernels)
        await starts(server, cold, first, rounds)
        await latencies(server, cell, completion, rounds)
        await forwarded_cells(server, forwarded, rounds)
        limited = await outputs(server, "ipykernel", few)
    await bare_cells(bare, cell, rounds)
    async with serving_kernels(NO_LIMITS) as server:
        await starts(server, ready, first_warm, rounds)
        lifted = await outputs(server, "no limits", few)
    return [cold, ready, cell, bare, forwarded, first, completion, *limited, *lifted, *memory_rows]


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
