"""A limit that a room runs into is named in every tier, and the room lives on."""

from __future__ import annotations

import asyncio
import signal

import pytest

from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, Breach, ExitStatus, Limits
from embedenv_jupyter.sandbox.tiers.by_name import ORDER
from tests.integration.sandbox.programs import DEADLINE_S, OpenSandbox, output, read_all


@pytest.fixture(params=ORDER)
def tier_name(request: pytest.FixtureRequest) -> str:
    """All tiers that limit anything."""
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
