"""How many runs an account may begin: a bucket of tokens for each, filled at a steady pace."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.errors import RateLimitedError

MAX_REMEMBERED: Final = 10_000
"""How many accounts' buckets are kept; the one longest unused is full again long before it is forgotten."""


@dataclass(frozen=True)
class Allowance:
    """What an account has left: the ``RateLimit`` headers (draft-ietf-httpapi-ratelimit-headers)."""

    limit: int
    remaining: int
    reset_s: int
    """Until the bucket is full again."""

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


class Rates:
    """The buckets of all accounts; ``per_minute`` 0 lets everything pass."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def take(self, account_id: int, count: int = 1) -> Allowance | None:
        """Take ``count`` runs from an account's bucket; ``None`` where there is no limit.

        Raises:
            RateLimitedError: there are not so many in it; nothing was taken.
        """
        if not self._per_minute:
            return None
        now_s, limit = self._clock(), self._per_minute
        tokens, since_s = self._buckets.get(account_id, (float(limit), now_s))
        tokens = min(limit, tokens + (now_s - since_s) * limit / 60)
        if tokens < count:
            raise RateLimitedError(limit, (min(count, limit) - tokens) * 60 / limit)
        tokens -= count
        self._buckets[account_id] = (tokens, now_s)
        self._buckets.move_to_end(account_id)
        if len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        return Allowance(limit, math.floor(tokens), math.ceil((limit - tokens) * 60 / limit))
