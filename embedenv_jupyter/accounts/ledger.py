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
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from embedenv_jupyter.accounts.models import AccountRow, EntryRow, PoolRow
from embedenv_jupyter.accounts.pools import GRANTED, PAYING, Allowances, day_of, is_over, split, total
from embedenv_jupyter.accounts.values import CHARGES, Charge, Entry, Kind, Mode, Pool, Refund
from embedenv_jupyter.errors import IdempotencyError, InsufficientCreditsError, UnknownAccountError

_OWN = "~"
"""First character of the idempotency keys that are made here; ``stored_key`` keeps callers off it."""

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

    def __init__(self, session: AsyncSession, now: datetime, allowances: Allowances) -> None:
        self.session = session
        self.now = now
        self._allowances = allowances

    async def open_account(self, name: str, mode: Mode, granted: int) -> AccountRow:
        """Add an account with its pools filled, and ``granted`` credits on top."""
        account = AccountRow(name=name, mode=mode, created=self.now)
        self.session.add(account)
        await self.session.flush()
        for pool, amount in self._allowances.opening(mode).items():
            day = day_of(self.now) if pool is Pool.DAILY else None
            self.session.add(PoolRow(account_id=account.id, pool=pool, amount=0, day=day))
            await self.session.flush()
            if amount:
                await self._move(account, pool, amount, Kind.GRANT, f"{_OWN}opening:{pool}", note="opening")
        if granted:
            await self.grant(account.id, granted, note="opening")
        return account

    async def charge(self, account_id: int, cost: int, kind: Kind, key: str, note: str) -> Charge:
        """Take ``cost`` from the paying pools, or return the charge that ``key`` made before.

        Raises:
            InsufficientCreditsError: the pools do not cover it; nothing was taken.
            IdempotencyError: the key stands for another charge.
            UnknownAccountError: there is no such account.
        """
        account = await self.locked(account_id)
        if before := await self._written(account_id, key):
            return await self._repeated(account, before, cost, kind)
        amounts = await self._settled(account)
        shares = split(cost, account.mode, amounts)
        if shares is None:
            raise InsufficientCreditsError(cost, total(account.mode, amounts))
        entries = [
            await self._move(account, pool, -share, kind, key, part=part, note=note)
            for part, (pool, share) in enumerate(shares.items())
        ]
        return Charge(tuple(entry.id for entry in entries), cost, total(account.mode, amounts) - cost)

    async def refund(self, account_id: int, key: str) -> Refund:
        """Give back what the charge ``key`` took, to the pools it came from; once."""
        account = await self.locked(account_id)
        amounts = await self._settled(account)
        charged = [entry for entry in await self._written(account_id, key) if entry.kind in CHARGES]
        entries: list[EntryRow] = []
        for entry in charged:
            refunded = await self.session.scalar(select(EntryRow).where(EntryRow.refunds == entry.id))
            if refunded is None:
                own = f"{_OWN}refund:{entry.id}"
                refunded = await self._move(
                    account, entry.pool, -entry.delta, Kind.REFUND, own, refunds=entry.id
                )
                amounts[entry.pool] = refunded.balance
            entries.append(refunded)
        given_back = sum(entry.delta for entry in entries)
        return Refund(tuple(entry.id for entry in entries), given_back, total(account.mode, amounts))

    async def grant(self, account_id: int, amount: int, note: str, key: str | None = None) -> Entry:
        """Add ``amount`` to the pool that grants of this account go to.

        Raises:
            IdempotencyError: the key stands for something else.
            UnknownAccountError: there is no such account.
        """
        account = await self.locked(account_id)
        key = key if key is not None else f"{_OWN}grant:{uuid.uuid4()}"
        for entry in await self._written(account_id, key):
            if (entry.kind, entry.delta) != (Kind.GRANT, amount):
                raise IdempotencyError(key, f"{entry.kind} {entry.delta}", f"grant {amount}")
            return _shown(entry)
        return _shown(await self._move(account, GRANTED[account.mode], amount, Kind.GRANT, key, note=note))

    async def settle(self, account_id: int) -> tuple[Mode, dict[Pool, int]]:
        """Fill the daily pool if its day is over; return the account's mode and what its pools hold."""
        account = await self.locked(account_id)
        return account.mode, await self._settled(account)

    async def locked(self, account_id: int) -> AccountRow:
        """Return an account that nobody else changes until this transaction ends.

        Raises:
            UnknownAccountError: there is no such account.
        """
        query = select(AccountRow).where(AccountRow.id == account_id).with_for_update()
        account = await self.session.scalar(query)
        if account is None:
            raise UnknownAccountError(account_id)
        return account

    # -- steps --------------------------------------------------------------

    async def _settled(self, account: AccountRow) -> dict[Pool, int]:
        amounts: dict[Pool, int] = {}
        for row in await self.session.scalars(select(PoolRow).where(PoolRow.account_id == account.id)):
            amounts[row.pool] = row.amount
            if is_over(row.day, self.now):
                amounts[row.pool] = await self._reset(account, row)
        return amounts

    async def _reset(self, account: AccountRow, row: PoolRow) -> int:
        lacking = self._allowances.daily - row.amount
        row.day = day_of(self.now)
        await self.session.flush()
        if lacking:
            await self._move(account, row.pool, lacking, Kind.RESET, f"{_OWN}reset:{row.day}")
        return self._allowances.daily

    async def _move(
        self,
        account: AccountRow,
        pool: Pool,
        delta: int,
        kind: Kind,
        key: str,
        *,
        part: int = 0,
        refunds: int | None = None,
        note: str = "",
    ) -> EntryRow:
        """Change one pool and write the entry that says so."""
        change = (
            update(PoolRow)
            .where(PoolRow.account_id == account.id, PoolRow.pool == pool, PoolRow.amount + delta >= 0)
            .values(amount=PoolRow.amount + delta)
            .returning(PoolRow.amount)
            .execution_options(synchronize_session=False)
        )
        balance = await self.session.scalar(change)
        if balance is None:
            raise InsufficientCreditsError(-delta, 0)
        entry = EntryRow(
            account_id=account.id,
            created=self.now,
            kind=kind,
            pool=pool,
            delta=delta,
            balance=balance,
            idempotency_key=key,
            part=part,
            refunds=refunds,
            note=note,
        )
        self.session.add(entry)
        await self.session.flush()
        return entry

    async def _written(self, account_id: int, key: str) -> Sequence[EntryRow]:
        query = (
            select(EntryRow)
            .where(EntryRow.account_id == account_id, EntryRow.idempotency_key == key)
            .order_by(EntryRow.part)
        )
        return (await self.session.scalars(query)).all()

    async def _repeated(
        self, account: AccountRow, before: Sequence[EntryRow], cost: int, kind: Kind
    ) -> Charge:
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
            amounts[pool] = await self.session.scalar(until_then) or 0
        return Charge(tuple(entry.id for entry in before), cost, total(account.mode, amounts))


async def look_at(
    session: AsyncSession, account_id: int, now: datetime
) -> tuple[Mode, dict[Pool, int], bool]:
    """Return an account's mode, what its pools hold, and whether one of them is due to be filled.

    Raises:
        UnknownAccountError: there is no such account.
    """
    account = await session.get(AccountRow, account_id)
    if account is None:
        raise UnknownAccountError(account_id)
    rows = (await session.scalars(select(PoolRow).where(PoolRow.account_id == account_id))).all()
    return account.mode, {row.pool: row.amount for row in rows}, any(is_over(row.day, now) for row in rows)


async def list_entries(
    session: AsyncSession, account_id: int, *, after: int, limit: int, newest: bool
) -> list[Entry]:
    """Return a page of an account's entries in the order in which they were written."""
    order = EntryRow.id.desc() if newest else EntryRow.id
    query = select(EntryRow).where(EntryRow.account_id == account_id, EntryRow.id > after)
    rows = (await session.scalars(query.order_by(order).limit(limit))).all()
    return [_shown(row) for row in (reversed(rows) if newest else rows)]


def _shown(row: EntryRow) -> Entry:
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
