"""Keys in the database: making, checking, listing and revoking them, inside the caller's transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from embedenv_jupyter.accounts import credentials
from embedenv_jupyter.accounts.models import AccountRow, Base, KeyRow
from embedenv_jupyter.accounts.values import Account, Key, NewKey
from embedenv_jupyter.errors import AuthenticationError, UnknownAccountError

_KEYS = select(KeyRow, AccountRow).join(AccountRow, KeyRow.account_id == AccountRow.id)
_BY_PUBLIC_KEY = _KEYS.where(KeyRow.public_key == bindparam("key"))

# Every request asks this, so it reads columns and makes no mapped objects.
_ACCOUNTS, _STORED = (Base.metadata.tables[name] for name in ("accounts", "keys"))
_BY_API_DIGEST = (
    select(
        _STORED.c.public_key, _STORED.c.api_digest, _STORED.c.created, _STORED.c.expires, _STORED.c.revoked,
        _ACCOUNTS.c.id, _ACCOUNTS.c.name, _ACCOUNTS.c.mode,
    )
    .join(_ACCOUNTS, _STORED.c.account_id == _ACCOUNTS.c.id)
    .where(_STORED.c.api_digest == bindparam("digest"))
)  # fmt: skip


def account_of(row: AccountRow) -> Account:
    return Account(id=row.id, name=row.name, mode=row.mode)


def add_key(session: Session, account: Account, created: datetime, expires: datetime | None) -> NewKey:
    """Draw a key for ``account`` and store what may be stored of it."""
    key = NewKey(
        account=account,
        public_key=credentials.new_public_key(),
        secret_key=credentials.new_secret_key(),
        api_key=credentials.new_api_key(),
        expires=expires,
    )
    session.add(
        KeyRow(
            account_id=account.id,
            public_key=key.public_key,
            secret_digest=credentials.digest(key.secret_key),
            api_digest=credentials.digest(key.api_key),
            created=created,
            expires=expires,
            revoked=None,
        )
    )
    session.flush()
    return key


def check_secret(session: Session, public_key: str, secret_key: str, now: datetime) -> Account:
    """Return the account of a public and a secret key.

    Raises:
        AuthenticationError: they are unknown, wrong, revoked or expired; the same work and text for each.
    """
    row = _find(session, _BY_PUBLIC_KEY, credentials.lookup_key(public_key))
    stored = row[0].secret_digest if row else credentials.NO_SUCH_DIGEST
    return _accepted(_shown(*row) if row else None, credentials.matches(secret_key, stored), now)


def check_api_key(session: Session, api_key: str, now: datetime) -> Account:
    """Return the account of an API key, which is found by its digest.

    How long the database looks tells at most how a digest begins, and nobody can
    make an API key to a wanted digest.

    Raises:
        AuthenticationError: it is unknown, revoked or expired; the same work and text for each.
    """
    row = session.connection().execute(_BY_API_DIGEST, {"digest": credentials.digest(api_key)}).one_or_none()
    is_matching = credentials.matches(api_key, row.api_digest if row else credentials.NO_SUCH_DIGEST)
    if row is None:
        raise AuthenticationError
    account = Account(id=row.id, name=row.name, mode=row.mode)
    found = Key(row.public_key, account, created=row.created, expires=row.expires, revoked=row.revoked)
    return _accepted(found, is_matching, now)


def list_keys(session: Session) -> list[Key]:
    """Return all keys, oldest first, whatever their state."""
    query = _KEYS.order_by(KeyRow.id)
    return [_shown(key, account) for key, account in session.execute(query)]


def find_key(session: Session, public_key: str) -> Key:
    """Return the key with this public part.

    Raises:
        UnknownAccountError: there is none.
    """
    return _shown(*_require(session, public_key))


def revoke(session: Session, public_key: str, now: datetime) -> Key:
    """Make a key useless from now on; revoking again keeps the first moment.

    Raises:
        UnknownAccountError: there is no such key.
    """
    key, account = _require(session, public_key)
    key.revoked = key.revoked or now
    session.flush()
    return _shown(key, account)


def _find(session: Session, query: Select[KeyRow, AccountRow], key: str) -> tuple[KeyRow, AccountRow] | None:
    row = session.execute(query, {"key": key}).one_or_none()
    return (row[0], row[1]) if row is not None else None


def _require(session: Session, public_key: str) -> tuple[KeyRow, AccountRow]:
    row = _find(session, _BY_PUBLIC_KEY, credentials.lookup_key(public_key))
    if row is None:
        raise UnknownAccountError(public_key)
    return row


def _accepted(found: Key | None, is_matching: bool, now: datetime) -> Account:
    if found is None or not is_matching or found.state(now) != "active":
        raise AuthenticationError
    return found.account


def _shown(key: KeyRow, account: AccountRow) -> Key:
    return Key(
        public_key=key.public_key,
        account=account_of(account),
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
    )
