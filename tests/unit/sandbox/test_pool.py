from __future__ import annotations

import asyncio
import dataclasses
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import pool as pools
from embedenv_jupyter.sandbox.pool import Pool
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Limits, SandboxSpec

DEADLINE_S = 10.0


class FakeSandbox:
    """A sandbox as the pool sees one."""

    def __init__(self, spec: SandboxSpec) -> None:
        self.spec = spec
        self.cause: str | None = None
        self.close_failure: Exception | None = None
        self.is_outdated = False
        self._gone = asyncio.Event()

    @property
    def is_alive(self) -> bool:
        return self.cause is None

    def die(self, cause: str) -> None:
        if self.cause is None:
            self.cause = cause
        self._gone.set()

    async def wait_gone(self) -> str:
        await self._gone.wait()
        assert self.cause is not None
        return self.cause

    async def aclose(self, cause: str = "closed") -> None:
        self.die(cause)
        if self.close_failure is not None:
            raise self.close_failure


class FakeTier:
    """A tier that makes fakes, or refuses."""

    def __init__(self) -> None:
        self.made: list[FakeSandbox] = []
        self.refuses = False
        self.failure: Exception | None = None
        self.attempts: asyncio.Queue[SandboxSpec] = asyncio.Queue()

    async def start(self, spec: SandboxSpec) -> Sandbox:
        self.attempts.put_nowait(spec)
        await asyncio.sleep(0)
        if self.refuses:
            raise SandboxUnavailableError("refused")
        if self.failure is not None:
            raise self.failure
        self.made.append(FakeSandbox(spec))
        return cast(Sandbox, self.made[-1])

    @property
    def alive(self) -> list[FakeSandbox]:
        return [sandbox for sandbox in self.made if sandbox.is_alive]


@asynccontextmanager
async def pool_of(tier: FakeTier, size: int) -> AsyncIterator[Pool]:
    pool = Pool(tier, size)
    try:
        yield pool
    finally:
        await pool.aclose()


async def full(pool: Pool) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await pool.wait_full()


async def test_pool_fills_itself_and_refills() -> None:
    tier = FakeTier()
    async with pool_of(tier, 2) as pool:
        await full(pool)
        assert pool.ready == len(tier.made) == 2
        taken = await pool.take()
        assert cast(FakeSandbox, taken) in tier.made[:2]
        await full(pool)
        assert (pool.ready, len(tier.made)) == (2, 3)


async def test_taken_sandbox_is_the_callers() -> None:
    tier = FakeTier()
    async with pool_of(tier, 1) as pool:
        await full(pool)
        taken = cast(FakeSandbox, await pool.take())
    assert taken.is_alive
    assert tier.alive == [taken]


async def test_empty_pool_starts_one_for_who_asks() -> None:
    tier = FakeTier()
    async with pool_of(tier, 0) as pool:
        assert (await pool.take()).is_alive
        assert (await pool.start(SandboxSpec(id="x"))).spec.id == "x"


async def test_every_sandbox_has_an_id_of_its_own() -> None:
    tier = FakeTier()
    async with pool_of(tier, 3) as pool:
        await full(pool)
        assert len({sandbox.spec.id for sandbox in tier.made}) == 3


async def test_dead_sandbox_is_replaced() -> None:
    tier = FakeTier()
    async with pool_of(tier, 2) as pool:
        await full(pool)
        tier.made[0].die("oom")
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(3):
                await tier.attempts.get()
        await full(pool)
        assert len(tier.made) == 3
        assert (await pool.take()).is_alive
        assert (await pool.take()).is_alive


async def test_sandbox_that_died_this_moment_is_not_handed_out() -> None:
    tier = FakeTier()
    async with pool_of(tier, 2) as pool:
        await full(pool)
        tier.made[0].die("oom")
        assert (await pool.take()).is_alive


async def test_spec_like_the_pools_is_served_from_it() -> None:
    tier = FakeTier()
    async with pool_of(tier, 1) as pool:
        await full(pool)
        assert cast(FakeSandbox, await pool.start(SandboxSpec(id="mine"))) is tier.made[0]


async def test_other_spec_is_started_as_it_is() -> None:
    tier = FakeTier()
    other = SandboxSpec(id="mine", limits=Limits(pids=7))
    async with pool_of(tier, 1) as pool:
        await full(pool)
        assert (await pool.start(other)).spec == other
        assert pool.ready == 1


async def test_pool_changes_to_what_is_asked_for_twice() -> None:
    tier = FakeTier()
    other = SandboxSpec(id="a", limits=Limits(pids=7))
    async with pool_of(tier, 2) as pool:
        await full(pool)
        await pool.start(other)
        await pool.start(dataclasses.replace(other, id="b"))
        await full(pool)
        ready = cast(FakeSandbox, await pool.start(dataclasses.replace(other, id="c")))
        assert ready.spec.limits.pids == 7
        assert ready.spec.id != "c"
        assert not any(sandbox.is_alive for sandbox in tier.made[:2])


async def test_pool_does_not_change_to_what_brings_a_folder() -> None:
    tier = FakeTier()
    async with pool_of(tier, 1) as pool:
        await full(pool)
        for name in "abc":
            assert (await pool.start(SandboxSpec(id=name, workspace=f"/srv/{name}"))).spec.id == name
        assert cast(FakeSandbox, await pool.take()) is tier.made[0]


async def test_refusal_reaches_who_asks_and_the_pool_tries_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pools, "FIRST_RETRY_S", 0.001)
    tier = FakeTier()
    tier.refuses = True
    async with pool_of(tier, 1) as pool:
        with pytest.raises(SandboxUnavailableError, match="refused"):
            await pool.take()
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(4):
                await tier.attempts.get()
        tier.refuses = False
        await full(pool)
        assert pool.ready == 1
    assert "could not start a sandbox: refused" in caplog.text


async def test_failure_that_is_no_refusal_is_logged_and_does_not_end_the_pool(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pools, "FIRST_RETRY_S", 0.001)
    tier = FakeTier()
    tier.failure = OSError(errno.EMFILE, "Too many open files")
    async with pool_of(tier, 1) as pool:
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(3):
                await tier.attempts.get()
        tier.failure = None
        await full(pool)
        assert pool.ready == 1
    assert "Too many open files" in caplog.text


async def test_sandbox_that_cannot_be_ended_cleanly_does_not_end_the_pool(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tier = FakeTier()
    async with pool_of(tier, 1) as pool:
        await full(pool)
        tier.made[0].close_failure = OSError(errno.EMFILE, "Too many open files")
        tier.made[0].die("oom")
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(2):
                await tier.attempts.get()
        await full(pool)
        assert pool.ready == 1
    assert "could not be ended cleanly" in caplog.text


async def test_closed_pool_ends_what_was_not_taken_and_serves_no_more() -> None:
    tier = FakeTier()
    pool = Pool(tier, 3)
    await full(pool)
    await pool.aclose()
    await pool.aclose()
    assert tier.alive == []
    with pytest.raises(SandboxUnavailableError, match="closed"):
        await pool.take()
