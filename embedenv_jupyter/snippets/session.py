"""One session of the Engine protocol: a room, the state of each language in it, its streamed runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.accounts import Account
from embedenv_jupyter.engine.engine import Engine
from embedenv_jupyter.engine.execution import Execution, RunOptions
from embedenv_jupyter.engine.session import LanguageSession
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.errors import (
    AccountsUnavailableError,
    BusyError,
    InsufficientCreditsError,
    RoomClosedError,
    SandboxError,
    SourceError,
)
from embedenv_jupyter.kernels.manager import RoomKernels
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.rooms.cells import cell_command, program_command
from embedenv_jupyter.rooms.events import RunEnded, RunStarted
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.snippets.kernel_session import KernelSession
from embedenv_jupyter.snippets.memory import Asked, EndedRuns
from embedenv_jupyter.snippets.streamed import StreamedRun

log = logging.getLogger(__name__)

SPACE: Final = "engine"
PYTHON: Final = "python"
MAX_PARALLEL: Final = 16
"""How many fresh runs one session may have at once."""

MAX_RUNS: Final = 64
"""How many runs of one session may wait or run."""

MAX_KEPT_BYTES: Final = 64 << 20
"""How much their sources, files and inputs may take together."""

COMMAND_CHARS: Final = 1000
STDIN_BYTES: Final = 64 << 10


@dataclass(frozen=True)
class Job:
    """One request, checked: what to run, in which language, and how."""

    language: Language
    source: Source
    options: RunOptions
    stdin: bytes | None = None
    """The whole input; ``None``: it comes bit by bit, if at all."""
    is_fresh: bool = False
    """Run it in a folder of its own, which is removed afterwards."""
    is_cell: bool = False
    """It is a cell of the language's session, and not a whole program."""
    warnings: tuple[tuple[str, str], ...] = ()
    """The rules that recognise something in the code, and what."""

    @property
    def command(self) -> str:
        """A shell line that costs what it costs."""
        if _is_kernels(self):
            return cell_command(self.source.code)
        return program_command(self.language, self.source.code)

    @property
    def size_bytes(self) -> int:
        """How much we keep of it until it has run."""
        files = sum(map(len, self.source.files.values()))
        return len(self.source.data) + files + len(self.stdin or b"")


