from __future__ import annotations

from datetime import UTC, datetime

import pytest

from embedenv_jupyter.accounts import LOCAL_ACCOUNT, AccountManager, Allowances, Balance, Charge, Kind, Pool
from embedenv_jupyter.accounts.pools import MAX_GRANT
from embedenv_jupyter.errors import IdempotencyError, InsufficientCreditsError, UnknownAccountError
from tests.integration.accounts.clock import StandingClock

Line = tuple[str, str, int, int]


async def lines(accounts: AccountManager, account_id: int) -> list[Line]:
    return [
        (entry.kind.value, entry.pool.value, entry.delta, entry.balance)
        for entry in await accounts.ledger(account_id)
    ]


async def test_a_live_account_pays_from_its_live_pool(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana", credits=10)).account.id
        charge = await accounts.charge(ana, 4, kind="init", idempotency_key="a", note="room\n1")
        assert (charge.cost, charge.remaining, len(charge.entry_ids)) == (4, 6, 1)
        with pytest.raises(InsufficientCreditsError) as caught:
            await accounts.charge(ana, 7, kind=Kind.SHELL, idempotency_key="b")
        assert (caught.value.needed, caught.value.available) == (7, 6)
        assert await accounts.balance(ana) == Balance({Pool.LIVE: 6}, 6)
        assert await lines(accounts, ana) == [("grant", "live", 10, 10), ("init", "live", -4, 6)]
        entry = (await accounts.ledger(ana))[-1]
        assert (entry.id, entry.idempotency_key, entry.note) == (charge.entry_ids[0], "a", "room 1")


async def test_a_test_account_pays_from_the_day_and_then_from_its_lifetime(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ben = (await accounts.create_key("Ben", mode="test", credits=3)).account.id
        assert await accounts.balance(ben) == Balance({Pool.DAILY: 50, Pool.LIFETIME: 1003}, 1053)
        charge = await accounts.charge(ben, 53, kind="shell", idempotency_key="a")
        assert (len(charge.entry_ids), charge.remaining) == (2, 1000)
        assert (await lines(accounts, ben))[-2:] == [
            ("shell", "daily", -50, 0),
            ("shell", "lifetime", -3, 1000),
        ]
        refund = await accounts.refund(ben, "a")
        assert (refund.amount, refund.remaining) == (53, 1053)
        assert await accounts.balance(ben) == Balance({Pool.DAILY: 50, Pool.LIFETIME: 1003}, 1053)


async def test_the_same_key_is_charged_once_and_answered_alike(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ben = (await accounts.create_key("Ben", mode="test")).account.id
        first = await accounts.charge(ben, 55, kind="init", idempotency_key="a")
        await accounts.charge(ben, 5, kind="shell", idempotency_key="b")
        await accounts.grant(ben, 100)
        assert await accounts.charge(ben, 55, kind="init", idempotency_key="a") == first
        await accounts.refund(ben, "a")
        assert await accounts.charge(ben, 55, kind="init", idempotency_key="a") == first
        assert (await accounts.balance(ben)).total == 1050 - 5 + 100


async def test_one_key_cannot_stand_for_two_requests(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana", credits=10)).account.id
        await accounts.charge(ana, 1, kind="init", idempotency_key="a")
        for cost, kind in ((2, "init"), (1, "shell")):
            with pytest.raises(IdempotencyError, match="'a' stands for init 1 already"):
                await accounts.charge(ana, cost, kind=kind, idempotency_key="a")
        with pytest.raises(IdempotencyError):
            await accounts.grant(ana, 1, idempotency_key="a")
        assert (await accounts.balance(ana)).total == 9


async def test_keys_of_different_accounts_are_different_keys(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        owners = [(await accounts.create_key(credits=1)).account.id for _ in range(2)]
        charges = [await accounts.charge(owner, 1, kind="init", idempotency_key="a") for owner in owners]
        assert [charge.remaining for charge in charges] == [0, 0]


@pytest.mark.parametrize("key", ["\0", "\ud800", "~reset:2030-05-06", "é" * 200])
async def test_any_text_is_an_idempotency_key(database_url: str, key: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key(credits=2)).account.id
        first = await accounts.charge(ana, 1, kind="init", idempotency_key=key, note=key)
        assert await accounts.charge(ana, 1, kind="init", idempotency_key=key) == first
        assert (await accounts.refund(ana, key)).amount == 1


async def test_a_refund_happens_once(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana", credits=10)).account.id
        charge = await accounts.charge(ana, 4, kind="init", idempotency_key="a")
        refund = await accounts.refund(ana, "a")
        assert (refund.amount, refund.remaining) == (4, 10)
        assert await accounts.refund(ana, "a") == refund
        assert (await accounts.ledger(ana))[-1].refunds == charge.entry_ids[0]
        assert await lines(accounts, ana) == [
            ("grant", "live", 10, 10),
            ("init", "live", -4, 6),
            ("refund", "live", 4, 10),
        ]


async def test_refunding_what_was_never_charged_gives_nothing(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana", credits=10)).account.id
        await accounts.grant(ana, 5, idempotency_key="gift")
        for key in ("a", "gift"):
            refund = await accounts.refund(ana, key)
            assert (refund.entry_ids, refund.amount, refund.remaining) == ((), 0, 15)


async def test_the_day_is_filled_up_at_midnight_utc_once(database_url: str, clock: StandingClock) -> None:
    async with AccountManager(database_url, clock=clock) as accounts:
        ben = (await accounts.create_key("Ben", mode="test")).account.id
        await accounts.charge(ben, 30, kind="shell", idempotency_key="a")
        clock.now = datetime(2030, 5, 6, 23, 59, 59, tzinfo=UTC)
        assert (await accounts.balance(ben)).pools[Pool.DAILY] == 20
        clock.now = datetime(2030, 5, 7, 0, 0, tzinfo=UTC)
        assert (await accounts.balance(ben)).pools[Pool.DAILY] == 50
        await accounts.charge(ben, 10, kind="shell", idempotency_key="b")
        clock.now = datetime(2030, 5, 6, 23, 0, tzinfo=UTC)  # set back: the day has had its credits
        assert (await accounts.balance(ben)).pools[Pool.DAILY] == 40
        clock.now = datetime(2030, 5, 7, 23, 0, tzinfo=UTC)
        assert (await accounts.balance(ben)).pools[Pool.DAILY] == 40
        resets = [entry for entry in await accounts.ledger(ben) if entry.kind is Kind.RESET]
        assert [(entry.delta, entry.balance) for entry in resets] == [(30, 50)]


async def test_a_charge_after_midnight_finds_the_day_filled(database_url: str, clock: StandingClock) -> None:
    async with AccountManager(
        database_url, clock=clock, allowances=Allowances(daily=5, lifetime=0)
    ) as accounts:
        ben = (await accounts.create_key("Ben", mode="test")).account.id
        await accounts.charge(ben, 5, kind="shell", idempotency_key="a")
        with pytest.raises(InsufficientCreditsError):
            await accounts.charge(ben, 1, kind="shell", idempotency_key="b")
        clock.forward(hours=24)
        assert (await accounts.charge(ben, 5, kind="shell", idempotency_key="b")).remaining == 0


async def test_yesterdays_charge_is_refunded_for_the_rest_of_today(
    database_url: str, clock: StandingClock
) -> None:
    async with AccountManager(database_url, clock=clock) as accounts:
        ben = (await accounts.create_key("Ben", mode="test")).account.id
        await accounts.charge(ben, 5, kind="init", idempotency_key="a")
        clock.forward(hours=24)
        await accounts.refund(ben, "a")
        assert (await accounts.balance(ben)).pools[Pool.DAILY] == 55
        clock.forward(hours=24)
        assert (await accounts.balance(ben)).pools[Pool.DAILY] == 50
        assert [line[2] for line in await lines(accounts, ben)] == [50, 1000, -5, 5, 5, -5]


async def test_a_grant_with_a_key_is_granted_once(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana")).account.id
        first = await accounts.grant(ana, 7, note="welcome", idempotency_key="g")
        assert await accounts.grant(ana, 7, idempotency_key="g") == first
        with pytest.raises(IdempotencyError):
            await accounts.grant(ana, 8, idempotency_key="g")
        await accounts.grant(ana, 1)
        await accounts.grant(ana, 1)
        assert (await accounts.balance(ana)).total == 9


async def test_what_costs_nothing_is_not_recorded(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana", credits=1)).account.id
        assert await accounts.charge(ana, 0, kind="shell", idempotency_key="a") == Charge((), 0, 1)
        assert len(await accounts.ledger(ana)) == 1


async def test_the_local_account_has_no_limit_and_no_ledger(sqlite_url: str) -> None:
    async with AccountManager(sqlite_url) as accounts:
        local = LOCAL_ACCOUNT.id
        assert await accounts.charge(local, 10**9, kind="init", idempotency_key="a") == Charge((), 0, None)
        assert (await accounts.refund(local, "a")).amount == 0
        assert await accounts.balance(local) == Balance({}, None)
        assert await accounts.ledger(local) == []
        with pytest.raises(UnknownAccountError):
            await accounts.grant(local, 1)


async def test_the_ledger_is_read_in_pages(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana")).account.id
        made = [await accounts.grant(ana, amount) for amount in range(1, 8)]
        assert await accounts.ledger(ana, limit=3) == made[:3]
        assert await accounts.ledger(ana, after=made[2].id, limit=10) == made[3:]
        assert await accounts.ledger(ana, limit=2, newest=True) == made[-2:]


async def test_what_cannot_be_asked_is_named(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = (await accounts.create_key("Ana", credits=1)).account.id
        with pytest.raises(ValueError, match="not negative"):
            await accounts.charge(ana, -1, kind="init", idempotency_key="a")
        with pytest.raises(ValueError, match="not a kind of charge"):
            await accounts.charge(ana, 1, kind="grant", idempotency_key="a")
        with pytest.raises(ValueError, match="Kind"):
            await accounts.charge(ana, 1, kind="tea", idempotency_key="a")
        with pytest.raises(ValueError, match="1 to 200"):
            await accounts.charge(ana, 1, kind="init", idempotency_key="")
        for amount in (0, -1, MAX_GRANT + 1):
            with pytest.raises(ValueError, match="a grant is from 1"):
                await accounts.grant(ana, amount)
        for call in (
            accounts.charge(77, 1, kind="init", idempotency_key="a"),
            accounts.charge(77, 0, kind="init", idempotency_key="a"),
            accounts.refund(77, "a"),
            accounts.grant(77, 1),
            accounts.balance(77),
        ):
            with pytest.raises(UnknownAccountError, match="77"):
                await call
        assert (await accounts.balance(ana)).total == 1
