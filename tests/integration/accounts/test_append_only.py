"""The database itself refuses to change the ledger, whoever asks."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import make_url

from embedenv_jupyter.accounts import AccountManager
from tests.integration.accounts.postgres import PostgresServer

CHANGES = [
    "UPDATE ledger SET delta = 1000 WHERE delta = 10",
    "UPDATE ledger SET note = 'x'",
    "DELETE FROM ledger",
    "DELETE FROM ledger WHERE delta = -4",
    "DELETE FROM accounts",
]

COLUMNS = "id, account_id, created, kind, pool, delta, balance, idempotency_key, part, note"


async def fill(url: str) -> None:
    async with AccountManager(url) as accounts:
        ana = (await accounts.create_key("Ana", credits=10)).account.id
        await accounts.charge(ana, 4, kind="init", idempotency_key="a")


@contextmanager
def stranger(url: str) -> Iterator[sqlite3.Connection]:
    """Connect as any other program would: with SQLite's defaults, but for foreign keys."""
    database = make_url(url).database
    assert database is not None
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        yield connection


@pytest.mark.parametrize(
    "statement",
    [
        *CHANGES,
        f"INSERT OR REPLACE INTO ledger ({COLUMNS}) VALUES (2, 1, '', 'init', 'live', 0, 10, 'z', 0, '')",
        f"INSERT OR REPLACE INTO ledger ({COLUMNS}) VALUES (9, 1, '', 'init', 'live', 0, 10, 'a', 0, '')",
        f"REPLACE INTO ledger ({COLUMNS}) SELECT {COLUMNS} FROM ledger",
    ],
)
async def test_sqlite_refuses(sqlite_url: str, statement: str) -> None:
    await fill(sqlite_url)
    with stranger(sqlite_url) as connection:
        before = connection.execute("SELECT * FROM ledger").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match=r"append-only|FOREIGN KEY"):
            connection.execute(statement)
        connection.rollback()
        assert connection.execute("SELECT * FROM ledger").fetchall() == before


async def test_sqlite_never_takes_a_pool_below_zero(sqlite_url: str) -> None:
    await fill(sqlite_url)
    with stranger(sqlite_url) as connection, pytest.raises(sqlite3.IntegrityError, match="amount"):
        connection.execute("UPDATE pools SET amount = amount - 7")


@pytest.mark.parametrize("statement", [*CHANGES, "TRUNCATE ledger", "TRUNCATE accounts CASCADE"])
async def test_postgresql_refuses(postgres_server: PostgresServer, statement: str) -> None:
    url = postgres_server.new_database()
    await fill(url)
    database = make_url(url).database
    assert database is not None
    before = postgres_server.run_sql(database, "SELECT * FROM ledger ORDER BY id")
    with pytest.raises(subprocess.CalledProcessError):
        postgres_server.run_sql(database, statement)
    assert postgres_server.run_sql(database, "SELECT * FROM ledger ORDER BY id") == before
    assert before.count("\n") == 1
