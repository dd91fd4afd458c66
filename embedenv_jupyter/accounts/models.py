"""The tables: accounts, keys, pools, and the ledger that only grows.

`migrations/` creates them; a test keeps the two equal. Money is kept twice: a
pool's ``amount`` is what conditional updates work on, the ledger is what it is
made of, and at every moment the amount is the sum of the pool's entries.
"""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from embedenv_jupyter.accounts.values import Kind, Mode, Pool

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, with its zone on both sides; SQLite keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _word(members: type[enum.StrEnum]) -> Enum:
    """Store a StrEnum as its text; a new member then needs no migration of an append-only table."""
    return Enum(
        members,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda enumeration: [member.value for member in enumeration],
    )


# SQLite counts rows up by itself only in a column that is exactly INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        Mode: _word(Mode),
        Pool: _word(Pool),
        Kind: _word(Kind),
    }


class AccountRow(Base):
    """Who pays. Its row is locked by whatever changes its pools, so that such changes queue."""

    __tablename__ = "accounts"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    mode: Mapped[Mode]
    created: Mapped[datetime]


class KeyRow(Base):
    """A key of an account; the secrets are stored as SHA-256 (``credentials`` says why)."""

    __tablename__ = "keys"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    public_key: Mapped[str] = mapped_column(String(64), unique=True)
    secret_digest: Mapped[str] = mapped_column(String(64))
    api_digest: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime]
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]


class PoolRow(Base):
    """A balance; ``day`` (UTC) is when the daily pool was filled last, and null in the others."""

    __tablename__ = "pools"
    __table_args__ = (CheckConstraint("amount >= 0", name="amount"),)

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    pool: Mapped[Pool] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)
    day: Mapped[date | None] = mapped_column(Date)


class EntryRow(Base):
    """One change of one pool. Triggers refuse every UPDATE and DELETE of this table.

    One charge may take from several pools: its entries share the idempotency
    key and are numbered by ``part``. An entry is refunded at most once.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        UniqueConstraint("account_id", "idempotency_key", "part"),
        UniqueConstraint("refunds"),
        CheckConstraint("balance >= 0", name="balance"),
        Index(None, "account_id", "id"),
        Index(None, "account_id", "pool", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    created: Mapped[datetime]
    kind: Mapped[Kind]
    pool: Mapped[Pool]
    delta: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger)
    idempotency_key: Mapped[str] = mapped_column(Text)
    part: Mapped[int] = mapped_column(SmallInteger)
    refunds: Mapped[int | None] = mapped_column(ForeignKey("ledger.id"))
    note: Mapped[str] = mapped_column(Text)
