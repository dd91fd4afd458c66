"""An open database: its connections, its transactions, and what an outage is called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from embedenv_jupyter.accounts.engine import READS, create_engine, database_url, is_sqlite, sqlite_file
from embedenv_jupyter.accounts.location import make_private
from embedenv_jupyter.accounts.migrate import upgrade
from embedenv_jupyter.errors import AccountsUnavailableError

T = TypeVar("T")

Work: TypeAlias = Callable[[AsyncSession], Awaitable[T]]
"""What is done within one transaction."""

_OUR_FAULT = (IntegrityError, ProgrammingError)
"""What the driver raises when a statement of ours is wrong, not when the database is away."""


class Database:
    """The connections to one database; each wait for it, and for one's turn, is at most ``timeout_s``."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = database_url(url)
        self._timeout_s = timeout_s
        self._engine: AsyncEngine | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._writer = asyncio.Lock() if is_sqlite(self._url) else None

    async def open(self) -> None:
        """Create the database if it is a file, bring its tables up to date, and connect. Idempotent.

        Raises:
            AccountsUnavailableError: any of this failed.
        """
        if self._engine is not None:
            return
        async with self._outages_named():
            if is_sqlite(self._url):
                await asyncio.to_thread(make_private, sqlite_file(self._url))
            await upgrade(self._url, self._timeout_s)
        self._engine = create_engine(self._url, timeout_s=self._timeout_s, pool_timeout=self._timeout_s)

    async def aclose(self) -> None:
        """Let what has begun end, then close all connections. Idempotent."""
        engine, self._engine = self._engine, None
        await asyncio.gather(*self._running, return_exceptions=True)
        if engine is not None:
            await engine.dispose()

    async def read(self, work: Work[T]) -> T:
        """Return what ``work`` returns, run in a transaction that only reads; in SQLite it waits for nobody.

        Raises:
            AccountsUnavailableError: the database is away, locked or too slow.
        """
        async with self._outages_named():
            return await self._undisturbed(work, reads=True)

    async def write(self, work: Work[T]) -> T:
        """Return what ``work`` returns, run in a transaction that is committed unless it raises.

        Raises:
            AccountsUnavailableError: the database is away, locked or too slow.
        """
        async with self._outages_named(), self._turn_to_write():
            return await self._undisturbed(work, reads=False)

    @asynccontextmanager
    async def _turn_to_write(self) -> AsyncIterator[None]:
        """Queue SQLite's writers of this process.

        SQLite's own waiting polls with growing pauses and serves whoever asks at
        the right moment; it is left to other processes.
        """
        if self._writer is None:
            yield
            return
        async with asyncio.timeout(self._timeout_s):
            await self._writer.acquire()
        try:
            yield
        finally:
            self._writer.release()

    async def _undisturbed(self, work: Work[T], *, reads: bool) -> T:
        """Run a transaction to its end, also for a caller who is cancelled, and who waits for that.

        So a cancelled call has happened or not by the time it returns, and a
        refund after it cannot overtake its charge. Nor may a statement be cut
        short: it would stay half-read as long as anybody holds the traceback, and
        SQLite keeps connection and write lock that long, even after ``close``
        (see the "zombie" connections in its documentation of sqlite3_close_v2).

        What bounds the wait are the deadlines of each step: the pool's, SQLite's
        for locks, PostgreSQL's for statements.
        """
        task = asyncio.create_task(self._transact(work, reads=reads))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        finally:
            while not task.done():
                with suppress(asyncio.CancelledError):  # the first one is on its way up already
                    await asyncio.wait([task])

    async def _transact(self, work: Work[T], *, reads: bool) -> T:
        if self._engine is None:
            raise AccountsUnavailableError("The accounts are not open.")
        engine = self._engine.execution_options(**{READS: reads})
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            await session.connection()  # begin now: in SQLite this is where a writer gets its lock
            return await work(session)

    @asynccontextmanager
    async def _outages_named(self) -> AsyncIterator[None]:
        try:
            yield
        except _OUR_FAULT:
            raise
        except TimeoutError as exc:
            raise self._unavailable(f"did not answer within {self._timeout_s:g} s") from exc
        except (DBAPIError, PoolTimeoutError, OSError) as exc:
            detail = str(exc.orig) if isinstance(exc, DBAPIError) else str(exc)
            raise self._unavailable(f"cannot be used: {detail.strip().splitlines()[-1]}") from exc

    def _unavailable(self, reason: str) -> AccountsUnavailableError:
        shown = self._url.render_as_string(hide_password=True)
        return AccountsUnavailableError(
            f"The accounts' database {shown} {reason}.",
            "Check that it exists, that it is running and that you may write to it.",
        )
