"""A clock for the account tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class StandingClock:
    """Stands at noon UTC until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 5, 6, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, *, hours: float) -> None:
        self.now += timedelta(hours=hours)
