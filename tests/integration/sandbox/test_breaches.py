"""A limit that a room runs into is named in every tier, and the room lives on."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, Breach, ExitStatus, Limits
from embedenv_jupyter.sandbox.tiers.by_name import ORDER
from tests.integration.sandbox.programs import DEADLINE_S, OpenSandbox, output, read_all

WAYS = (*ORDER, "ns without cgroups", "bwrap without cgroups", "landlock without cgroups")

BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"""
HOLD = "held = bytearray(12 << 20); import time; time.sleep(60)"


@pytest.fixture(params=WAYS)
def tier_name(request: pytest.FixtureRequest) -> str:
    """All tiers that limit anything, in each of their ways to do it."""
    return str(request.param)


def breaches_of(sandbox: Sandbox) -> asyncio.Queue[tuple[Breach, str]]:
    found: asyncio.Queue[tuple[Breach, str]] = asyncio.Queue()
    sandbox.subscribe(lambda breach, detail: found.put_nowait((breach, detail)))
    return found


async def next_of(breaches: asyncio.Queue[tuple[Breach, str]]) -> tuple[Breach, str]:
    async with asyncio.timeout(DEADLINE_S):
        return await breaches.get()


async def test_file_that_is_too_large_is_a_breach_of_disk(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(limits=Limits(file_bytes=MIB))
    breaches = breaches_of(sandbox)
    for script in ("exec head -c 2M /dev/zero > big", "head -c 2M /dev/zero > big; exit $?"):
        process = await sandbox.spawn(["sh", "-c", script])
        await read_all(process)
        assert process.status is not None
        assert process.status.shell_code == ExitStatus(signal=signal.SIGXFSZ).shell_code
    assert await next_of(breaches) == (
        Breach.DISK, "a file reached the limit of 1 MiB, and a program was ended",
    )  # fmt: skip
    assert breaches.empty(), "the second comes too soon after the first to be told"
    assert await output(sandbox, "stat -c %s big") == b"1048576\n"


async def test_memory_that_runs_out_is_a_breach_of_oom(open_sandbox: OpenSandbox) -> None:
    """Several programs together: none of them is over what an rlimit allows."""
    sandbox = await open_sandbox(limits=Limits(memory_bytes=100 * MIB))
    breaches = breaches_of(sandbox)
    many = f"for n in $(seq 15); do {sys.executable} -c '{HOLD}' & done; wait"
    program = await sandbox.spawn(["sh", "-c", many])
    assert await next_of(breaches) == (
        Breach.OOM, "the memory limit of 100 MiB was reached, and a program was ended",
    )  # fmt: skip
    await sandbox.reset()
    await read_all(program)
    assert await output(sandbox, "echo alive") == b"alive\n"


async def test_processes_that_are_too_many_are_a_breach_of_pids(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(limits=Limits(pids=40))
    breaches = breaches_of(sandbox)
    bomb = await sandbox.spawn([sys.executable, "-c", BOMB])
    assert await next_of(breaches) == (Breach.PIDS, "the limit of 40 processes and threads was reached")
    await sandbox.reset()
    await read_all(bomb)
    assert await output(sandbox, "echo alive") == b"alive\n"


async def test_workspace_that_is_full_is_a_breach_of_disk(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(limits=Limits(workspace_bytes=4 * MIB))
    breaches = breaches_of(sandbox)
    said = await output(sandbox, "head -c 8M /dev/zero 2>&1 > big; true")
    assert (b"No space left" in said) == sandbox.own_disk
    await sandbox.look_at_limits()  # a folder of the host is else measured every few seconds
    assert await next_of(breaches) == (Breach.DISK, "the workspace of 4 MiB is full")
    assert await output(sandbox, "rm big; echo alive") == b"alive\n"
