"""An open database: its connections, its transactions, and what an outage is called.

A transaction is a plain function of a session. SQLite runs it in a thread, whole:
one hand-over for a charge, where a driver that hands over each statement costs as
many as there are statements. PostgreSQL runs the same function on the loop, on
SQLAlchemy's bridge to its asynchronous driver.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from embedenv_jupyter.accounts.engine import READS, create_engine, database_url, is_sqlite, sqlite_file
from embedenv_jupyter.accounts.location import make_private
from embedenv_jupyter.accounts.migrate import upgrade
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import AccountsUnavailableError

T = TypeVar("T")

Work: TypeAlias = Callable[[Session], T]
"""What is done within one transaction."""

_MAX_THREADS = 8
"""How many transactions of SQLite are under way at once; one of them may write."""

_OUR_FAULT = (IntegrityError, ProgrammingError)
"""What the driver raises when a statement of ours is wrong, not when the database is away."""


class Database:
    """The connections to one database; each wait for it, and for one's turn, is at most ``timeout_s``."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = database_url(url)
        self._timeout_s = timeout_s
        self._engine: Engine | AsyncEngine | None = None
        self._reader: Engine | None = None
        """SQLite's engine again, its transactions marked as such that only read."""
        self._threads: ThreadPoolExecutor | None = None
        self._running: set[asyncio.Future[Any]] = set()
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
        self._threads = ThreadPoolExecutor(_MAX_THREADS, "accounts")
        self._engine = create_engine(self._url, timeout_s=self._timeout_s, pool_timeout=self._timeout_s)
        if isinstance(self._engine, Engine):
            self._reader = self._engine.execution_options(**{READS: True})

    async def aclose(self) -> None:
        """Let what has begun end, then close all connections. Idempotent."""
        engine, self._engine, self._reader = self._engine, None, None
        await asyncio.gather(*self._running, return_exceptions=True)
        if isinstance(engine, AsyncEngine):
            await engine.dispose()
        elif engine is not None:
            await self._in_thread(engine.dispose)
        if self._threads is not None:
            self._threads.shutdown(wait=False)  # idle by now: all that had begun has ended
            self._threads = None

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
        async with deadline(self._timeout_s):
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
        transaction = self._begun(work, reads=reads)
        self._running.add(transaction)
        transaction.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(transaction)
        finally:
            while not transaction.done():
                with suppress(asyncio.CancelledError):  # the first one is on its way up already
                    await asyncio.wait([transaction])

    def _begun(self, work: Work[T], *, reads: bool) -> asyncio.Future[T]:
        if self._engine is None:
            raise AccountsUnavailableError("The accounts are not open.")
        if isinstance(self._engine, Engine):
            return self._in_thread(_transact, self._reader if reads else self._engine, work)
        return asyncio.create_task(_transact_on_loop(self._engine, work))

    def _in_thread(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

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


async def _transact_on_loop(engine: AsyncEngine, work: Work[T]) -> T:
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        await session.connection()  # begin now: what follows is bounded by the statements' deadlines
        return await session.run_sync(work)


def _transact(engine: Engine, work: Work[T]) -> T:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.connection()  # begin now: in SQLite this is where a writer gets its lock
        return work(session)
