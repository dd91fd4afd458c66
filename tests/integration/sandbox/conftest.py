"""Real sandboxes of every tier that works on this machine, and proof that nothing of them stays."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import Tier, by_name
from embedenv_jupyter.sandbox.tiers.bwrap import BwrapTier
from embedenv_jupyter.sandbox.tiers.container import ContainerTier
from embedenv_jupyter.sandbox.tiers.landlock import LandlockTier
from embedenv_jupyter.sandbox.tiers.ns import NsTier
from tests.integration.sandbox import engine_image
from tests.integration.sandbox.programs import DEADLINE_S, OpenSandbox

Run = Callable[[Coroutine[Any, Any, Any]], Any]
EngineOptions = Callable[[str], tuple[str, ...]]


@pytest.fixture
def run(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Run:
    """Run a coroutine to its end in the test's loop, for fixtures, which are not async."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(DEADLINE_S):
                return await work

        return jp_asyncio_loop.run_until_complete(bounded())

    return run


@pytest.fixture(autouse=True)
def _no_stray_descriptor(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Fail a test after which this process holds more descriptors than before."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    stray = [f"{fd}: {_target(fd)}" for fd in set(os.listdir("/proc/self/fd")) - before if _target(fd)]
    if stray:
        pytest.fail(f"descriptors outlive the test: {stray}", pytrace=False)


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:  # the one that listed the folder
        return ""


@pytest.fixture(scope="session")
def engine_options() -> EngineOptions:
    """Return the options of an engine that has the test image now; skip where there is no engine."""
    unavailable: dict[str, str] = {}
    options: dict[str, tuple[str, ...]] = {}

    def prepare(engine: str) -> tuple[str, ...]:
        if engine not in unavailable:
            unavailable[engine] = engine_image.unavailable(engine)
            if not unavailable[engine]:
                engine_image.make(engine)
                options[engine] = engine_image.options(engine)
        if unavailable[engine]:
            pytest.skip(unavailable[engine])
        return options[engine]

    return prepare


@pytest.fixture(params=by_name.NAMES)
def tier_name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each tier; a module may set this to fewer."""
    return str(request.param)


@pytest.fixture
def tier(tier_name: str, run: Run, engine_options: EngineOptions) -> Iterator[Tier]:
    """Make a tier; all its sandboxes are ended after the test."""
    made: list[Tier] = []

    async def make() -> None:
        if tier_name in ("docker", "podman"):
            options = engine_options(tier_name)
            image = engine_image.NAME
            made.append(ContainerTier(tier_name, image=image, host_python=True, engine_options=options))
        else:
            made.append(_made(tier_name))

    run(make())
    (tier,) = made
    yield tier
    run(tier.aclose())


def _made(tier_name: str) -> Tier:
    """Make a tier that needs no engine; ``… without cgroups`` leaves those alone."""
    name, _, way = tier_name.partition(" without ")
    if not way:
        return by_name.make(name, kernels=False)  # a zygote that is ready sooner
    tiers: dict[str, Callable[..., Tier]] = {"ns": NsTier, "bwrap": BwrapTier, "landlock": LandlockTier}
    return tiers[name](use_cgroups=False)


@pytest.fixture
def open_sandbox(tier: Tier) -> OpenSandbox:
    """Start sandboxes of the tier; the arguments are those of the spec."""

    async def start(**fields: Any) -> Sandbox:
        try:
            return await tier.start(SandboxSpec(**{"id": "test", **fields}))
        except SandboxUnavailableError as exc:
            pytest.skip(f"{tier.name} does not work here: {exc}")

    return start


@pytest.fixture
def sandbox(open_sandbox: OpenSandbox, run: Run) -> Iterator[Sandbox]:
    """A sandbox with default limits, ended after the test."""
    sandbox: Sandbox = run(open_sandbox())
    yield sandbox
    run(sandbox.aclose())
