"""Opens rooms, finds them by their keys, and ends those that nobody uses.

The manager owns every room and one task that looks for idle ones. A start that
fails gives its credit back; a room whose sandbox dies is ended with the cause.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from embedenv_jupyter.accounts import INIT_COST, Account, AccountManager, Kind, cost_of
from embedenv_jupyter.errors import (
    BusyError,
    InsufficientCreditsError,
    SandboxUnavailableError,
    UnknownKeyError,
)
from embedenv_jupyter.rooms.events import IdleCountdown
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import JoinKey
from embedenv_jupyter.rooms.room import Room, new_room_id
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Breach, Limits, SandboxSpec

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
COUNTDOWN_STEPS_S = (60, 30, 10, 5)
START_TIMEOUT_S = 60.0


class Starter(Protocol):
    """Where sandboxes come from: a tier, or a pool in front of one."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one sandbox."""


@dataclass(frozen=True)
class RoomSettings:
    """What the operator decides about rooms. Times in seconds, sizes in bytes."""

    limits: Limits = field(default_factory=Limits)
    idle_s: float | None = 3600.0
    """End a room that nobody uses and in which nothing runs, after this; ``None``: never."""
    life_s: float | None = None
    """End any room after this, whatever runs; ``None``: never."""
    max_rooms: int = 1000
    log_memory_bytes: int = 1 << 20
    log_disk_bytes: int = 256 << 20


@dataclass(frozen=True)
class Opened:
    """A new room and what its host is told."""

    room: Room
    join_key: str
    remaining_credits: int | None


