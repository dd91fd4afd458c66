"""The accounts as the rest of the program meets them: who is it, can they pay, what did they pay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from embedenv_jupyter.accounts import keys
from embedenv_jupyter.accounts.database import Database
from embedenv_jupyter.accounts.ledger import Ledger, list_entries, look_at, stored_key, stored_note
from embedenv_jupyter.accounts.pools import MAX_GRANT, PAYING, Allowances, total
from embedenv_jupyter.accounts.values import (
    CHARGES,
    LOCAL_ACCOUNT,
    Account,
    Balance,
    Charge,
    Entry,
    Key,
    Kind,
    Mode,
    NewKey,
    Refund,
)

T = TypeVar("T")

_MAX_NAME_CHARACTERS = 100
_FREE = Allowances()


def utc_now() -> datetime:
    return datetime.now(UTC)


class AccountManager:
    """Keys, pools and ledger in one database; safe to use from many tasks and many processes at once.

    ``clock`` returns the present with its time zone. No call waits
    longer than ``timeout_s`` seconds for its turn, for a connection, or for an
    answer of the database. A cancelled call ends when its transaction has, and one
    that found the database unavailable may have happened all the same: repeat or
    refund it with the same idempotency key.

    All methods raise AccountsUnavailableError when the database cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] = utc_now,
        allowances: Allowances = _FREE,
        timeout_s: float = 30.0,
    ) -> None:
        self._database = Database(url, timeout_s)
        self._clock = clock
        self._allowances = allowances

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Create the database if there is none, bring its tables up to date, and connect. Idempotent."""
        await self._database.open()

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self._database.aclose()

    # -- keys ---------------------------------------------------------------

    async def create_key(
        self,
        name: str = "",
        *,
        credits: int = 0,  # noqa: A002 - the word of the trade; nobody calls site's credits() here
        mode: Mode | str = Mode.LIVE,
        expires: datetime | None = None,
    ) -> NewKey:
        """Open an account and return its first key; the only time that its secrets are seen.

        ``credits`` go to the live pool, or in test mode to the lifetime pool on
        top of what that has for free.

        Raises:
            ValueError: the name, the credits or the mode is not acceptable.
        """
        if not (len(name) <= _MAX_NAME_CHARACTERS and name.isprintable()):
            raise ValueError(f"a name has at most {_MAX_NAME_CHARACTERS} printable characters")
        if not 0 <= credits <= MAX_GRANT:
            raise ValueError(f"credits are from 0 to {MAX_GRANT}")
        chosen = Mode(mode)

        def work(ledger: Ledger) -> NewKey:
            account = ledger.open_account(name, chosen, credits)
            return keys.add_key(ledger.session, account, ledger.now, expires)

        return await self._change(work)

    async def add_key(self, account_id: int, *, expires: datetime | None = None) -> NewKey:
        """Return a further key of an account, so that an old one can be revoked without a gap.

        Raises:
            UnknownAccountError: there is no such account.
        """

        def work(ledger: Ledger) -> NewKey:
            account = ledger.locked(account_id)
            return keys.add_key(ledger.session, account, ledger.now, expires)

        return await self._change(work)

    async def authenticate(self, public_key: str, secret_key: str) -> Account:
        """Return whose keys these are.

        Raises:
            AuthenticationError: they are unknown, wrong, revoked or expired; it never says which.
        """
        return await self._database.read(
            lambda session: keys.check_secret(session, public_key, secret_key, self._clock())
        )

    async def authenticate_api_key(self, key: str) -> Account:
        """Return whose API key this is.

        Raises:
            AuthenticationError: it is unknown, revoked or expired; it never says which.
        """
        return await self._database.read(lambda session: keys.check_api_key(session, key, self._clock()))

    async def list_keys(self) -> list[Key]:
        """Return all keys, oldest first, whatever their state."""
        return await self._database.read(keys.list_keys)

    async def find_key(self, public_key: str) -> Key:
        """Return what can be shown of one key.

        Raises:
            UnknownAccountError: there is no such key.
        """
        return await self._database.read(lambda session: keys.find_key(session, public_key))

    async def revoke(self, public_key: str) -> Key:
        """Make a key useless from now on. Idempotent; what its account has left stays.

        Raises:
            UnknownAccountError: there is no such key.
        """
        return await self._change(lambda ledger: keys.revoke(ledger.session, public_key, ledger.now))

    # -- credits ------------------------------------------------------------

    async def charge(
        self, account_id: int, cost: int, *, kind: Kind | str, idempotency_key: str, note: str = ""
    ) -> Charge:
        """Take ``cost`` credits, or all of nothing; the same key again returns the same charge.

        That holds after a refund too: to try again for money, use a new key. A
        cost of 0 writes nothing, and neither does the local account.

        Raises:
            InsufficientCreditsError: the pools do not cover the cost.
            IdempotencyError: the key was used for another cost or kind.
            UnknownAccountError: there is no such account.
            ValueError: the cost is negative, the kind no charge, or the key empty or too long.
        """
        if cost < 0:
            raise ValueError("a cost is not negative")
        if Kind(kind) not in CHARGES:
            raise ValueError(f"{kind!r} is not a kind of charge")
        key = stored_key(idempotency_key)
        if cost == 0 or account_id == LOCAL_ACCOUNT.id:
            return Charge((), 0, (await self.balance(account_id)).total)
        return await self._change(
            lambda ledger: ledger.charge(account_id, cost, Kind(kind), key, stored_note(note))
        )

    async def refund(self, account_id: int, idempotency_key: str) -> Refund:
        """Give back what the charge with this key took; idempotent.

        Refunding what was never charged gives back nothing and is no error, so
        that a caller whose ``charge`` was cut short can simply refund.

        Raises:
            UnknownAccountError: there is no such account.
            ValueError: the key is empty or too long.
        """
        key = stored_key(idempotency_key)
        if account_id == LOCAL_ACCOUNT.id:
            return Refund((), 0, None)
        return await self._change(lambda ledger: ledger.refund(account_id, key))

    async def grant(
        self, account_id: int, amount: int, *, note: str = "", idempotency_key: str | None = None
    ) -> Entry:
        """Add credits: to the live pool, or to the lifetime pool of a test account.

        Raises:
            IdempotencyError: the key was used for something else.
            UnknownAccountError: there is no such account (the local one needs no grant).
            ValueError: the amount is not from 1 to ``MAX_GRANT``, or the key empty or too long.
        """
        if not 1 <= amount <= MAX_GRANT:
            raise ValueError(f"a grant is from 1 to {MAX_GRANT} credits")
        key = stored_key(idempotency_key) if idempotency_key is not None else None
        return await self._change(lambda ledger: ledger.grant(account_id, amount, stored_note(note), key))

    async def balance(self, account_id: int) -> Balance:
        """Return what an account has left, by pool; after midnight UTC the daily pool is full again.

        Raises:
            UnknownAccountError: there is no such account.
        """
        if account_id == LOCAL_ACCOUNT.id:
            return Balance({}, None)
        mode, amounts, is_due = await self._database.read(
            lambda session: look_at(session, account_id, self._clock())
        )
        if is_due:
            mode, amounts = await self._change(lambda ledger: ledger.settle(account_id))
        return Balance({pool: amounts[pool] for pool in PAYING[mode]}, total(mode, amounts))

    async def ledger(
        self, account_id: int, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> list[Entry]:
        """Return at most ``limit`` entries with an id > ``after``, oldest first.

        With ``newest`` they are the last ones instead of the first ones. The next
        page begins after the id of the last entry.
        """
        return await self._database.read(
            lambda session: list_entries(session, account_id, after=after, limit=limit, newest=newest)
        )

    async def _change(self, work: Callable[[Ledger], T]) -> T:
        # the clock is read when the turn has come, so that entries are in the order of time
        return await self._database.write(
            lambda session: work(Ledger(session, self._clock(), self._allowances))
        )
