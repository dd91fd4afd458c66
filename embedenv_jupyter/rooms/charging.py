"""Who pays for what is run in a room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from embedenv_jupyter.accounts import Account, AccountManager, Kind, cost_of

PLENTY: Final = 100
"""Credits: so much is not gone in a moment, however much runs side by side."""


class Charger(Protocol):
    """Takes what a room's shell lines cost from the account that opened it."""

    @property
    def had_plenty(self) -> bool:
        """Whether so much was left after the last charge that what is charged for may begin meanwhile."""

    async def charge(self, command: str, key: str) -> int:
        """Take the cost of a command once for each ``key``, and return it.

        Raises:
            InsufficientCreditsError: and nothing was taken.
        """

    async def refund(self, key: str) -> None:
        """Give back what was taken under ``key``, which may be nothing; once, however often it is called."""


@dataclass
class AccountCharger:
    """Charges shell lines to the account that opened the room."""

    accounts: AccountManager
    account: Account
    had_plenty: bool = False

    async def charge(self, command: str, key: str) -> int:
        cost = cost_of(command)
        if cost:
            charge = self.accounts.charge(self.account.id, cost, kind=Kind.SHELL, idempotency_key=key)
            self.had_plenty = False
            left = (await charge).remaining
            self.had_plenty = left is None or left >= PLENTY
        return cost

    async def refund(self, key: str) -> None:
        await self.accounts.refund(self.account.id, key)