class Session:
    """A session: a room, the state of each language in it, and the log of its streamed runs."""

    def __init__(
        self,
        room: Room,
        kernels: RoomKernels,
        frames_log: Log,
        account: Account,
        name: str,
        *,
        has_own_limits: bool = False,
    ) -> None:
        self.room = room
        self.account = account
        self.name = name
        self.log = frames_log
        self.connections = 0
        self.streams: dict[str, StreamedRun] = {}
        """The streamed runs that have not ended, by their ids."""
        self.ended = EndedRuns()
        self.left_at_s = time.monotonic()
        self._has_own_limits = has_own_limits
        self._kernels = kernels
        self._engine = Engine(room.sandbox)
        self._sessions: dict[tuple[str, bool], LanguageSession] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._parallel = 0
        self._runs = 0
        self._kept_bytes = 0
        self._next_run = 1
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self.room.end_reason is None and self._closing is None

    @property
    def is_used(self) -> bool:
        """Whether somebody is connected, or something runs."""
        return self.connections > 0 or bool(self.streams) or self._parallel > 0 or self.room.is_working

    def feed(self, execution: Execution, data: bytes) -> asyncio.Task[None]:
        """Give an execution its whole input while it runs; the caller cancels the task when it has ended."""
        return asyncio.create_task(_feed(execution, data), name="input of a run")

    def begin(self, id: str, job: Job, asked: Asked | None = None) -> StreamedRun:
        """Begin a run whose frames go into the log; it goes on when the connection does not.

        How one ends that was ``asked`` for by a client that may ask again is remembered.

        Raises:
            BusyError: a run of this session with this id has not ended.
        """
        if id in self.streams:
            raise BusyError(f"A run with the id {id!r} has not ended in this session; choose another id.")
        run = self.streams[id] = StreamedRun(self, id, job)
        run.task.add_done_callback(lambda _: self._over(run, asked))
        return run

    def _over(self, run: StreamedRun, asked: Asked | None) -> None:
        self.streams.pop(run.id, None)
        if asked is not None and run.end is not None:
            self.ended.remember(run.id, asked, run.end)

    @asynccontextmanager
    async def running(self, job: Job) -> AsyncIterator[tuple[Execution, int]]:
        """Run a job when its turn comes; yields its events and what it costs, and ends it with the block.

        Runs of one language that keep state take turns; fresh ones run side by side.

        Raises:
            InsufficientCreditsError: nothing was run.
            MissingToolchainError: the room cannot run this language; it costs nothing.
            BusyError: too many run at once.
            RoomClosedError: the room has ended.
        """
        async with self._held(job), self._place(job):
            if not self.is_open:
                raise RoomClosedError(self.room.end_reason or "closed")
            run = f"e{self._next_run}"
            self._next_run += 1
            self.room.work_began(run)
            try:
                async with self._paid(job, run) as (execution, cost):
                    yield execution, cost
            finally:
                self.room.work_ended(run)
                self.left_at_s = time.monotonic()

    @asynccontextmanager
    async def _held(self, job: Job) -> AsyncIterator[None]:
        """Count a run that waits or runs, and what it makes us keep; nothing of it is paid yet.

        Raises:
            BusyError: there are too many, or they are too large together.
        """
        if self._runs >= MAX_RUNS or (self._runs and self._kept_bytes + job.size_bytes > MAX_KEPT_BYTES):
            raise BusyError(f"{self._runs} runs wait in this session already; wait for one of them.")
        self._runs += 1
        self._kept_bytes += job.size_bytes
        try:
            yield
        finally:
            self._runs -= 1
            self._kept_bytes -= job.size_bytes

    @asynccontextmanager
    async def _place(self, job: Job) -> AsyncIterator[None]:
        if not job.is_fresh:
            async with self._turns.setdefault(job.language.id, asyncio.Lock()):
                yield
            return
        if self._parallel >= MAX_PARALLEL:
            raise BusyError(f"{MAX_PARALLEL} fresh runs of this session run already; wait for one of them.")
        self._parallel += 1
        try:
            yield
        finally:
            self._parallel -= 1

    @asynccontextmanager
    async def _paid(self, job: Job, run: str) -> AsyncIterator[tuple[Execution, int]]:
        """Charge for a run and start it; give the cost back when it does not start.

        Where the account had plenty left lately, the run begins while its charge is written. Who
        asked is told nothing of it before it is paid, and it is ended if it cannot be. What has
        begun costs what it costs, also when nobody waits for it any more.
        """
        is_cell = _is_kernels(job)
        is_lent = self.room.lends()
        charge = asyncio.create_task(self.room.charge_command(job.command, run), name=f"charge of {run}")
        try:
            if not is_lent:
                await charge
            execution = await self._started(job)
        except InsufficientCreditsError:
            raise
        except BaseException:
            await asyncio.shield(self._give_back(charge, run))
            raise
        began_s = time.monotonic()
        try:
            cost = await asyncio.shield(charge)
        except BaseException:
            await asyncio.shield(self._call_off(execution, charge, run))
            raise
        if not is_cell:  # a kernel tells of its cells itself
            self._tell_start(job, run)
        try:
            async with execution:
                yield execution, cost
        finally:
            if not is_cell:
                self._tell_end(execution, run, cost, time.monotonic() - began_s)

    async def _give_back(self, charge: asyncio.Task[int], run: str) -> None:
        """Undo a charge, whether or not it has been written yet."""
        await asyncio.gather(charge, return_exceptions=True)
        await self.room.refund_cell(run)

    async def _call_off(self, execution: Execution, charge: asyncio.Task[int], run: str) -> None:
        """End a run that was not paid in time. What is paid all the same stays, but for a fault of ours."""
        _, fault = await asyncio.gather(execution.aclose(), charge, return_exceptions=True)
        if isinstance(fault, AccountsUnavailableError):
            await self.room.refund_cell(run)

    async def _started(self, job: Job) -> Execution:
        """Start a job.

        Raises:
            SourceError: the limits that were asked for leave it too little to start.
        """
        try:
            return await self._begun(job)
        except SandboxError as exc:
            if self._has_own_limits and self.is_open:
                raise SourceError("limits", f"leave {job.language.name} too little to start here") from exc
            raise

    async def _begun(self, job: Job) -> Execution:
        if job.is_fresh:
            return await self._engine.start(job.language, job.source, job.options)
        key = (job.language.id, job.is_cell)
        session = self._sessions.get(key)
        if session is None or session.is_closed:
            session = self._sessions[key] = await self._opened(job)
        return await session.start(job.source, job.options)

    async def _opened(self, job: Job) -> LanguageSession:
        if _is_kernels(job):
            return KernelSession(self._kernels, job.language, self.account.name or SPACE)
        return await self._engine.open_session(job.language, programs=not job.is_cell)

    def _tell_start(self, job: Job, run: str) -> None:
        if not self.room.log.is_finished:
            self.room.log.append(
                RunStarted(
                    run=run, command=job.source.code[:COMMAND_CHARS], user=self.account.name, member="",
                    kind=SPACE, at=time.time(),
                )
            )  # fmt: skip

    def _tell_end(self, execution: Execution, run: str, cost: int, duration_s: float) -> None:
        outcome = execution.outcome
        if self.room.log.is_finished:
            return
        self.room.log.append(
            RunEnded(
                run=run, code=outcome.exit.code if outcome else None,
                signal=str(outcome.exit.signal) if outcome and outcome.exit.signal is not None else None,
                duration_s=round(duration_s, 6), cost=cost, reason=outcome.reason.value if outcome else "cut",
                kind=SPACE, user=self.account.name, at=time.time(),
            )
        )  # fmt: skip

    def begin_close(self, reason: str) -> asyncio.Task[None]:
        """Begin to end the session and its room. Idempotent."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(reason), name=f"close of session {self.name}")
        return self._closing

    async def aclose(self, reason: str = "closed") -> None:
        """End the session and its room; idempotent, and finished even when the caller is cancelled."""
        await asyncio.shield(self.begin_close(reason))

    async def _close(self, reason: str) -> None:
        """End the runs and the room, then let go of what is dead with it: nothing inside can hold that up."""
        try:
            await asyncio.gather(*(run.stop() for run in list(self.streams.values())))
            for session in self._sessions.values():
                if isinstance(session, KernelSession):
                    await session.hang_up()
            await self.room.aclose(reason)
            closes = [session.aclose for session in self._sessions.values()]
            for close in (*closes, self._engine.aclose):
                try:
                    await close()
                except Exception:
                    log.exception("session %s ends with something in it that did not close", self.name)
        finally:
            await self.room.aclose(reason)
            self.log.finish()
            await self.log.aclose(delete=True)


def _is_kernels(job: Job) -> bool:
    """Whether the room's Python kernel runs it."""
    return job.language.id == PYTHON and job.is_cell


async def _feed(execution: Execution, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, SandboxError):  # it reads no more, or has ended
        for start in range(0, len(data), STDIN_BYTES):
            await execution.write_stdin(data[start : start + STDIN_BYTES])
        await execution.close_stdin()
