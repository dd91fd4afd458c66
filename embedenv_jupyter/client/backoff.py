"""When to try again: exponential back-off with full jitter, and when to give up.

Full jitter (a uniform draw between nothing and the exponential bound) spreads
the clients of a restarted gateway best; see "Exponential Backoff And Jitter",
AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """How a lost connection is tried again; all times in seconds.

    ``give_up_s`` counts from the loss of a connection that had been of use.
    ``first_s`` is the same for the very first connection: 0 means that a server
    that is not there is an error at once.
    """

    base_s: float = 0.25
    cap_s: float = 15.0
    give_up_s: float = 120.0
    first_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.cap_s or self.give_up_s < 0 or self.first_s < 0:
            raise ValueError("Retry needs 0 < base_s <= cap_s, and give_up_s and first_s of at least 0")


class Backoff:
    """The attempts of one outage; pure, the clock and the dice are arguments."""

    def __init__(self, retry: Retry, random: Callable[[], float], started_s: float, budget_s: float) -> None:
        self._retry = retry
        self._random = random
        self._deadline_s = started_s + budget_s
        self.attempts = 0

    def bound_s(self) -> float:
        """The longest that the next delay may be."""
        # 2.0**64 * any base is over any cap; without the minimum a long outage overflows the float.
        return min(self._retry.cap_s, self._retry.base_s * 2.0 ** min(self.attempts, 64))

    def next_delay_s(self, now_s: float) -> float | None:
        """Draw the delay before the next attempt, or ``None`` when it is time to give up."""
        remaining_s = self._deadline_s - now_s
        if remaining_s <= 0:
            return None
        delay_s = self._random() * self.bound_s()
        self.attempts += 1
        return min(delay_s, remaining_s)
