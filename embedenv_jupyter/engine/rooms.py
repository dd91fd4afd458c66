"""Rooms that the engine runs code in: one for each session, and a fresh one for what has none.

A session belongs to an account. One without a name lives as long as its connection;
one with a name outlives it, and whoever has the account's key may come back to it, from
wherever, until nobody has used it for a while. What its streamed runs tell is in a log
of its own, by number, so that a client that was cut off gets what it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from embedenv_jupyter.accounts import Account
from embedenv_jupyter.engine.engine import Engine
from embedenv_jupyter.engine.execution import Execution, RunOptions
from embedenv_jupyter.engine.kernel_session import KernelSession
from embedenv_jupyter.engine.rates import Rates
from embedenv_jupyter.engine.session import LanguageSession
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.errors import (
    BusyError,
    EmbedEnvError,
    RoomClosedError,
    SourceError,
    UnknownSessionError,
)
from embedenv_jupyter.kernels.manager import KernelManagers, RoomKernels
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.rooms.cells import program_command
from embedenv_jupyter.rooms.events import RunEnded, RunStarted
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.manager import RoomManager
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.sandbox.spec import MIB, Limits

log = logging.getLogger(__name__)

SPACE: Final = "engine"
PYTHON: Final = "python"
LOOK_EVERY_S: Final = 5.0
MAX_PARALLEL: Final = 16
"""How many fresh runs one session may have at once."""

COMMAND_CHARS: Final = 1000


@dataclass(frozen=True)
class EngineSettings:
    """What the operator decides about the engine. Times in seconds, sizes in bytes."""

    timeout_s: float | None = 60.0
    """Of a run that asks for no time of its own; ``None``: no limit."""
    max_timeout_s: float | None = None
    """The longest time that a run may ask for; ``None``: any."""
    session_idle_s: float = 600.0
    """A named session ends when nobody has been connected and nothing has run in it for this long."""
    answer_bytes: int = 1 << 20
    """How much of each stream an answer without ``stream`` holds."""
    runs_per_minute: int = 1200
    """Of one account; 0 for any number."""
    log_memory_bytes: int = 1 << 20
    log_disk_bytes: int = 64 << 20


@dataclass(frozen=True)
class Job:
    """One request, checked: what to run, in which language, and how."""

    language: Language
    source: Source
    options: RunOptions
    stdin: bytes | None = None
    is_fresh: bool = False


class EngineRoom:
    """A session: a room, the state of each language in it, and the log of its streamed runs."""

    def __init__(self, room: Room, kernels: RoomKernels, frames_log: Log, account: Account, name: str) -> None:
        self.room = room
        self.account = account
        self.name = name
        self.log = frames_log
        self.connections = 0
        self.streams: dict[str, Execution] = {}
        """The streamed runs that have not ended, by their ids."""
        self.left_at_s = time.monotonic()
        self._kernels = kernels
        self._engine = Engine(room.sandbox)
        self._sessions: dict[str, LanguageSession] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._parallel = 0
        self._next_run = 1
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self.room.end_reason is None and self._closing is None

    @property
    def is_used(self) -> bool:
        """Whether somebody is connected, or something runs."""
        return self.connections > 0 or bool(self.streams) or self._parallel > 0 or self.room.is_running

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
        async with self._place(job):
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
        """Charge for a run and start it; give the cost back when it does not start."""
        room = self.room
        is_cell = job.language.id == PYTHON and not job.is_fresh
        try:
            cost = 0 if is_cell else await room.charge_command(program_command(job.language, job.source.code), run)
            execution = await self._started(job)
        except BaseException:
            await asyncio.shield(room.refund_cell(run))
            raise
        if not is_cell:  # a kernel tells of its cells itself
            self._tell_start(job, run)
        began_s = time.monotonic()
        try:
            async with execution:
                yield execution, cost
        finally:
            if not is_cell:
                self._tell_end(execution, run, cost, time.monotonic() - began_s)

    async def _started(self, job: Job) -> Execution:
        if job.is_fresh:
            return await self._engine.start(job.language, job.source, job.options)
        session = self._sessions.get(job.language.id)
        if session is None or session.is_closed:
            session = self._sessions[job.language.id] = await self._opened(job.language)
        return await session.start(job.source, job.options)

    async def _opened(self, language: Language) -> LanguageSession:
        if language.id == PYTHON:
            return KernelSession(self._kernels, language, self.account.name or SPACE)
        return await self._engine.open_session(language)

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
        try:
            for session in self._sessions.values():
                with contextlib.suppress(EmbedEnvError):
                    await session.aclose()
            await self._engine.aclose()
        except Exception:
            log.exception("session %s ends with something in it that did not close", self.name)
        finally:
            await self.room.aclose(reason)
            self.log.finish()
            await self.log.aclose(delete=True)


class EngineRooms:
    """The sessions of one gateway; owns the task that ends idle ones."""

    def __init__(
        self,
        rooms: RoomManager,
        kernels: KernelManagers,
        logs: Path,
        settings: EngineSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.languages = Languages.shipped()
        self.rates = Rates(settings.runs_per_minute, clock=clock)
        self._rooms = rooms
        self._kernels = kernels
        self._logs = logs
        self._named: dict[tuple[int, str], EngineRoom] = {}
        self._all: set[EngineRoom] = set()
        self._opening: dict[tuple[int, str], asyncio.Lock] = {}
        self._culling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for idle sessions; the loop must run."""
        self._culling = asyncio.create_task(self._cull(), name="idle engine sessions")

    def __len__(self) -> int:
        return len(self._all)

    async def enter(self, account: Account, name: str | None, limits: Limits | None = None) -> EngineRoom:
        """Return an account's session of this name, a new one where there is none; leave it afterwards.

        Raises:
            BusyError: the gateway holds as many rooms as it may.
            SourceError: the session is there, and has other limits.
            SandboxError: no room could be started.
        """
        if name is None:
            return self._entered(await self._opened(account, f"~{secrets.token_hex(8)}", limits))
        key = (account.id, name)
        async with self._opening.setdefault(key, asyncio.Lock()):
            found = self._named.get(key)
            if found is None or not found.is_open:
                found = self._named[key] = await self._opened(account, name, limits)
            elif limits is not None and limits != found.room.sandbox.spec.limits:
                raise SourceError("limits", f"are set by the first run of a session, and {name!r} is there already")
        return self._entered(found)

    def find(self, account: Account, name: str) -> EngineRoom:
        """Return an account's named session; leave it afterwards.

        Raises:
            UnknownSessionError: there is none (any more).
        """
        found = self._named.get((account.id, name))
        if found is None or not found.is_open:
            raise UnknownSessionError(name)
        return self._entered(found)

    def _entered(self, room: EngineRoom) -> EngineRoom:
        room.connections += 1
        return room

    async def leave(self, room: EngineRoom) -> None:
        """Give a session back: one without a name ends, one with a name waits for who comes back."""
        room.connections -= 1
        room.left_at_s = time.monotonic()
        if not self._is_named(room) and room.connections == 0:
            await self._end(room, "left")

    def _is_named(self, room: EngineRoom) -> bool:
        return self._named.get((room.account.id, room.name)) is room

    async def _opened(self, account: Account, name: str, limits: Limits | None) -> EngineRoom:
        opened = await self._rooms.open(account, space=SPACE, limits=limits, cost=0)
        frames_log = Log(
            self._logs / f"{opened.room.id}.engine",
            memory_bytes=self.settings.log_memory_bytes,
            disk_bytes=self.settings.log_disk_bytes,
        )
        room = EngineRoom(opened.room, self._kernels.of(opened.room), frames_log, account, name)
        self._all.add(room)
        opened.room.before_close(lambda: self._room_ends(room))
        return room

    async def _room_ends(self, room: EngineRoom) -> None:
        """Let go of a session whose room ends, whoever ended it."""
        self._forget(room)
        room.begin_close(room.room.end_reason or "closed")

    def _forget(self, room: EngineRoom) -> None:
        self._all.discard(room)
        key = (room.account.id, room.name)
        if self._named.get(key) is room:
            del self._named[key]
            self._opening.pop(key, None)

    async def end(self, room: EngineRoom) -> None:
        """End a session because its owner asked for it."""
        await self._end(room, "closed")

    async def _end(self, room: EngineRoom, reason: str) -> None:
        self._forget(room)
        await room.aclose(reason)

    def limits_of(self, memory_mib: int | None, pids: int | None, cpus: float | None, disk_mib: int | None) -> Limits:
        """Return the limits of a room that asks for less than what rooms have.

        Raises:
            SourceError: it asks for more; the text says what is allowed.
        """
        bounds = self._rooms.limits
        asked: list[tuple[str, str, float | None, float | None]] = [
            ("memory_mib", "memory_bytes", _times(memory_mib, MIB), bounds.memory_bytes),
            ("pids", "pids", pids, bounds.pids),
            ("cpus", "cpu_cores", cpus, bounds.cpu_cores),
            ("disk_mib", "workspace_bytes", _times(disk_mib, MIB), bounds.workspace_bytes),
        ]
        chosen: dict[str, float] = {}
        for field, name, value, bound in asked:
            if value is None:
                continue
            if bound is not None and value > bound:
                shown = bound / MIB if field.endswith("_mib") else bound
                raise SourceError(f"limits.{field}", f"is more than this gateway allows, which is {shown:g}")
            chosen[name] = value
        return replace(bounds, **chosen)  # type: ignore[arg-type]

    def timeout_of(self, asked_s: float | None) -> float | None:
        """Return how long a run may take.

        Raises:
            SourceError: it asks for more than is allowed.
        """
        most = self.settings.max_timeout_s
        if asked_s is None:
            default = self.settings.timeout_s
            return default if most is None or default is None else min(default, most)
        if most is not None and asked_s > most:
            raise SourceError("timeout", f"is {asked_s:g} s; this gateway allows {most:g} s")
        return asked_s

    async def _cull(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_EVERY_S, self.settings.session_idle_s))
            now_s = time.monotonic()
            for room in list(self._named.values()):
                if not room.is_used and now_s - room.left_at_s >= self.settings.session_idle_s:
                    try:
                        await self._end(room, "idle")
                    except Exception:
                        log.exception("the idle session %r did not end cleanly", room.name)

    async def aclose(self) -> None:
        """End the task and all sessions; idempotent."""
        if self._culling is not None:
            self._culling.cancel()
            await asyncio.gather(self._culling, return_exceptions=True)
        ends: Sequence[object] = await asyncio.gather(
            *(self._end(room, "gateway stopped") for room in list(self._all)), return_exceptions=True
        )
        for fault in ends:
            if isinstance(fault, BaseException):
                log.error("an engine session did not end cleanly", exc_info=fault)


def _times(value: int | None, unit: int) -> int | None:
    return None if value is None else value * unit
