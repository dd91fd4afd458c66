"""What changes credits: charge, refund, grant, and the daily reset; each inside its caller's transaction.

Theory of operation. Every change locks the row of its account first. SQLite has
one writer at a time anyway; PostgreSQL queues those of one account there, and
under READ COMMITTED each later statement sees what the one before committed.
So looking up an idempotency key, resetting the daily pool and dividing a cost
over the pools cannot interleave with another change of the same account.

The database does not depend on that being right. A pool changes by one
conditional UPDATE that cannot take it below zero, its ledger entry is inserted
in the same transaction, and unique constraints refuse a second entry for an
idempotency key or a second refund of an entry.

A cell waits for its charge. So the statements are those of tables and not of mapped
objects, whose keeping took two thirds of the time of a charge.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.orm import Session

from embedenv_jupyter.accounts.models import AccountRow, Base, EntryRow, PoolRow
from embedenv_jupyter.accounts.pools import GRANTED, PAYING, Allowances, day_of, is_over, split, total
from embedenv_jupyter.accounts.values import CHARGES, Account, Charge, Entry, Kind, Mode, Pool, Refund
from embedenv_jupyter.errors import IdempotencyError, InsufficientCreditsError, UnknownAccountError

_OWN = "~"
"""First character of the idempotency keys that are made here; ``stored_key`` keeps callers off it."""

_ACCOUNTS, _POOLS, _ENTRIES = (Base.metadata.tables[name] for name in ("accounts", "pools", "ledger"))
_SHOWN = tuple(column for column in _ENTRIES.c if column.name != "part")

# Building a statement takes as long as running it, so those of every charge are built once.
_LOCK = (
    select(_ACCOUNTS.c.id, _ACCOUNTS.c.name, _ACCOUNTS.c.mode)
    .where(_ACCOUNTS.c.id == bindparam("account_id"))
    .with_for_update()
)
_AMOUNTS = select(_POOLS.c.pool, _POOLS.c.amount, _POOLS.c.day).where(
    _POOLS.c.account_id == bindparam("account_id")
)
_LOOK = (
    select(_ACCOUNTS.c.mode, _POOLS.c.pool, _POOLS.c.amount, _POOLS.c.day)
    .join(_POOLS, _POOLS.c.account_id == _ACCOUNTS.c.id)
    .where(_ACCOUNTS.c.id == bindparam("account_id"))
)
_WRITTEN = (
    select(*_SHOWN)
    .where(_ENTRIES.c.account_id == bindparam("account_id"), _ENTRIES.c.idempotency_key == bindparam("key"))
    .order_by(_ENTRIES.c.part)
)
_REFUND_OF = select(*_SHOWN).where(_ENTRIES.c.refunds == bindparam("entry_id"))
_MOVE = (
    update(_POOLS)
    .where(
        _POOLS.c.account_id == bindparam("of_account"),
        _POOLS.c.pool == bindparam("of_pool"),
        _POOLS.c.amount + bindparam("delta") >= 0,
    )
    .values(amount=_POOLS.c.amount + bindparam("delta"))
    .returning(_POOLS.c.amount)
)
_BEGIN_DAY = (
    update(_POOLS)
    .where(_POOLS.c.account_id == bindparam("of_account"), _POOLS.c.pool == bindparam("of_pool"))
    .values(day=bindparam("to_day"))
)
_ENTER = insert(_ENTRIES).returning(_ENTRIES.c.id)

_MAX_KEY_CHARACTERS = 200
_MAX_NOTE_CHARACTERS = 500


def stored_key(idempotency_key: str) -> str:
    """Return a caller's idempotency key as the ledger writes it: ASCII, and never one of ours.

    Any text is a key, also with NUL (which PostgreSQL does not store) or half a
    surrogate pair; different keys stay different.

    Raises:
        ValueError: the key is empty or too long.
    """
    if not 1 <= len(idempotency_key) <= _MAX_KEY_CHARACTERS:
        raise ValueError(f"an idempotency key has 1 to {_MAX_KEY_CHARACTERS} characters")
    escaped = idempotency_key.encode("unicode_escape").decode("ascii")
    return escaped.replace(_OWN, r"\x7e", 1) if escaped.startswith(_OWN) else escaped


def stored_note(note: str) -> str:
    """Return ``note`` as one printable line of bounded length; it informs and decides nothing."""
    return "".join(char if char.isprintable() else " " for char in note[:_MAX_NOTE_CHARACTERS])


class Ledger:
    """The changes of credits within one transaction, at one moment."""

    def __init__(self, session: Session, now: datetime, allowances: Allowances) -> None:
        self.session = session
        self.now = now
        self._rows = session.connection()
        self._allowances = allowances

    def open_account(self, name: str, mode: Mode, granted: int) -> Account:
        """Add an account with its pools filled, and ``granted`` credits on top."""
        row = AccountRow(name=name, mode=mode, created=self.now)
        self.session.add(row)
        self.session.flush()
        account = Account(id=row.id, name=name, mode=mode)
        for pool, amount in self._allowances.opening(mode).items():
            day = day_of(self.now) if pool is Pool.DAILY else None
            self.session.add(PoolRow(account_id=account.id, pool=pool, amount=0, day=day))
            self.session.flush()
            if amount:
                self._move(account, pool, amount, Kind.GRANT, f"{_OWN}opening:{pool}", note="opening")
        if granted:
            self.grant(account.id, granted, note="opening")
        return account

    def charge(self, account_id: int, cost: int, kind: Kind, key: str, note: str) -> Charge:
        """Take ``cost`` from the paying pools, or return the charge that ``key`` made before.

        Raises:
            InsufficientCreditsError: the pools do not cover it; nothing was taken.
            IdempotencyError: the key stands for another charge.
            UnknownAccountError: there is no such account.
        """
        account = self.locked(account_id)
        if before := self._written(account_id, key):
            return self._repeated(account, before, cost, kind)
        amounts = self._settled(account)
        shares = split(cost, account.mode, amounts)
        if shares is None:
            raise InsufficientCreditsError(cost, total(account.mode, amounts))
        entries = [
            self._move(account, pool, -share, kind, key, part=part, note=note)
            for part, (pool, share) in enumerate(shares.items())
        ]
        return Charge(tuple(entry.id for entry in entries), cost, total(account.mode, amounts) - cost)

    def refund(self, account_id: int, key: str) -> Refund:
        """Give back what the charge ``key`` took, to the pools it came from; once."""
        account = self.locked(account_id)
        amounts = self._settled(account)
        charged = [entry for entry in self._written(account_id, key) if entry.kind in CHARGES]
        entries: list[Entry] = []
        for entry in charged:
            before = self._rows.execute(_REFUND_OF, {"entry_id": entry.id}).one_or_none()
            refunded = _shown(before) if before is not None else None
            if refunded is None:
                own = f"{_OWN}refund:{entry.id}"
                refunded = self._move(account, entry.pool, -entry.delta, Kind.REFUND, own, refunds=entry.id)
                amounts[entry.pool] = refunded.balance
            entries.append(refunded)
        given_back = sum(entry.delta for entry in entries)
        return Refund(tuple(entry.id for entry in entries), given_back, total(account.mode, amounts))

    def grant(self, account_id: int, amount: int, note: str, key: str | None = None) -> Entry:
        """Add ``amount`` to the pool that grants of this account go to.

        Raises:
            IdempotencyError: the key stands for something else.
            UnknownAccountError: there is no such account.
        """
        account = self.locked(account_id)
        key = key if key is not None else f"{_OWN}grant:{uuid.uuid4()}"
        for entry in self._written(account_id, key):
            if (entry.kind, entry.delta) != (Kind.GRANT, amount):
                raise IdempotencyError(key, f"{entry.kind} {entry.delta}", f"grant {amount}")
            return entry
        return self._move(account, GRANTED[account.mode], amount, Kind.GRANT, key, note=note)

    def settle(self, account_id: int) -> tuple[Mode, dict[Pool, int]]:
        """Fill the daily pool if its day is over; return the account's mode and what its pools hold."""
        account = self.locked(account_id)
        return account.mode, self._settled(account)

    def locked(self, account_id: int) -> Account:
        """Return an account that nobody else changes until this transaction ends.

        Raises:
            UnknownAccountError: there is no such account.
        """
        row = self._rows.execute(_LOCK, {"account_id": account_id}).one_or_none()
        if row is None:
            raise UnknownAccountError(account_id)
        return Account(id=row.id, name=row.name, mode=row.mode)

    # -- steps --------------------------------------------------------------

    def _settled(self, account: Account) -> dict[Pool, int]:
        amounts: dict[Pool, int] = {}
        for pool, amount, day in self._rows.execute(_AMOUNTS, {"account_id": account.id}).all():
            amounts[pool] = self._reset(account, pool, amount) if is_over(day, self.now) else amount
        return amounts

    def _reset(self, account: Account, pool: Pool, amount: int) -> int:
        today = day_of(self.now)
        of_pool = {"of_account": account.id, "of_pool": pool}
        self._rows.execute(_BEGIN_DAY, {**of_pool, "to_day": today})
        if lacking := self._allowances.daily - amount:
            self._move(account, pool, lacking, Kind.RESET, f"{_OWN}reset:{today}")
        return self._allowances.daily

    def _move(
        self,
        account: Account,
        pool: Pool,
        delta: int,
        kind: Kind,
        key: str,
        *,
        part: int = 0,
        refunds: int | None = None,
        note: str = "",
    ) -> Entry:
        """Change one pool and write the entry that says so."""
        balance = self._rows.scalar(_MOVE, {"of_account": account.id, "of_pool": pool, "delta": delta})
        if balance is None:
            raise InsufficientCreditsError(-delta, 0)
        values: dict[str, Any] = {
            "account_id": account.id,
            "created": self.now,
            "kind": kind,
            "pool": pool,
            "delta": delta,
            "balance": balance,
            "idempotency_key": key,
            "refunds": refunds,
            "note": note,
        }
        id = self._rows.scalar(_ENTER, {**values, "part": part})
        assert id is not None, "an insert that raises nothing has made a row"
        return Entry(id=id, **values)

    def _written(self, account_id: int, key: str) -> list[Entry]:
        return [_shown(row) for row in self._rows.execute(_WRITTEN, {"account_id": account_id, "key": key})]

    def _repeated(self, account: Account, before: Sequence[Entry], cost: int, kind: Kind) -> Charge:
        """Return the charge that was made before, exactly as it was returned then."""
        charged = -sum(entry.delta for entry in before)
        if (before[0].kind, charged) != (kind, cost):
            raise IdempotencyError(before[0].idempotency_key, f"{before[0].kind} {charged}", f"{kind} {cost}")
        amounts: dict[Pool, int] = {}
        for pool in PAYING[account.mode]:
            until_then = (
                select(EntryRow.balance)
                .where(EntryRow.account_id == account.id, EntryRow.pool == pool, EntryRow.id <= before[-1].id)
                .order_by(EntryRow.id.desc())
                .limit(1)
            )
            amounts[pool] = self.session.scalar(until_then) or 0
        return Charge(tuple(entry.id for entry in before), cost, total(account.mode, amounts))


