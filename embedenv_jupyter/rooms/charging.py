"""Who pays for what is run in a room."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Protocol

from embedenv_jupyter.accounts import Account, AccountManager, Kind, cost_of

PLENTY: Final = 100
"""Credits: so much is not gone in ``FRESH_S`` seconds, but by somebody who means to."""
FRESH_S: Final = 10.0


class Charger(Protocol):
    """Takes what a room's shell lines cost from the account that opened it."""

    def lends(self) -> bool:
        """Tell whether what is about to be charged for may begin meanwhile: lately there was plenty left.

        So it is for one run, until that is paid.
        """

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
    _lends_until_s: float = 0.0

    def lends(self) -> bool:
        until_s, self._lends_until_s = self._lends_until_s, 0.0
        return time.monotonic() < until_s

    async def charge(self, command: str, key: str) -> int:
        cost = cost_of(command)
        if cost:
            charge = await self.accounts.charge(self.account.id, cost, kind=Kind.SHELL, idempotency_key=key)
            if charge.remaining is None or charge.remaining >= PLENTY:
                self._lends_until_s = time.monotonic() + FRESH_S
        return cost

    async def refund(self, key: str) -> None:
        await self.accounts.refund(self.account.id, key)
