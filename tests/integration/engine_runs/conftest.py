"""An engine in a real sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from embedenv_jupyter.engine.engine import Engine
from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, Limits, SandboxSpec
from embedenv_jupyter.sandbox.tiers import Tier, by_name

OpenEngine = Callable[..., Awaitable[Engine]]

LIMITS = Limits(memory_bytes=1024 * MIB, pids=256, cpu_cores=None)


@pytest.fixture
def tier_name() -> str:
    """Where the sandboxes are; a module may set this to others."""
    return "ns"


@pytest.fixture
async def tier(tier_name: str) -> AsyncIterator[Tier]:
    tier = by_name.make(tier_name, kernels=False)
    yield tier
    await tier.aclose()


@pytest.fixture
async def open_sandbox(tier: Tier) -> Callable[..., Awaitable[Sandbox]]:
    """Start sandboxes; the arguments are those of the spec."""

    async def start(**fields: Any) -> Sandbox:
        try:
            return await tier.start(SandboxSpec(**{"id": "engine", "limits": LIMITS, **fields}))
        except SandboxUnavailableError as exc:
            pytest.skip(f"{tier.name} does not work here: {exc}")

    return start


@pytest.fixture
async def open_engine(open_sandbox: Callable[..., Awaitable[Sandbox]]) -> AsyncIterator[OpenEngine]:
    """Make engines, each in a sandbox of its own; the arguments are those of the spec."""
    engines: list[Engine] = []

    async def make(**fields: Any) -> Engine:
        engines.append(Engine(await open_sandbox(**fields)))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.aclose()
        await engine.sandbox.aclose()


@pytest.fixture
async def engine(open_engine: OpenEngine) -> Engine:
    return await open_engine()
