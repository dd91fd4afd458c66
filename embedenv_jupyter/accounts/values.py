"""What the accounts hand out: plain values without a database behind them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


class Mode(enum.StrEnum):
    """Which pools pay for an account: bought credits, or the free ones for trying things out."""

    LIVE = "live"
    TEST = "test"


class Pool(enum.StrEnum):
    """A balance of its own within an account."""

    DAILY = "daily"
    LIFETIME = "lifetime"
    LIVE = "live"


class Kind(enum.StrEnum):
    """Why a ledger entry was written."""

    GRANT = "grant"
    INIT = "init"
    SHELL = "shell"
    REFUND = "refund"
    RESET = "reset"


CHARGES = frozenset({Kind.INIT, Kind.SHELL})
"""The kinds that take credits from an account and can be refunded."""


@dataclass(frozen=True)
class Account:
    """Who pays. ``unlimited`` accounts are never charged and have no ledger."""

    id: int
    name: str
    mode: Mode
    unlimited: bool = False


LOCAL_ACCOUNT = Account(id=0, name="local", mode=Mode.LIVE, unlimited=True)
"""The user of a JupyterLab on this machine, who needs no keys and pays nothing."""


@dataclass(frozen=True)
class NewKey:
    """A key just made; the only moment at which its secrets are known."""

    account: Account
    public_key: str
    secret_key: str = field(repr=False)
    api_key: str = field(repr=False)
    expires: datetime | None = None


@dataclass(frozen=True)
class Key:
    """A key as it can be shown at any time; times are in UTC."""

    public_key: str
    account: Account
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    def state(self, now: datetime) -> str:
        """Return ``active``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


@dataclass(frozen=True)
class Charge:
    """Credits taken: the ledger entries (one a pool) and what the account had left right after.

    ``remaining`` is ``None`` for an unlimited account. A charge of nothing has no entries.
    """

    entry_ids: tuple[int, ...]
    cost: int
    remaining: int | None


@dataclass(frozen=True)
class Refund:
    """Credits given back; ``amount`` is 0 when there was no such charge."""

    entry_ids: tuple[int, ...]
    amount: int
    remaining: int | None


@dataclass(frozen=True)
class Balance:
    """What is left in the pools that pay for an account; ``total`` is ``None`` without a limit."""

    pools: Mapping[Pool, int]
    total: int | None


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; ``balance`` is the pool's after it, ``refunds`` the entry it gives back."""

    id: int
    account_id: int
    created: datetime
    kind: Kind
    pool: Pool
    delta: int
    balance: int
    idempotency_key: str
    refunds: int | None
    note: str
