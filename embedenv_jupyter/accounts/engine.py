"""From a database URL to an engine: one place for all that SQLite and PostgreSQL do differently.

SQLite gets write-ahead logging, a time to wait for locks, and transactions that
begin as what they are: ``BEGIN IMMEDIATE`` when they will write, so that two
writers queue instead of failing when the second wants to upgrade its read lock.
The recipe is SQLAlchemy's own (dialect documentation of SQLite, "Enabling
Non-Legacy SQLite Transactional Modes").
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from embedenv_jupyter.errors import AccountsUnavailableError

READS = "embedenv_reads"
"""Execution option of transactions that only read; in SQLite they wait for nobody."""

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+aiosqlite": "sqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
_ALLOWED = "Use sqlite:///FILE or postgresql+asyncpg://USER@HOST/DATABASE."


def database_url(text: str) -> URL:
    """Parse a database URL, filling in the driver that we use.

    Raises:
        AccountsUnavailableError: it is no URL, or not of a database that can hold the accounts.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as exc:
        raise AccountsUnavailableError("The database URL cannot be understood.", _ALLOWED) from exc
    url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
    if url.drivername not in _DRIVERS.values():
        raise AccountsUnavailableError(f"{url.drivername!r:.60} is not a database we can use.", _ALLOWED)
    if is_sqlite(url) and _is_in_memory(url):
        raise AccountsUnavailableError("Accounts in memory would be gone with the process.", _ALLOWED)
    return url


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def sqlite_file(url: URL) -> Path:
    """Return the file of a SQLite URL."""
    assert url.database is not None  # database_url() refuses a URL without
    return Path(url.database)


def create_engine(url: URL, *, timeout_s: float, **options: Any) -> Engine | AsyncEngine:
    """Make the engine for ``url``; ``timeout_s`` bounds connecting, and each statement's wait.

    SQLite's blocks and belongs into a thread, PostgreSQL's is for the loop.

    Raises:
        AccountsUnavailableError: the database's driver is not installed.
    """
    if is_sqlite(url):
        engine = sqlalchemy.create_engine(url, connect_args={"timeout": timeout_s}, **options)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_async_engine(
            url,
            connect_args={"timeout": timeout_s, "command_timeout": timeout_s},
            isolation_level="READ COMMITTED",  # what the locks in ledger.py are written for
            pool_pre_ping=True,  # a restarted server costs one reconnection, not one error a connection
            **options,
        )
    except ModuleNotFoundError as exc:
        raise AccountsUnavailableError(
            "The driver for PostgreSQL is not installed.", "Run: pip install 'embedenv-jupyter[postgres]'."
        ) from exc


def _is_in_memory(url: URL) -> bool:
    name = url.database or ""
    return name in ("", ":memory:") or name.startswith("file:") or "mode" in url.query


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; _begin_sqlite does
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # A commit survives a power cut: a ledger that forgets is none. Costs one fsync a charge.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
