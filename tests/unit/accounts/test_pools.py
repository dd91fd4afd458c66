from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.accounts.pools import PAYING, Allowances, day_of, is_over, split, total
from embedenv_jupyter.accounts.values import Mode, Pool

amounts = st.integers(0, 10**6)


@pytest.mark.parametrize(
    ("cost", "shares"),
    [
        (0, {}),
        (50, {Pool.DAILY: 50}),
        (51, {Pool.DAILY: 50, Pool.LIFETIME: 1}),
        (1050, {Pool.DAILY: 50, Pool.LIFETIME: 1000}),
        (1051, None),
    ],
)
def test_the_daily_pool_pays_first(cost: int, shares: dict[Pool, int] | None) -> None:
    assert split(cost, Mode.TEST, Allowances().opening(Mode.TEST)) == shares


def test_a_live_account_has_nothing_for_free() -> None:
    assert Allowances().opening(Mode.LIVE) == {Pool.LIVE: 0}


@given(st.integers(0, 3 * 10**6), st.sampled_from(Mode), amounts, amounts, amounts)
def test_shares_add_up_and_fit(cost: int, mode: Mode, daily: int, lifetime: int, live: int) -> None:
    held = {Pool.DAILY: daily, Pool.LIFETIME: lifetime, Pool.LIVE: live}
    shares = split(cost, mode, held)
    assert (shares is None) == (cost > total(mode, held))
    if shares is not None:
        assert sum(shares.values()) == cost
        assert all(0 < share <= held[pool] for pool, share in shares.items())
        assert set(shares) <= set(PAYING[mode])


def test_midnight_is_in_utc() -> None:
    east = timezone(timedelta(hours=9))
    assert day_of(datetime(2030, 5, 7, 8, 59, tzinfo=east)) == date(2030, 5, 6)
    assert day_of(datetime(2030, 5, 7, 9, 0, tzinfo=east)) == date(2030, 5, 7)


@pytest.mark.parametrize(
    ("day", "over"),
    [(None, False), (date(2030, 5, 5), True), (date(2030, 5, 6), False), (date(2030, 5, 7), False)],
)
def test_only_a_day_of_the_past_is_over(day: date | None, over: bool) -> None:
    assert is_over(day, datetime(2030, 5, 6, 0, 0, tzinfo=UTC)) is over
