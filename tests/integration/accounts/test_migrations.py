from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from embedenv_jupyter.accounts import AccountManager
from embedenv_jupyter.accounts.engine import create_engine
from embedenv_jupyter.accounts.engine import database_url as parse_url
from embedenv_jupyter.accounts.models import Base
from embedenv_jupyter.errors import AccountsUnavailableError

OPEN_ONCE = """
import asyncio, sys
from embedenv_jupyter.accounts import AccountManager
async def main():
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    async with AccountManager(sys.argv[1]) as accounts:
        await accounts.create_key("x")
asyncio.run(main())
"""


def differences(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), Base.metadata))


async def test_the_migrations_make_the_tables_of_the_models(database_url: str) -> None:
    async with AccountManager(database_url):
        pass
    engine = create_engine(parse_url(database_url), timeout_s=30, poolclass=NullPool)
    if isinstance(engine, AsyncEngine):
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        await engine.dispose()
    else:
        with engine.connect() as connection:
            assert differences(connection) == []


async def test_opening_again_keeps_everything(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        key = await accounts.create_key("Ana", credits=3)
        await accounts.open()
    async with AccountManager(database_url) as accounts:
        assert await accounts.authenticate(key.public_key, key.secret_key) == key.account
        assert (await accounts.balance(key.account.id)).total == 3


async def test_many_can_open_a_new_database_at_once(
    database_url: str, start_process: Callable[..., subprocess.Popen[str]]
) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    others = [start_process(sys.executable, "-c", OPEN_ONCE, database_url, **pipes) for _ in range(3)]
    async with asyncio.timeout(60):
        for other in others:
            assert other.stdout is not None
            assert await asyncio.to_thread(other.stdout.readline) == "ready\n"
        managers = [AccountManager(database_url) for _ in range(3)]
        ended, *_ = await asyncio.gather(
            asyncio.gather(*(asyncio.to_thread(other.communicate, "go\n", 60) for other in others)),
            *(manager.open() for manager in managers),
        )
    assert [other.returncode for other in others] == [0, 0, 0], ended
    assert len(await managers[0].list_keys()) == 3
    for manager in managers:
        await manager.aclose()


async def test_sqlites_files_are_for_their_owner_only(sqlite_url: str) -> None:
    async with AccountManager(sqlite_url) as accounts:
        await accounts.create_key("Ana")
        folder = Path(str(make_url(sqlite_url).database)).parent
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert set(modes) == {"embedenv.db", "embedenv.db-wal", "embedenv.db-shm"}
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_database_of_a_newer_version_is_refused(sqlite_url: str) -> None:
    async with AccountManager(sqlite_url):
        pass
    with closing(sqlite3.connect(str(make_url(sqlite_url).database))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(AccountsUnavailableError) as caught:
        await AccountManager(sqlite_url).open()
    assert "newer" in caught.value.reason


async def test_a_failed_migration_leaves_nothing_behind(sqlite_url: str) -> None:
    path = Path(str(make_url(sqlite_url).database))
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE ledger (in_the_way)")
    with pytest.raises(AccountsUnavailableError):
        await AccountManager(sqlite_url).open()
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert tables == [("ledger",)]
