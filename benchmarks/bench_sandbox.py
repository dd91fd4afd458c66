"""How long until a sandbox runs a program, and what it weighs, against named rivals in one run.

Each row starts a sandbox and runs ``true`` in it to its end. The rows of
each round are shuffled, so that a busy minute of the machine hits every row alike; ratios
are of medians, to plain ``bwrap`` and to ``docker run``. Rivals that are not
installed here are named and left out.

    python benchmarks/bench_sandbox.py [--rounds 20] [--rooms 100]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, SandboxSpec
from embedenv_jupyter.sandbox.tiers.ns import NsTier

IMAGE = "embedenv-bench"
BWRAP = [
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr",
    "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
    "--proc", "/proc", "--dev", "/dev",
]  # fmt: skip
DOCKER = ["docker", "run", "--rm", "--network", "none", IMAGE]

Round = Callable[[], Awaitable[float]]


async def command(argv: list[str]) -> float:
    """Run a command to its end; return the milliseconds."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if await process.wait():
        raise RuntimeError(f"{argv[0]} failed")
    return (time.perf_counter() - began) * 1e3


class Rooms:
    """Our own rows, on one tier that is warm, as a gateway's is."""

    def __init__(self) -> None:
        self.tier = NsTier()
        self._number = 0

    def spec(self) -> SandboxSpec:
        self._number += 1
        return SandboxSpec(id=f"bench{self._number}")

    async def ready(self) -> float:
        """Until the sandbox is ready to be asked."""
        began = time.perf_counter()
        sandbox = await self.tier.start(self.spec())
        took = (time.perf_counter() - began) * 1e3
        await sandbox.aclose()
        return took

    async def program(self) -> float:
        """Until a program in a new sandbox has ended."""
        began = time.perf_counter()
        sandbox = await self.tier.start(self.spec())
        await run_true(sandbox)
        took = (time.perf_counter() - began) * 1e3
        await sandbox.aclose()
        return took


async def run_true(sandbox: Sandbox) -> None:
    process = await sandbox.spawn(["/bin/true"])
    await process.wait()
    process.close()


def pss_mib(pid: int) -> float:
    """Proportional set size (proc(5), smaps_rollup) in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no Pss")


async def measure(rounds: int, many: int) -> None:
    rooms = Rooms()
    await rooms.program()  # the zygote starts with the first
    rows: dict[str, Round] = {
        "plain subprocess, true": lambda: command(["/bin/true"]),
        "embedenv ns, ready": rooms.ready,
        "embedenv ns, true": rooms.program,
    }
    absent = []
    if shutil.which("bwrap"):
        rows["bwrap, true"] = lambda: command([*BWRAP, "/bin/true"])
    else:
        absent.append("bwrap (apt-get install bubblewrap)")
    if image_is_there():
        rows["docker run, true"] = lambda: command([*DOCKER, "/bin/true"])
    else:
        absent.append(
            f"docker run (needs an engine and an image called {IMAGE}: tar -c /usr/bin … | docker import)"
        )
    figures: dict[str, list[float]] = {name: [] for name in rows}
    order = list(rows)
    shuffled = random.Random(1)  # noqa: S311 (what a row leaves behind must not always hit the same next one)
    for _ in range(rounds):
        shuffled.shuffle(order)
        for name in order:
            figures[name].append(await rows[name]())
    show(figures, rounds, absent)
    await weigh(rooms, many)
    await rooms.tier.aclose()


def image_is_there() -> bool:
    if not shutil.which("docker"):
        return False
    found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    return found.returncode == 0


def show(figures: dict[str, list[float]], rounds: int, absent: list[str]) -> None:
    table = Table(title=f"start of a sandbox, {rounds} interleaved rounds")
    for heading in ("", "median ms", "min ms", "× bwrap", "docker run ×"):
        table.add_column(heading, justify="left" if not heading else "right")
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, values in figures.items():
        table.add_row(
            name, f"{medians[name]:.2f}", f"{min(values):.2f}",
            ratio(medians[name], medians.get("bwrap, true")),
            ratio(medians.get("docker run, true"), medians[name]),
        )  # fmt: skip
    Console(width=100).print(table)
    for rival in absent:
        print(f"not here: {rival}")


def ratio(of: float | None, to: float | None) -> str:
    return "-" if of is None or to is None else f"{of / to:.2f}"


async def weigh(rooms: Rooms, many: int) -> None:
    """Start many rooms at once; say how long that took and what an idle one weighs."""
    began = time.perf_counter()
    sandboxes = await asyncio.gather(*(rooms.tier.start(rooms.spec()) for _ in range(many)))
    started = time.perf_counter() - began
    weights = [pss_mib(s.keeper.pid) for s in sandboxes if s.keeper.pid is not None]
    charged = [s.keeper.counters().memory_bytes for s in sandboxes]
    began = time.perf_counter()
    await asyncio.gather(*(sandbox.aclose() for sandbox in sandboxes))
    ended = time.perf_counter() - began
    table = Table(title=f"{many} rooms at once")
    table.add_column("")
    table.add_column("figure", justify="right")
    table.add_row("all started, s", f"{started:.2f}")
    table.add_row("all ended, s", f"{ended:.2f}")
    table.add_row("rooms started per second", f"{many / started:.0f}")
    table.add_row("idle room, PSS MiB (mean)", f"{statistics.mean(weights):.2f}")
    known = [value / MIB for value in charged if value is not None]
    table.add_row(
        "idle room, charged to its cgroup MiB (mean)", f"{statistics.mean(known):.2f}" if known else "-"
    )
    Console(width=100).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rooms", type=int, default=100)
    options = parser.parse_args()
    asyncio.run(measure(options.rounds, options.rooms))
