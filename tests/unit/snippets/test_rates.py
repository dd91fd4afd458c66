"""How many runs an account may begin."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.errors import RateLimitedError, SourceError
from embedenv_jupyter.snippets.rates import MAX_REMEMBERED, Allowance, Rates


class Clock:
    """Time that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_full_bucket_can_be_emptied_at_once_and_fills_steadily() -> None:
    clock = Clock()
    rates = Rates(60, clock=clock)
    left = [rates.take(1) for _ in range(60)]
    assert [allowance.remaining for allowance in left if allowance] == list(range(59, -1, -1))
    with pytest.raises(RateLimitedError) as caught:
        rates.take(1)
    assert caught.value.retry_after_s == pytest.approx(1.0)
    clock.now_s += caught.value.retry_after_s
    allowance = rates.take(1)
    assert allowance is not None
    assert allowance.headers == {"RateLimit-Limit": "60", "RateLimit-Remaining": "0", "RateLimit-Reset": "60"}


def test_accounts_do_not_share_a_bucket() -> None:
    rates = Rates(1, clock=Clock())
    rates.take(1)
    rates.take(2)
    with pytest.raises(RateLimitedError):
        rates.take(1)


def test_all_of_a_batch_or_nothing() -> None:
    rates = Rates(10, clock=Clock())
    rates.take(1)
    with pytest.raises(RateLimitedError):
        rates.take(1, 10)
    allowance = rates.take(1, 9)
    assert allowance is not None and allowance.remaining == 0


def test_what_never_fits_is_no_matter_of_waiting() -> None:
    rates = Rates(10, clock=Clock())
    with pytest.raises(SourceError, match="send at most 10 at once"):
        rates.take(1, 11)
    assert rates.left(1) == Allowance(limit=10, remaining=10, reset_s=0)


def test_what_is_left_can_be_looked_at() -> None:
    clock = Clock()
    rates = Rates(60, clock=clock)
    assert rates.take(1, 30) == rates.left(1) == Allowance(60, 30, 30)
    clock.now_s += 10
    assert rates.left(1) == Allowance(60, 40, 20)
    assert Rates(0).left(1) is None


def test_without_a_limit_everything_passes() -> None:
    rates = Rates(0)
    assert {rates.take(1) for _ in range(1000)} == {None}


def test_buckets_are_bounded() -> None:
    rates = Rates(2, clock=Clock())
    for account in range(MAX_REMEMBERED + 10):
        rates.take(account)
    assert len(rates._buckets) == MAX_REMEMBERED


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_never_more_than_the_bucket_and_what_flows_in(pauses: list[float]) -> None:
    clock, taken = Clock(), 0
    rates = Rates(30, clock=clock)
    for pause_s in pauses:
        clock.now_s += pause_s
        with suppress(RateLimitedError):
            rates.take(1)
            taken += 1
    assert taken <= 30 + (clock.now_s - 1000) / 2 + 1e-6
