"""Rooms of the ns tier in both of its ways to hold limits, and Python in them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import ExitStatus, SandboxSpec
from embedenv_jupyter.sandbox.tiers.ns import NsTier
from tests.integration.sandbox.left_behind import until
from tests.integration.sandbox.programs import DEADLINE_S, read_all

WAYS = ("cgroups", "no cgroups")
"""Who holds the limits: a parameter for tests that must hold with either."""

IS_ROOT = os.geteuid() == 0
MODE = "as root" if IS_ROOT else "as an ordinary user"


@asynccontextmanager
async def ns_tier(way: str = "no cgroups", *, kernels: bool = False) -> AsyncIterator[NsTier]:
    """Make a tier; skip where its way does not work here."""
    tier = NsTier(use_cgroups=way == "cgroups", kernels=kernels)
    try:
        if way == "cgroups" and not {"memory", "pids"} <= tier.controllers:
            pytest.skip(f"no cgroup for us {MODE}: {tier.why_no_cgroups}")
        yield tier
    finally:
        await tier.aclose()


@asynccontextmanager
async def ns_room(way: str = "no cgroups", *, kernels: bool = False, **fields: Any) -> AsyncIterator[Sandbox]:
    """Start one room in a tier of its own."""
    async with ns_tier(way, kernels=kernels) as tier:
        yield await tier.start(SandboxSpec(**{"id": "room", **fields}))


async def at_rest(tier: object) -> None:
    """Wait until a tier has made what it keeps for the next room, so that it can be counted."""
    if isinstance(tier, NsTier):
        await until(lambda: tier.is_at_rest)


async def start_python(sandbox: Sandbox, code: str) -> Process:
    """Start Python code in a room, with the interpreter of the gateway."""
    return await sandbox.spawn([sys.executable, "-c", code])


async def python(sandbox: Sandbox, code: str) -> Any:
    """Run Python code in a room and return what it printed, as JSON; its errors fail the test."""
    process = await start_python(sandbox, code)
    printed = await read_all_of(process)
    assert process.status == ExitStatus(code=0), (process.status, printed.decode())
    return json.loads(printed)


async def read_all_of(process: Process) -> bytes:
    """Read what a program prints, and its complaints after that, to its end."""
    assert process.stdout is not None
    assert process.stderr is not None
    seen = b""
    async with asyncio.timeout(DEADLINE_S):
        for stream in (process.stdout, process.stderr):
            while data := await stream.read():
                seen += data
        await process.wait()
    process.close()
    return seen


async def shell(sandbox: Sandbox, script: str) -> str:
    """Run a line of shell and return what it printed, complaints included."""
    return (await read_all(await sandbox.spawn(["sh", "-c", f"exec 2>&1; {script}"]))).decode()
