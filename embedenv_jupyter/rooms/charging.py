"""Who pays for what is run in a room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from embedenv_jupyter.accounts import Account, AccountManager, Kind, cost_of


class Charger(Protocol):
    """Takes what a room's shell lines cost from the account that opened it."""

    async def charge(self, command: str, key: str) -> int:
        """Take the cost of a command once for each ``key``, and return it.

        Raises:
            InsufficientCreditsError: and nothing was taken.
        """

    async def refund(self, key: str) -> None:
        """Give back what was taken under ``key``, which may be nothing; once, however often it is called."""


@dataclass(frozen=True)
class AccountCharger:
    """Charges shell lines to the account that opened the room."""

    accounts: AccountManager
    account: Account

    async def charge(self, command: str, key: str) -> int:
        cost = cost_of(command)
        if cost:
            await self.accounts.charge(self.account.id, cost, kind=Kind.SHELL, idempotency_key=key)
        return cost

    async def refund(self, key: str) -> None:
        await self.accounts.refund(self.account.id, key)