class RoomManager:
    """Owns the rooms of one gateway."""

    def __init__(
        self,
        starter: Starter,
        accounts: AccountManager,
        directory: Path,
        settings: RoomSettings,
        *,
        read_only: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
        on_end: Callable[[Room], None] | None = None,
    ) -> None:
        self._starter = starter
        self._accounts = accounts
        self._directory = directory
        self._settings = settings
        self._read_only = read_only
        self._clock = clock
        self._on_end = on_end
        self._rooms: dict[str, Room] = {}
        self._starting = 0
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._warned: dict[str, int] = {}
        self._idle_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for idle rooms; the loop must run."""
        if self._idle_task is None:
            self._idle_task = asyncio.create_task(self._look_for_idle(), name="idle rooms")

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    def __len__(self) -> int:
        return len(self._rooms)

    # Opening and finding.

    async def open(self, account: Account, *, space: str, limits: Limits | None = None) -> Opened:
        """Charge the account and open a room.

        Raises:
            InsufficientCreditsError: nothing was started.
            BusyError: the gateway holds as many rooms as it may.
            SandboxError: the start failed; the credit was given back.
        """
        if len(self._rooms) + self._starting >= self._settings.max_rooms:
            raise BusyError(f"This gateway holds {self._settings.max_rooms} rooms already; try again later.")
        room_id = new_room_id()
        self._starting += 1
        try:
            async with self._paid(account, f"init:{room_id}") as remaining:
                room = await self._start(account, room_id, space, limits)
        finally:
            self._starting -= 1
        return Opened(room, room.host_key.key, remaining)

    @asynccontextmanager
    async def _paid(self, account: Account, key: str) -> AsyncIterator[int | None]:
        """Charge for an ``init``; give it back when the body fails, even when cancelled."""
        try:
            charge = await self._accounts.charge(account.id, INIT_COST, kind=Kind.INIT, idempotency_key=key)
            yield charge.remaining
        except InsufficientCreditsError:
            raise
        except BaseException:
            await asyncio.shield(self._accounts.refund(account.id, key))
            raise

    async def _start(self, account: Account, room_id: str, space: str, limits: Limits | None) -> Room:
        spec = SandboxSpec(id=room_id, limits=limits or self._settings.limits, read_only=self._read_only)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                sandbox = await self._starter.start(spec)
        except TimeoutError:
            raise SandboxUnavailableError(f"No sandbox was ready within {START_TIMEOUT_S:g} s.") from None
        room_log = Log(
            self._directory / sandbox.spec.id,
            memory_bytes=self._settings.log_memory_bytes,
            disk_bytes=self._settings.log_disk_bytes,
        )
        charger = _AccountCharger(self._accounts, account)
        room = Room(sandbox, room_log, space=space, charger=charger, clock=self._clock)
        self._rooms[room.id] = room
        self._watchers[room.id] = asyncio.create_task(self._watch(room), name=f"watch of {room.id}")
        return room

    def redeem(self, key: str) -> tuple[Room, JoinKey]:
        """Find the open room that a join key belongs to.

        Raises:
            UnknownKeyError: none.
        """
        now = self._clock()
        for room in self._rooms.values():
            try:
                return room, room.keys.redeem(key, now)
            except UnknownKeyError:
                continue
        raise UnknownKeyError

    # Ending.

    async def _watch(self, room: Room) -> None:
        """End the room when its sandbox dies or its life is over; then forget it."""
        life_s = room.sandbox.spec.limits.wall_s or self._settings.life_s
        gone = asyncio.create_task(room.sandbox.wait_gone())
        ended = asyncio.create_task(room.ended.wait())
        try:
            done, _ = await asyncio.wait({gone, ended}, timeout=life_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await self._end_of_life(room)
            elif gone in done and not room.ended.is_set():
                await room.aclose(room.end_reason or gone.result())
            else:
                await room.ended.wait()
        finally:
            for task in (gone, ended):
                task.cancel()
            self._rooms.pop(room.id, None)
            self._watchers.pop(room.id, None)
            self._warned.pop(room.id, None)
        if self._on_end is not None:
            self._on_end(room)
        await self._retire(room)

    async def _end_of_life(self, room: Room) -> None:
        room.sandbox.breached(Breach.TIME, "the room's life time is over")
        await room.aclose("time")

    async def _retire(self, room: Room) -> None:
        """Let those who still read the log come to its end, then remove it."""
        await room.log.aclose(delete=True)

    async def _look_for_idle(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            idle_s = self._settings.idle_s
            if idle_s is None:
                continue
            for room in list(self._rooms.values()):
                self._consider(room, idle_s)

    def _consider(self, room: Room, idle_s: float) -> None:
        """Count down in the log, then end the room; any sign of life starts anew."""
        left_s = room.last_active_s + idle_s - time.monotonic()
        if room.is_busy or room.end_reason is not None or left_s > COUNTDOWN_STEPS_S[0]:
            if self._warned.pop(room.id, None) is not None:
                room.log.append(IdleCountdown(seconds=None, at=self._clock()))
            if room.is_busy:
                room.touch()
            return
        if left_s <= 0:
            room.begin_close("idle")
            return
        step = min(step for step in COUNTDOWN_STEPS_S if step >= left_s)
        if self._warned.get(room.id) != step:
            self._warned[room.id] = step
            room.log.append(IdleCountdown(seconds=round(left_s, 1), at=self._clock()))

    async def aclose(self) -> None:
        """End all rooms; idempotent."""
        if self._idle_task is not None:
            self._idle_task.cancel()
            await asyncio.gather(self._idle_task, return_exceptions=True)
            self._idle_task = None
        watchers = list(self._watchers.values())
        await asyncio.gather(*(room.aclose("gateway stopped") for room in self), return_exceptions=True)
        await asyncio.gather(*watchers, return_exceptions=True)


@dataclass(frozen=True)
class _AccountCharger:
    """Charges shell lines to the account that opened the room."""

    accounts: AccountManager
    account: Account

    async def charge(self, command: str, key: str) -> int:
        cost = cost_of(command)
        if cost:
            await self.accounts.charge(self.account.id, cost, kind=Kind.SHELL, idempotency_key=key)
        return cost

    async def refund(self, key: str) -> None:
        await self.accounts.refund(self.account.id, key)
