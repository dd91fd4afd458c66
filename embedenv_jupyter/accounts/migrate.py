"""Bring a database to the tables that this version knows.

Alembic is synchronous and reads its scripts from disk, so it runs in a thread;
PostgreSQL's driver gets an event loop of its own there.
"""

from __future__ import annotations

import asyncio
import threading

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from embedenv_jupyter.accounts.engine import create_engine
from embedenv_jupyter.errors import AccountsUnavailableError

SCRIPTS = "embedenv_jupyter.accounts:migrations"
"""A package resource, so that a wheel finds its scripts wherever it is installed."""

_ADVISORY_LOCK = 0x656D626564656E76
"""PostgreSQL's lock against two gateways that migrate at the same time; any number of ours."""

# Alembic's `context` and `op` are globals of the process.
_one_at_a_time = threading.Lock()


async def upgrade(url: URL, timeout_s: float) -> None:
    """Run the migrations that ``url`` lacks; none, if it is up to date.

    Raises:
        AccountsUnavailableError: the database is newer than this program.
        SQLAlchemyError, OSError, TimeoutError: it cannot be reached, or is locked too long.
    """
    await asyncio.to_thread(_upgrade_in_thread, url, timeout_s)


def _upgrade_in_thread(url: URL, timeout_s: float) -> None:
    if not _one_at_a_time.acquire(timeout=timeout_s):
        raise TimeoutError("another migration of this process does not end")
    try:
        engine = create_engine(url, timeout_s=timeout_s, poolclass=NullPool)
        if isinstance(engine, AsyncEngine):
            asyncio.run(_upgrade_on_loop(engine))
            return
        with engine.begin() as connection:  # SQLite's BEGIN IMMEDIATE keeps others out
            _run_alembic(connection)
    finally:
        _one_at_a_time.release()


async def _upgrade_on_loop(engine: AsyncEngine) -> None:
    try:
        async with engine.begin() as connection:
            await connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            await connection.run_sync(_run_alembic)
    finally:
        await engine.dispose()


def _run_alembic(connection: Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", SCRIPTS)
    try:
        command.upgrade(config, "head")
    except CommandError as exc:
        raise AccountsUnavailableError(
            "The accounts were last used by a newer embedenv-jupyter.", "Upgrade this one."
        ) from exc