def look_at(session: Session, account_id: int, now: datetime) -> tuple[Mode, dict[Pool, int], bool]:
    """Return an account's mode, what its pools hold, and whether one of them is due to be filled.

    Raises:
        UnknownAccountError: there is no such account.
    """
    rows = session.connection().execute(_LOOK, {"account_id": account_id}).all()
    if not rows:  # every account has a pool from its first moment
        raise UnknownAccountError(account_id)
    return rows[0].mode, {row.pool: row.amount for row in rows}, any(is_over(row.day, now) for row in rows)


def list_entries(session: Session, account_id: int, *, after: int, limit: int, newest: bool) -> list[Entry]:
    """Return a page of an account's entries in the order in which they were written."""
    order = EntryRow.id.desc() if newest else EntryRow.id
    query = select(EntryRow).where(EntryRow.account_id == account_id, EntryRow.id > after)
    rows = (session.scalars(query.order_by(order).limit(limit))).all()
    return [_shown(row) for row in (reversed(rows) if newest else rows)]


def _shown(row: Row[Any] | EntryRow) -> Entry:
    return Entry(
        id=row.id,
        account_id=row.account_id,
        created=row.created,
        kind=row.kind,
        pool=row.pool,
        delta=row.delta,
        balance=row.balance,
        idempotency_key=row.idempotency_key,
        refunds=row.refunds,
        note=row.note,
    )
