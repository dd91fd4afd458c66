"""Many at once: tasks, managers and processes on one database."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from embedenv_jupyter.accounts import AccountManager, Charge
from embedenv_jupyter.errors import InsufficientCreditsError

CHARGER = Path(__file__).with_name("charger.py")


def verdicts(results: list[Charge | BaseException]) -> tuple[int, int]:
    """Return how many were charged and how many were refused for lack of credits."""
    made = sum(isinstance(result, Charge) for result in results)
    return made, sum(isinstance(result, InsufficientCreditsError) for result in results)


async def test_200_charges_on_100_credits_give_100(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana", credits=100)).account.id
        results = await asyncio.gather(
            *(accounts.charge(ana, 1, kind="init", idempotency_key=f"k{n}") for n in range(200)),
            return_exceptions=True,
        )
        assert verdicts(results) == (100, 100)
        remaining = [result.remaining for result in results if isinstance(result, Charge)]
        assert set(remaining) == set(range(100))
        assert (await accounts.balance(ana)).total == 0


async def test_two_managers_share_one_account(database_url: str) -> None:
    async with AccountManager(database_url) as one, AccountManager(database_url) as other:
        ana = (await one.create_key("Ana", credits=100)).account.id
        results = await asyncio.gather(
            *(
                accounts.charge(ana, 1, kind="init", idempotency_key=f"{name}{n}")
                for n in range(100)
                for name, accounts in (("one", one), ("other", other))
            ),
            return_exceptions=True,
        )
        assert verdicts(results) == (100, 100)
        assert (await other.balance(ana)).total == 0


async def test_two_processes_share_one_account(
    database_url: str, start_process: Callable[..., subprocess.Popen[str]]
) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana", credits=100)).account.id
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        chargers = [
            start_process(sys.executable, CHARGER, database_url, str(ana), "100", prefix, **pipes)
            for prefix in ("one", "other")
        ]
        async with asyncio.timeout(60):
            for charger in chargers:
                assert charger.stdout is not None
                assert await asyncio.to_thread(charger.stdout.readline) == "ready\n"
            outputs = await asyncio.gather(
                *(asyncio.to_thread(charger.communicate, "go\n", 60) for charger in chargers)
            )
        counts = [tuple(map(int, output.split())) for output, _ in outputs]
        assert [sum(column) for column in zip(*counts, strict=True)] == [100, 100]
        assert (await accounts.balance(ana)).total == 0


async def test_one_key_at_once_is_charged_once(database_url: str) -> None:
    async with AccountManager(database_url) as one, AccountManager(database_url) as other:
        ben = (await one.create_key("Ben", mode="test")).account.id
        charges = await asyncio.gather(
            *(
                accounts.charge(ben, 60, kind="init", idempotency_key="same")
                for _ in range(20)
                for accounts in (one, other)
            )
        )
        assert len(set(charges)) == 1
        assert (await one.balance(ben)).total == 990


async def test_one_refund_at_once_is_given_once(database_url: str) -> None:
    async with AccountManager(database_url) as one, AccountManager(database_url) as other:
        ana = (await one.create_key("Ana", credits=10)).account.id
        await one.charge(ana, 5, kind="init", idempotency_key="a")
        refunds = await asyncio.gather(
            *(accounts.refund(ana, "a") for _ in range(10) for accounts in (one, other))
        )
        assert len(set(refunds)) == 1
        assert (await one.balance(ana)).total == 10


async def test_charges_refunds_and_readers_do_not_disturb_each_other(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        owners = [(await accounts.create_key(mode="test")).account.id for _ in range(4)]

        async def use(owner: int, number: int) -> None:
            await accounts.charge(owner, 7, kind="shell", idempotency_key=f"k{number}")
            if number % 2:
                await accounts.refund(owner, f"k{number}")
            await accounts.ledger(owner)

        async with asyncio.TaskGroup() as group:
            for owner in owners:
                for number in range(20):
                    group.create_task(use(owner, number))
        for owner in owners:
            balance = await accounts.balance(owner)
            entries = await accounts.ledger(owner)
            assert balance.total == 1050 - 10 * 7
            assert balance.total == sum(entry.delta for entry in entries)


@pytest.mark.parametrize("moment", range(10))
async def test_a_cancelled_charge_can_be_repeated_without_paying_twice(
    database_url: str, moment: int
) -> None:
    """Moment 0 is the commit, moment n the n-th statement; late ones may not come, then nothing is cut."""
    async with AccountManager(database_url) as accounts:
        ben = (await accounts.create_key("Ben", mode="test")).account.id
        engine = accounts._database._engine
        assert engine is not None
        for number in range(3):
            request: dict[str, Any] = {"kind": "init", "idempotency_key": f"k{number}"}
            task = asyncio.create_task(accounts.charge(ben, 30, **request))
            with cancelled_at(
                engine.sync_engine if isinstance(engine, AsyncEngine) else engine, moment, task
            ):
                await asyncio.wait([task], timeout=30)
            assert task.done()
            charge = await accounts.charge(ben, 30, **request)
            assert charge.remaining == 1050 - 30 * (number + 1)


@pytest.mark.parametrize("turns", range(12))
async def test_a_refund_cannot_overtake_a_cancelled_charge(database_url: str, turns: int) -> None:
    """The charge is cancelled after some turns of the loop, also before its connection is made."""
    async with AccountManager(database_url) as accounts:
        ben = (await accounts.create_key("Ben", mode="test")).account.id
        busy = [asyncio.create_task(accounts.balance(ben)) for _ in range(3)]
        task = asyncio.create_task(accounts.charge(ben, 30, kind="init", idempotency_key="a"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):  # it may have ended before
            await task
        await accounts.refund(ben, "a")
        await asyncio.gather(*busy)
        assert (await accounts.balance(ben)).total == 1050
        assert not accounts._database._running


@contextmanager
def cancelled_at(engine: Engine, moment: int, task: asyncio.Task[Charge]) -> Iterator[None]:
    """Cancel the task while it waits for the database in the given moment of its transaction."""
    statements = itertools.count(1)
    loop, loop_thread = asyncio.get_running_loop(), threading.get_ident()

    def cancel() -> None:
        """Cancel it before the database goes on, from the loop's thread or another."""
        if threading.get_ident() == loop_thread:
            task.cancel()
            return
        cancelled = threading.Event()
        loop.call_soon_threadsafe(task.cancel)
        loop.call_soon_threadsafe(cancelled.set)
        assert cancelled.wait(timeout=30)

    def on_statement(*_: object) -> None:
        if next(statements) == moment:
            cancel()

    def on_commit(_: object) -> None:
        if moment == 0:
            cancel()

    event.listen(engine, "before_cursor_execute", on_statement)
    event.listen(engine, "commit", on_commit)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
        event.remove(engine, "commit", on_commit)
