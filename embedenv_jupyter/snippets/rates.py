"""How many runs an account may begin: a bucket of tokens for each, filled at a steady pace."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.errors import RateLimitedError, SourceError

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
            SourceError: there never are so many in it.
        """
        if not self._per_minute:
            return None
        now_s, limit = self._clock(), self._per_minute
        if count > limit:
            raise SourceError(
                "runs",
                f"has {count} runs, and an account may begin {limit} a minute; send at most {limit} at once",
            )
        tokens = self._tokens(account_id, now_s)
        if tokens < count:
            raise RateLimitedError(limit, (count - tokens) * 60 / limit)
        tokens -= count
        self._buckets[account_id] = (tokens, now_s)
        self._buckets.move_to_end(account_id)
        if len(self._buckets) > MAX_REMEMBERED:
            self._buckets.popitem(last=False)
        return self._allowance(tokens)

    def left(self, account_id: int) -> Allowance | None:
        """Return what an account has left now; ``None`` where there is no limit."""
        return self._allowance(self._tokens(account_id, self._clock())) if self._per_minute else None

    def _tokens(self, account_id: int, now_s: float) -> float:
        limit = self._per_minute
        tokens, since_s = self._buckets.get(account_id, (float(limit), now_s))
        return min(limit, tokens + (now_s - since_s) * limit / 60)

    def _allowance(self, tokens: float) -> Allowance:
        limit = self._per_minute
        return Allowance(limit, math.floor(tokens), math.ceil((limit - tokens) * 60 / limit))
