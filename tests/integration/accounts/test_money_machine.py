"""Any sequence of requests keeps the money right, checked against a model in plain Python."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from embedenv_jupyter.accounts import AccountManager, Allowances, Charge, Kind, Mode, Pool
from embedenv_jupyter.errors import IdempotencyError, InsufficientCreditsError
from tests.integration.accounts.clock import StandingClock

T = TypeVar("T")

ALLOWANCES = Allowances(daily=10, lifetime=20)

KEYS = st.sampled_from(["a", "b", "c", "d", "~a"])
KINDS = st.sampled_from([Kind.INIT, Kind.SHELL])


@dataclass
class ModelCharge:
    kind: Kind
    shares: dict[Pool, int]
    answer: Charge
    refunded: bool = False

    @property
    def cost(self) -> int:
        return sum(self.shares.values())


@dataclass
class ModelAccount:
    """What an account should hold; the daily pool by the calendar."""

    id: int
    pools: dict[Pool, int]
    day: date
    charges: dict[str, ModelCharge] = field(default_factory=dict)

    def settle(self, today: date) -> None:
        if Pool.DAILY in self.pools and self.day < today:
            self.pools[Pool.DAILY] = ALLOWANCES.daily
            self.day = today

    @property
    def total(self) -> int:
        return sum(self.pools.values())

    def take(self, cost: int) -> dict[Pool, int]:
        shares: dict[Pool, int] = {}
        for pool in self.pools:
            share = min(self.pools[pool], cost - sum(shares.values()))
            if share:
                shares[pool] = share
                self.pools[pool] -= share
        return shares


class Money(RuleBasedStateMachine):
    """Charges, refunds, grants and days pass over a few accounts."""

    accounts = Bundle("accounts")

    def __init__(self, database: Path) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = StandingClock()
        self.database = database
        url = f"sqlite:///{database}"
        self.manager = AccountManager(url, clock=self.clock, allowances=ALLOWANCES)
        self.run(self.manager.open())
        self.models: list[ModelAccount] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.manager.aclose())
        self.loop.close()
        self.database.unlink()

    @property
    def today(self) -> date:
        return self.clock.now.date()

    @precondition(lambda self: len(self.models) < 3)
    @rule(target=accounts, mode=st.sampled_from(Mode), granted=st.integers(0, 15))
    def create(self, mode: Mode, granted: int) -> ModelAccount:
        key = self.run(self.manager.create_key(mode=mode, credits=granted))
        pools = (
            {Pool.LIVE: granted}
            if mode is Mode.LIVE
            else {Pool.DAILY: ALLOWANCES.daily, Pool.LIFETIME: ALLOWANCES.lifetime + granted}
        )
        model = ModelAccount(key.account.id, pools, self.today)
        self.models.append(model)
        return model

    @rule(account=accounts, key=KEYS, kind=KINDS, cost=st.integers(1, 18))
    def charge(self, account: ModelAccount, key: str, kind: Kind, cost: int) -> None:
        request = self.manager.charge(account.id, cost, kind=kind, idempotency_key=key)
        before = account.charges.get(key)
        if before is not None and (before.kind, before.cost) != (kind, cost):
            with pytest.raises(IdempotencyError):
                self.run(request)
            return
        if before is not None:
            assert self.run(request) == before.answer
            return
        account.settle(self.today)
        if cost > account.total:
            with pytest.raises(InsufficientCreditsError) as caught:
                self.run(request)
            assert (caught.value.needed, caught.value.available) == (cost, account.total)
            return
        answer = self.run(request)
        account.charges[key] = ModelCharge(kind, account.take(cost), answer)
        assert (answer.cost, answer.remaining) == (cost, account.total)

    @rule(account=accounts, key=KEYS)
    def refund(self, account: ModelAccount, key: str) -> None:
        refund = self.run(self.manager.refund(account.id, key))
        account.settle(self.today)
        charge = account.charges.get(key)
        if charge is not None and not charge.refunded:
            charge.refunded = True
            for pool, share in charge.shares.items():
                account.pools[pool] += share
        assert refund.amount == (charge.cost if charge is not None else 0)
        assert refund.remaining == account.total

    @rule(account=accounts, amount=st.integers(1, 10))
    def grant(self, account: ModelAccount, amount: int) -> None:
        self.run(self.manager.grant(account.id, amount))
        account.pools[Pool.LIVE if Pool.LIVE in account.pools else Pool.LIFETIME] += amount

    @rule(hours=st.sampled_from([-30, -1, 1, 11, 13, 24, 50]))
    def let_time_pass(self, hours: int) -> None:
        self.clock.forward(hours=hours)

    @rule()
    def restart(self) -> None:
        self.run(self.manager.aclose())
        self.run(self.manager.open())

    @invariant()
    def the_books_balance(self) -> None:
        for account in self.models:
            account.settle(self.today)
            balance = self.run(self.manager.balance(account.id))
            assert dict(balance.pools) == account.pools
            assert balance.total == account.total
            self.check_ledger(account)

    def check_ledger(self, account: ModelAccount) -> None:
        entries = self.run(self.manager.ledger(account.id))
        running: Counter[Pool] = Counter()
        for entry in entries:
            running[entry.pool] += entry.delta
            assert entry.balance == running[entry.pool] >= 0
        assert {pool: running[pool] for pool in account.pools} == account.pools
        refunded = Counter(entry.refunds for entry in entries if entry.refunds is not None)
        assert all(times == 1 for times in refunded.values())
        resets = Counter(entry.idempotency_key for entry in entries if entry.kind is Kind.RESET)
        assert all(times == 1 for times in resets.values())


def test_the_books_balance_whatever_is_asked(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"

    async def make_empty() -> None:
        async with AccountManager(f"sqlite:///{empty}"):
            pass

    loop = asyncio.new_event_loop()
    loop.run_until_complete(make_empty())
    loop.close()
    copies = iter(range(1_000_000))

    class MoneyInAFreshDatabase(Money):
        def __init__(self) -> None:
            super().__init__(Path(shutil.copy(empty, tmp_path / f"{next(copies)}.db")))

    run_state_machine_as_test(
        MoneyInAFreshDatabase,
        settings=settings(max_examples=25, stateful_step_count=25),
    )
