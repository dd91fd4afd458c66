"""The rules of the pools: which pay for whom, in which order, and what they are filled with.

A live account pays from its live pool only. A test account pays from the daily
pool, which is filled up again at midnight UTC, and then from the lifetime pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from embedenv_jupyter.accounts.values import Mode, Pool

PAYING: Mapping[Mode, tuple[Pool, ...]] = {
    Mode.LIVE: (Pool.LIVE,),
    Mode.TEST: (Pool.DAILY, Pool.LIFETIME),
}
"""Mode → the pools an account has, in the order in which they pay."""

GRANTED: Mapping[Mode, Pool] = {Mode.LIVE: Pool.LIVE, Mode.TEST: Pool.LIFETIME}
"""Mode → the pool that grants go to; the daily pool is filled by the calendar alone."""

MAX_GRANT = 10**12
"""Credits in one grant; keeps every sum far inside a 64 bit integer."""


@dataclass(frozen=True)
class Allowances:
    """Free credits of a test account: for each day (UTC), and once."""

    daily: int = 50
    lifetime: int = 1000

    def opening(self, mode: Mode) -> dict[Pool, int]:
        """Return what the pools of a new account hold before anything is granted."""
        amounts = {Pool.DAILY: self.daily, Pool.LIFETIME: self.lifetime, Pool.LIVE: 0}
        return {pool: amounts[pool] for pool in PAYING[mode]}


def total(mode: Mode, amounts: Mapping[Pool, int]) -> int:
    """Return what an account in this mode can spend; the published ``remaining_credits``."""
    return sum(amounts[pool] for pool in PAYING[mode])


def split(cost: int, mode: Mode, amounts: Mapping[Pool, int]) -> dict[Pool, int] | None:
    """Divide ``cost`` over the paying pools in their order; ``None`` if they do not cover it."""
    shares: dict[Pool, int] = {}
    for pool in PAYING[mode]:
        share = min(cost, amounts[pool])
        if share > 0:
            shares[pool] = share
            cost -= share
    return shares if cost == 0 else None


def day_of(now: datetime) -> date:
    """Return the day whose free credits are spent at ``now``: the one in UTC."""
    return now.astimezone(UTC).date()


def is_over(day: date | None, now: datetime) -> bool:
    """Say whether a pool that was filled on ``day`` is due; a clock set back makes none due."""
    return day is not None and day < day_of(now)
