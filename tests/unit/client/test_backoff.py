from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.client.backoff import Backoff, Retry


def delays(retry: Retry, dice: float, count: int) -> list[float]:
    backoff = Backoff(retry, lambda: dice, started_s=0.0, budget_s=1e9)
    drawn = [backoff.next_delay_s(0.0) for _ in range(count)]
    assert None not in drawn
    return [delay for delay in drawn if delay is not None]


def test_the_bound_doubles_up_to_the_cap() -> None:
    assert delays(Retry(), 1.0, 9) == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_the_jitter_is_full() -> None:
    assert delays(Retry(), 0.0, 3) == [0.0, 0.0, 0.0]
    assert delays(Retry(), 0.5, 3) == [0.125, 0.25, 0.5]


def test_the_last_attempt_is_made_when_the_time_is_up() -> None:
    backoff = Backoff(Retry(base_s=10, cap_s=10), lambda: 1.0, started_s=100.0, budget_s=12.0)
    assert backoff.next_delay_s(100.0) == 10.0
    assert backoff.next_delay_s(110.0) == 2.0
    assert backoff.next_delay_s(112.0) is None


def test_no_budget_is_no_attempt() -> None:
    assert Backoff(Retry(), random.random, started_s=5.0, budget_s=0.0).next_delay_s(5.0) is None


def test_a_long_outage_does_not_overflow() -> None:
    backoff = Backoff(Retry(), lambda: 1.0, started_s=0.0, budget_s=1e12)
    backoff.attempts = 100_000
    assert backoff.next_delay_s(0.0) == 15.0


@pytest.mark.parametrize(
    "values",
    [{"base_s": 0.0}, {"base_s": 2.0, "cap_s": 1.0}, {"give_up_s": -1.0}, {"first_s": -1.0}],
)
def test_a_policy_without_sense_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="Retry needs"):
        Retry(**values)


@given(
    seed=st.integers(0, 2**32),
    base_s=st.floats(0.001, 5),
    cap_s=st.floats(5, 60),
    budget_s=st.floats(0, 600),
    work_s=st.floats(0.01, 5),
)
def test_delays_stay_in_their_bounds_and_end(
    seed: int, base_s: float, cap_s: float, budget_s: float, work_s: float
) -> None:
    backoff = Backoff(Retry(base_s, cap_s), random.Random(seed).random, started_s=0.0, budget_s=budget_s)
    now_s = 0.0
    while True:
        bound_s = backoff.bound_s()
        delay_s = backoff.next_delay_s(now_s)
        if delay_s is None:
            break
        assert 0 <= delay_s <= min(bound_s, cap_s)
        assert now_s + delay_s <= budget_s * (1 + 1e-9)
        now_s += delay_s + work_s
    assert now_s >= budget_s
