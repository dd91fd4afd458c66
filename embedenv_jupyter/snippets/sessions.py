"""Sessions of the Engine protocol: each is a room, with the state of every language that ran in it.

A session belongs to an account. One without a name lives as long as its connection;
one with a name outlives it, and whoever has the account's key may come back to it, from
wherever, until nobody has used it for a while. What its streamed runs tell is in a log
of its own, by number, so that a client that was cut off gets what it missed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from embedenv_jupyter.accounts import LOCAL_ACCOUNT, Account, AccountManager
from embedenv_jupyter.errors import (
    BusyError,
    InsufficientCreditsError,
    SandboxUnavailableError,
    SourceError,
    UnknownSessionError,
)
from embedenv_jupyter.kernels.manager import KernelManagers
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.manager import STOPPING, RoomManager
from embedenv_jupyter.sandbox.spec import MIB, Limits
from embedenv_jupyter.snippets.rates import Rates
from embedenv_jupyter.snippets.session import SPACE, Session

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 5.0


@dataclass(frozen=True)
class SnippetSettings:
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
    max_sessions: int = 64
    """Of one account at a time; those of this server's own user are not counted."""
    log_memory_bytes: int = 1 << 20
    log_disk_bytes: int = 64 << 20


class Sessions:
    """The sessions of one gateway; owns the task that ends idle ones."""

    def __init__(
        self,
        rooms: RoomManager,
        kernels: KernelManagers,
        accounts: AccountManager,
        logs: Path,
        settings: SnippetSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.languages = Languages.shipped()
        self.rates = Rates(settings.runs_per_minute, clock=clock)
        self._rooms = rooms
        self._kernels = kernels
        self._accounts = accounts
        self._logs = logs
        self._named: dict[tuple[int, str], Session] = {}
        self._all: set[Session] = set()
        self._opening: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()
        """Held by who looks for a named session and makes one where there is none."""
        self._culling: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._counts: Counter[int] = Counter()
        """How many sessions each account has, those that are being opened included."""
        self._is_closed = False

    def start(self) -> None:
        """Begin to look for idle sessions; the loop must run."""
        self._culling = asyncio.create_task(self._cull(), name="idle engine sessions")

    def __len__(self) -> int:
        return len(self._all)

    async def enter(
        self, account: Account, name: str | None, limits: Limits | None = None, *, price: int = 0
    ) -> Session:
        """Return an account's session of this name, a new one where there is none; leave it afterwards.

        ``price`` is what it is to be entered for: nobody gets a room who cannot pay for what it is to run.

        Raises:
            BusyError: the gateway holds as many rooms as it may, or the account as many sessions.
            InsufficientCreditsError: no room was started.
            SourceError: the session is there, and has other limits.
            SandboxError: no room could be started.
        """
        if name is None:
            return self._entered(await self._opened(account, f"~{secrets.token_hex(8)}", limits, price))
        key = (account.id, name)
        async with self._turn(key):
            found = self._named.get(key)
            if found is None or not found.is_open:
                found = self._named[key] = await self._opened(account, name, limits, price)
            else:
                self.check_limits(found, limits)
        return self._entered(found)

    def check_limits(self, session: Session, limits: Limits | None) -> None:
        """Refuse limits that a session has not.

        Raises:
            SourceError: they were set by its first run.
        """
        if limits is not None and limits != session.room.sandbox.spec.limits:
            raise SourceError(
                "limits", "are set by the first run of a session, and this one is there already"
            )

    def _turn(self, key: tuple[int, str]) -> asyncio.Lock:
        lock = self._opening.get(key)
        if lock is None:
            lock = self._opening[key] = asyncio.Lock()
        return lock

    def find(self, account: Account, name: str) -> Session:
        """Return an account's named session; leave it afterwards.

        Raises:
            UnknownSessionError: there is none (any more).
        """
        found = self._named.get((account.id, name))
        if found is None or not found.is_open:
            raise UnknownSessionError(name)
        return self._entered(found)

    def _entered(self, room: Session) -> Session:
        room.connections += 1
        return room

    def leave(self, session: Session) -> None:
        """Give a session back: one without a name begins to end, one with a name waits for who comes back."""
        session.connections -= 1
        session.left_at_s = time.monotonic()
        if not self._is_named(session) and session.connections == 0:
            self._forget(session)
            self._end_later(session, "left")

    def _end_later(self, session: Session, reason: str) -> None:
        self._ending.add(ending := session.begin_close(reason))
        ending.add_done_callback(self._ending.discard)

    def _is_named(self, room: Session) -> bool:
        return self._named.get((room.account.id, room.name)) is room

    async def _opened(self, account: Account, name: str, limits: Limits | None, price: int) -> Session:
        if self._is_closed:
            raise SandboxUnavailableError(STOPPING)
        most = self.settings.max_sessions
        if account.id != LOCAL_ACCOUNT.id and self._counts[account.id] >= most:
            raise BusyError(f"This account has {most} sessions on this gateway already; close one of them.")
        self._counts[account.id] += 1
        try:
            await self._require_credits(account, price)
            session = await self._started(account, name, limits)
        except BaseException:
            self._counts[account.id] -= 1
            raise
        self._all.add(session)
        session.room.before_close(lambda: self._room_ends(session))
        return session

    async def _require_credits(self, account: Account, price: int) -> None:
        left = (await self._accounts.balance(account.id)).total if price else None
        if left is not None and left < price:
            raise InsufficientCreditsError(price, left)

    async def _started(self, account: Account, name: str, limits: Limits | None) -> Session:
        opened = await self._rooms.open(account, space=SPACE, limits=limits, cost=0, is_listed=False)
        frames_log = Log(
            self._logs / f"{opened.room.id}.engine",
            memory_bytes=self.settings.log_memory_bytes,
            disk_bytes=self.settings.log_disk_bytes,
        )
        return Session(
            opened.room, self._kernels.of(opened.room), frames_log, account, name,
            has_own_limits=limits is not None,
        )  # fmt: skip

    async def _room_ends(self, room: Session) -> None:
        """Let go of a session whose room ends, whoever ended it."""
        self._forget(room)
        self._end_later(room, room.room.end_reason or "closed")

    def _forget(self, room: Session) -> None:
        if room in self._all:
            self._all.discard(room)
            self._counts[room.account.id] -= 1
        key = (room.account.id, room.name)
        if self._named.get(key) is room:
            del self._named[key]

    async def end(self, room: Session) -> None:
        """End a session because its owner asked for it."""
        await self._end(room, "closed")

    async def _end(self, room: Session, reason: str) -> None:
        self._forget(room)
        await room.aclose(reason)

    def limits_of(
        self, memory_mib: int | None, pids: int | None, cpus: float | None, disk_mib: int | None
    ) -> Limits:
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
        """End the task and all sessions, and open none any more; idempotent."""
        self._is_closed = True
        if self._culling is not None:
            self._culling.cancel()
            await asyncio.gather(self._culling, return_exceptions=True)
        ends: Sequence[object] = await asyncio.gather(
            *(self._end(room, "gateway stopped") for room in list(self._all)), return_exceptions=True
        )
        await asyncio.gather(*self._ending, return_exceptions=True)
        for fault in ends:
            if isinstance(fault, BaseException):
                log.error("an engine session did not end cleanly", exc_info=fault)


def _times(value: int | None, unit: int) -> int | None:
    return None if value is None else value * unit
