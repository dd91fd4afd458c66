"""How long until a sandbox runs a program, and what it weighs, against named rivals in one run.

Each row starts a sandbox and runs ``true`` in it to its end. The rows of
each round are shuffled, so that a busy minute of the machine hits every row alike; ratios
are of medians, to plain ``bwrap`` and to ``docker run`` and ``podman run``, which run an
image that is made of this machine's own programs. Our rows are asked for a tenth of a
second after whatever ran before, so that a process waits for them (see ``spares.py`` of the
tiers); the row that says so asks at once, when there is none. Rivals that do not work here
are named and left out. Goals stand below the figures, each met or missed.

    python -m benchmarks.bench_sandbox [--rounds 20] [--rooms 100]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, SandboxSpec
from embedenv_jupyter.sandbox.tiers.ns import NsTier
from tests.integration.sandbox import engine_image

ENGINES = ("docker", "podman")
FASTER_GOAL = 15.0
"""How many times faster than an engine's ``run``."""
BWRAP_GOAL = 3.0
"""How many times the time of bare bubblewrap at most."""
PAUSE_S = 0.1
OURS = ("embedenv ns, ready", "embedenv ns, true")

BWRAP = [
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr",
    "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
    "--proc", "/proc", "--dev", "/dev",
]  # fmt: skip

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

    async def warm_up(self) -> None:
        """Have the zygote start, which it does with the first room, and learn all that it will."""
        await self.program()
        assert self.tier.zygote is not None, "a room has been forked"
        await self.tier.zygote.settled()

    async def ready(self) -> float:
        """Until the sandbox is ready to be asked."""
        await asyncio.sleep(PAUSE_S)
        return await self._ready()

    async def _ready(self) -> float:
        began = time.perf_counter()
        sandbox = await self.tier.start(self.spec())
        took = (time.perf_counter() - began) * 1e3
        await sandbox.aclose()
        return took

    async def ready_at_once(self) -> float:
        """Until a sandbox is ready that is asked for right after another, before a process is kept for it."""
        first = await self.tier.start(self.spec())
        took = await self._ready()
        await first.aclose()
        return took

    async def program(self) -> float:
        """Until a program in a new sandbox has ended."""
        await asyncio.sleep(PAUSE_S)
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
    await rooms.warm_up()
    rows: dict[str, Round] = {
        "plain subprocess, true": lambda: command(["/bin/true"]),
        **dict(zip(OURS, (rooms.ready, rooms.program), strict=True)),
        "embedenv ns, ready, at once": rooms.ready_at_once,
    }
    absent = []
    if shutil.which("bwrap"):
        rows["bwrap, true"] = lambda: command([*BWRAP, "/bin/true"])
    else:
        absent.append("bwrap (apt-get install bubblewrap)")
    for engine in ENGINES:
        if reason := engine_image.unavailable(engine):
            absent.append(f"{engine} run ({reason})")
        else:
            rows[f"{engine} run, true"] = partial(command, engine_command(engine))
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


def engine_command(engine: str) -> list[str]:
    """Return the command that runs ``true`` in a container, of the image that the tests use."""
    engine_image.make(engine)
    # Podman's own wish for limits needs CAP_SYS_RESOURCE, which a container that we run in may not have.
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"] if engine == "podman" else []
    return [
        engine, *engine_image.options(engine), "run", "--rm", "--pull", "never", "--network", "none", *limits,
        "--entrypoint", "/bin/true", engine_image.NAME,
    ]  # fmt: skip


def show(figures: dict[str, list[float]], rounds: int, absent: list[str]) -> None:
    table = Table(title=f"start of a sandbox, {rounds} interleaved rounds")
    for heading in ("", "median ms", "min ms", "× bwrap", *(f"{engine} run ×" for engine in ENGINES)):
        table.add_column(heading, justify="left" if not heading else "right")
    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, values in figures.items():
        table.add_row(
            name, f"{medians[name]:.2f}", f"{min(values):.2f}",
            ratio(medians[name], medians.get("bwrap, true")),
            *(ratio(medians.get(f"{engine} run, true"), medians[name]) for engine in ENGINES),
        )  # fmt: skip
    Console(width=100).print(table)
    for line in verdicts(medians):
        print(line)
    for rival in absent:
        print(f"not here: {rival}")


def verdicts(medians: dict[str, float]) -> Iterator[str]:
    """Yield each goal that there is a rival for, and whether it was met."""
    for name in OURS:
        for engine in ENGINES:
            if (rival := medians.get(f"{engine} run, true")) is not None:
                faster = rival / medians[name]
                met = "met" if faster >= FASTER_GOAL else "MISSED"
                yield f"{name}: {faster:.1f}× faster than {engine} run, goal ≥ {FASTER_GOAL:g}×: {met}"
        if (rival := medians.get("bwrap, true")) is not None:
            slower = medians[name] / rival
            met = "met" if slower <= BWRAP_GOAL else "MISSED"
            yield f"{name}: {slower:.2f}× the time of bare bwrap, goal ≤ {BWRAP_GOAL:g}×: {met}"


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
