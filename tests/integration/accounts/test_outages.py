"""A database that is away, locked, broken or restarted is named, and things go on when it is back."""

from __future__ import annotations

import asyncio
import sqlite3
import traceback
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from embedenv_jupyter.accounts import AccountManager
from embedenv_jupyter.errors import AccountsUnavailableError
from tests.integration.accounts.postgres import PostgresServer


async def test_closed_accounts_say_so(sqlite_url: str) -> None:
    accounts = AccountManager(sqlite_url)
    with pytest.raises(AccountsUnavailableError):
        await accounts.list_keys()
    await accounts.open()
    await accounts.aclose()
    await accounts.aclose()
    with pytest.raises(AccountsUnavailableError):
        await accounts.list_keys()


async def test_a_locked_sqlite_is_readable_and_writable_afterwards(sqlite_url: str) -> None:
    async with AccountManager(sqlite_url, timeout_s=0.3) as accounts:
        key = await accounts.create_key("Ana", credits=3)
        with closing(sqlite3.connect(str(make_url(sqlite_url).database))) as other:
            other.execute("BEGIN IMMEDIATE")
            results = await asyncio.gather(
                *(accounts.charge(key.account.id, 1, kind="init", idempotency_key=f"k{n}") for n in range(3)),
                return_exceptions=True,
            )
            assert {type(result) for result in results} == {AccountsUnavailableError}
            assert await accounts.authenticate(key.public_key, key.secret_key) == key.account
            other.rollback()
        charge = await accounts.charge(key.account.id, 1, kind="init", idempotency_key="k0")
        assert charge.remaining == 2


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////proc/no/embedenv.db",
        "postgresql+asyncpg://ana:hush@127.0.0.1:1/accounts",
        "postgresql+asyncpg://ana:hush@/accounts?host=/nowhere",
    ],
)
async def test_a_database_that_is_not_there_is_named_to_the_administrator_only(url: str) -> None:
    with pytest.raises(AccountsUnavailableError) as caught:
        await AccountManager(url, timeout_s=10).open()
    assert "/proc" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert "cannot be used" in caught.value.reason
    logged = "".join(traceback.format_exception(caught.value))
    assert caught.value.reason in logged
    assert "hush" not in logged


async def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database\n" * 100)
    with pytest.raises(AccountsUnavailableError) as caught:
        await AccountManager(f"sqlite:///{path}").open()
    assert "not a database" in caught.value.reason
    assert path.read_text() == "not a database\n" * 100


async def test_a_damaged_database_is_reported(sqlite_url: str) -> None:
    path = Path(str(make_url(sqlite_url).database))
    async with AccountManager(sqlite_url) as accounts:
        await accounts.create_key("Ana")
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 40_000)
    with pytest.raises(AccountsUnavailableError) as caught:
        async with AccountManager(sqlite_url) as accounts:
            await accounts.list_keys()
    assert "malformed" in caught.value.reason


async def test_connections_that_the_server_ended_are_replaced(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    async with AccountManager(url) as accounts:
        await asyncio.gather(*(accounts.create_key("Ana") for _ in range(4)))
        postgres_server.run_sql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{make_url(url).database}'",
        )
        assert len(await accounts.list_keys()) == 4


async def test_a_lost_server_is_an_outage(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    database = make_url(url).database
    async with AccountManager(url, timeout_s=10) as accounts:
        await accounts.create_key("Ana")
        postgres_server.run_sql("postgres", f"DROP DATABASE {database} WITH (FORCE)")
        with pytest.raises(AccountsUnavailableError) as caught:
            await accounts.create_key("Ben")
        assert "does not exist" in caught.value.reason
