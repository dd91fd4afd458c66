from __future__ import annotations

import asyncio
from typing import cast

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import remembered
from embedenv_jupyter.sandbox.remembered import RememberedTier
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec

SPEC = SandboxSpec(id="r")


class FakeTier:
    """A tier that hands out its own name, or refuses."""

    unprotected: tuple[str, ...] = ()

    def __init__(self, name: str, *, works: bool = True) -> None:
        self.name = name
        self.works = works
        self.is_closed = False

    async def start(self, spec: SandboxSpec) -> Sandbox:
        await asyncio.sleep(0)
        if not self.works:
            raise SandboxUnavailableError(f"{self.name} is stopped")
        return cast(Sandbox, self.name)

    async def aclose(self) -> None:
        self.is_closed = True


class Looks:
    """Counts how often the best tier is looked for."""

    def __init__(self, found: FakeTier | None) -> None:
        self.found = found
        self.count = 0

    async def __call__(self) -> FakeTier:
        self.count += 1
        await asyncio.sleep(0)
        if self.found is None:
            raise SandboxUnavailableError("no tier works")
        return self.found


async def started(tier: RememberedTier) -> str:
    """Start a room; return the name of the tier that did."""
    return cast(str, await tier.start(SPEC))


async def test_tier_that_works_is_used_as_it_is() -> None:
    looks = Looks(None)
    tier = RememberedTier(FakeTier("docker"), looks)
    assert await started(tier) == "docker"
    assert (tier.name, looks.count) == ("docker", 0)


async def test_first_starts_that_fail_are_served_by_the_best_that_works_now() -> None:
    stopped, other = FakeTier("docker", works=False), FakeTier("landlock")
    looks = Looks(other)
    tier = RememberedTier(stopped, looks)
    assert {*await asyncio.gather(started(tier), started(tier))} == {"landlock"}
    assert await started(tier) == "landlock"
    assert (tier.name, looks.count) == ("landlock", 1)
    await tier.aclose()
    assert stopped.is_closed
    assert other.is_closed


async def test_tier_that_has_worked_once_is_kept() -> None:
    only, looks = FakeTier("docker"), Looks(FakeTier("landlock"))
    tier = RememberedTier(only, looks)
    await tier.start(SPEC)
    only.works = False
    with pytest.raises(SandboxUnavailableError, match="docker is stopped"):
        await tier.start(SPEC)
    assert looks.count == 0


async def test_nothing_that_works_is_looked_for_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    looks = Looks(None)
    tier = RememberedTier(FakeTier("docker", works=False), looks)
    with pytest.raises(SandboxUnavailableError, match="no tier works"):
        await tier.start(SPEC)
    with pytest.raises(SandboxUnavailableError, match="docker is stopped"):
        await tier.start(SPEC)
    assert looks.count == 1
    now_s += remembered.LOOK_AGAIN_AFTER_S
    looks.found = FakeTier("ns")
    assert await started(tier) == "ns"


async def test_closed_tier_looks_for_no_other() -> None:
    stopped, looks = FakeTier("docker", works=False), Looks(FakeTier("ns"))
    tier = RememberedTier(stopped, looks)
    await tier.aclose()
    with pytest.raises(SandboxUnavailableError, match="docker is stopped"):
        await tier.start(SPEC)
    assert looks.count == 0
