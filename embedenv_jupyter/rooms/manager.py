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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from embedenv_jupyter.accounts import INIT_COST, Account, AccountManager, Kind
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import (
    BusyError,
    InsufficientCreditsError,
    SandboxRequestError,
    SandboxUnavailableError,
    UnknownKeyError,
    WorkspaceError,
)
from embedenv_jupyter.rooms.charging import AccountCharger
from embedenv_jupyter.rooms.copying import copy_workspace
from embedenv_jupyter.rooms.endings import Endings
from embedenv_jupyter.rooms.idle import IdleWatch
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import JoinKey
from embedenv_jupyter.rooms.room import Room, new_room_id
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Breach, Limits, SandboxSpec

log = logging.getLogger(__name__)

STOPPING = "This gateway is stopping; no room is opened any more."
START_TIMEOUT_S = 60.0
GIVE_UP_S = 10.0
"""How long the end of the gateway waits for starts that it has cancelled to give their credits back."""


class Starter(Protocol):
    """Where sandboxes come from: a tier, or a pool in front of one."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one sandbox."""


@dataclass(frozen=True)
class RoomSettings:
    """What the operator decides about rooms. Times in seconds, sizes in bytes."""

    limits: Limits = field(default_factory=Limits)
    network: bool = False
    """Whether rooms reach what this machine reaches; else only their own loopback."""
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
    account: Account
    charge_key: str
    """What the charge of its ``init`` is known by."""
    left_out: tuple[str, ...] = ()
    """Of a copy of another room: a line about each file that could not be read."""


class RoomManager:
    """Owns the rooms of one gateway."""

    def __init__(
        self,
        starter: Starter,
        accounts: AccountManager,
        directory: Path,
        settings: RoomSettings,
        *,
        warm_starter: Starter | None = None,
        read_only: tuple[str, ...] = (),
        clock: Callable[[], float] = time.time,
        on_end: Callable[[Room], None] | None = None,
    ) -> None:
        self._starter = starter
        self._warm_starter = warm_starter or starter
        self._accounts = accounts
        self._directory = directory
        self._settings = settings
        self._read_only = read_only
        self._clock = clock
        self._on_end = on_end
        self._rooms: dict[str, Room] = {}
        self.endings = Endings()
        self._listeners: list[Callable[[Room], None]] = []
        self._change_listeners: list[Callable[[Room], None]] = []
        self._opening: set[asyncio.Future[None]] = set()
        self._starts: set[asyncio.Task[Sandbox]] = set()
        self._is_closed = False
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self.idle = IdleWatch(lambda: self, settings.idle_s, clock)

    def start(self) -> None:
        """Begin to look for idle rooms; the loop must run."""
        self.idle.start()

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def limits(self) -> Limits:
        """What a room may use at most, if nothing less is asked for."""
        return self._settings.limits

    @property
    def network(self) -> bool:
        """Whether rooms may reach what this machine reaches."""
        return self._settings.network

    def subscribe(self, callback: Callable[[Room], None]) -> None:
        """Call back with each room that was opened, got a name, or has ended (it has an ``end_reason``)."""
        self._listeners.append(callback)
        for room in self:
            callback(room)

    def rename(self, room: Room, name: str) -> None:
        """Give a room the name that people call it by."""
        room.name = name
        self._tell(room)

    def _tell(self, room: Room) -> None:
        for callback in self._listeners:
            callback(room)
        self._changed(room)

    def on_change(self, callback: Callable[[Room], None]) -> Callable[[], None]:
        """Call back with each room that looks different now, has begun or ended; returns what ends that."""
        self._change_listeners.append(callback)
        return lambda: self._change_listeners.remove(callback) if callback in self._change_listeners else None

    def _changed(self, room: Room) -> None:
        for callback in list(self._change_listeners):
            callback(room)

    def find(self, room_id: str) -> Room | None:
        """Return the open room with this id."""
        return self._rooms.get(room_id)

    # Opening and finding.

    async def open(
        self,
        account: Account,
        *,
        space: str,
        limits: Limits | None = None,
        network: bool | None = None,
        warm: bool = False,
        cost: int = INIT_COST,
        is_listed: bool = True,
    ) -> Opened:
        """Charge the account and open a room; in a ``warm`` one a kernel stands ready, where one can be had.

        ``limits`` and ``network`` are what the operator gives rooms, where nothing else is said.
        ``cost`` is in credits; 0 for a room whose runs are paid for one by one. One that is not ``is_listed``
        serves a program's runs, and is in no list that people look at.

        Raises:
            InsufficientCreditsError: nothing was started.
            BusyError: the gateway holds as many rooms as it may.
            SandboxError: the start failed, or the gateway is stopping; the credit was given back.
        """
        if len(self._rooms) + len(self._opening) >= self._settings.max_rooms:
            raise BusyError(f"This gateway holds {self._settings.max_rooms} rooms already; try again later.")
        room_id = new_room_id()
        charge_key = f"init:{room_id}"
        opening = asyncio.get_running_loop().create_future()
        self._opening.add(opening)
        try:
            async with self._paid(account, charge_key, cost) as remaining:
                spec = SandboxSpec(
                    id=room_id, limits=limits or self._settings.limits, read_only=self._read_only,
                    network=self._settings.network if network is None else network,
                )  # fmt: skip
                room = await self._start(account, spec, space, warm=warm, is_listed=is_listed)
        finally:
            self._opening.discard(opening)
            opening.set_result(None)
        return Opened(room, room.people.host_key.key, remaining, account, charge_key)

    @asynccontextmanager
    async def _paid(self, account: Account, key: str, cost: int) -> AsyncIterator[int | None]:
        """Charge for an ``init``; give it back when the body fails, even when cancelled."""
        try:
            charge = await self._accounts.charge(account.id, cost, kind=Kind.INIT, idempotency_key=key)
            yield charge.remaining
        except InsufficientCreditsError:
            raise
        except BaseException:
            await asyncio.shield(self._accounts.refund(account.id, key))
            raise

    async def _start(
        self, account: Account, spec: SandboxSpec, space: str, *, warm: bool, is_listed: bool
    ) -> Room:
        sandbox = await self._sandbox(spec, self._warm_starter if warm else self._starter)
        room_log = Log(
            self._directory / sandbox.spec.id,
            memory_bytes=self._settings.log_memory_bytes,
            disk_bytes=self._settings.log_disk_bytes,
        )
        charger = AccountCharger(self._accounts, account)
        room = Room(
            sandbox, room_log, space=space, charger=charger, clock=self._clock, account=account.id,
            on_change=self._changed,
        )  # fmt: skip
        room.is_listed = is_listed
        self._rooms[room.id] = room
        self._watchers[room.id] = asyncio.create_task(self._watch(room), name=f"watch of {room.id}")
        self._tell(room)
        return room

    async def _sandbox(self, spec: SandboxSpec, starter: Starter) -> Sandbox:
        """Start a sandbox in a task of its own, which :meth:`aclose` can cancel without the caller's."""
        if self._is_closed:
            raise SandboxUnavailableError(STOPPING)
        start = asyncio.create_task(starter.start(spec), name=f"start of {spec.id}")
        self._starts.add(start)
        try:
            async with deadline(START_TIMEOUT_S):
                sandbox = await start
        except TimeoutError:
            raise SandboxUnavailableError(f"No sandbox was ready within {START_TIMEOUT_S:g} s.") from None
        except asyncio.CancelledError:
            if self._is_closed and not _is_cancelled():
                raise SandboxUnavailableError(STOPPING) from None
            raise
        finally:
            self._starts.discard(start)
        if self._is_closed:
            await sandbox.aclose("gateway stopped")
            raise SandboxUnavailableError(STOPPING)
        return sandbox

    async def fork(self, account: Account, source: Room, limits: Limits | None = None) -> Opened:
        """Open a room with a copy of another one's files, and with its limits if no others are given.

        Raises:
            RoomPausedError: the other one stands still.
            WorkspaceError: the files do not fit. Nothing was charged.
            SandboxError: one of the two has ended, or there is no sandbox. Nothing was charged.
            BusyError, InsufficientCreditsError: as of :meth:`open`.
        """
        source.require_awake()
        source.touch()
        spec = source.sandbox.spec
        opened = await self.open(
            account, space=source.space, limits=limits or spec.limits, network=spec.network
        )
        try:
            left_out = await copy_workspace(source.sandbox, opened.room.sandbox)
        except BaseException as exc:
            await asyncio.shield(self.call_off(opened))
            if isinstance(exc, SandboxRequestError):
                raise WorkspaceError("the files of the room", exc.detail or str(exc)) from exc
            raise
        return replace(opened, left_out=left_out)

    async def restart(self, account: Account, room: Room, limits: Limits | None = None) -> Opened:
        """Do :meth:`fork`, and end the room; its name and its join keys are the new one's."""
        opened = await self.fork(account, room, limits)
        opened.room.take_over(room)
        self._tell(opened.room)
        room.begin_close("restarted")
        return replace(opened, join_key=opened.room.people.host_key.key)

    def redeem(self, key: str) -> tuple[Room, JoinKey]:
        """Find the open room that a join key belongs to.

        Raises:
            UnknownKeyError: none.
        """
        now = self._clock()
        for room in self._rooms.values():
            try:
                return room, room.people.keys.redeem(key, now)
            except UnknownKeyError:
                continue
        raise UnknownKeyError

    # Ending.

    async def call_off(self, opened: Opened) -> None:
        """End a room of which its host never heard, and give its credit back; idempotent."""
        opened.room.begin_close("called off")
        await self._accounts.refund(opened.account.id, opened.charge_key)

    async def _watch(self, room: Room) -> None:
        """End the room when its sandbox dies or its life is over; then forget it."""
        try:
            await self._until_ended(room)
        except Exception:
            log.exception("room %s did not end cleanly", room.id)
        finally:
            self._rooms.pop(room.id, None)
            self.idle.forget(room)
            if room.is_listed:
                self.endings.add(room)
        try:
            if self._on_end is not None:
                self._on_end(room)
            self._tell(room)
            await self._retire(room)
        finally:
            self._watchers.pop(room.id, None)

    async def _until_ended(self, room: Room) -> None:
        life_s = room.sandbox.spec.limits.wall_s or self._settings.life_s
        gone = asyncio.create_task(room.sandbox.wait_gone())
        ended = asyncio.create_task(room.ended.wait())
        try:
            done, _ = await asyncio.wait({gone, ended}, timeout=life_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await self._end_of_life(room)
            else:
                await room.aclose(room.end_reason or gone.result())
        finally:
            for task in (gone, ended):
                task.cancel()

    async def _end_of_life(self, room: Room) -> None:
        room.sandbox.breached(Breach.TIME, "the room's life time is over")
        await room.aclose("time")

    async def _retire(self, room: Room) -> None:
        """Let those who still read the log come to its end, then remove it."""
        await room.log.aclose(delete=True)

    async def aclose(self) -> None:
        """End all rooms and the starts of more; idempotent."""
        self._is_closed = True
        await self.idle.aclose()
        for start in self._starts:
            start.cancel()
        if self._opening:
            await asyncio.wait(self._opening, timeout=GIVE_UP_S)
        watchers = list(self._watchers.values())
        await asyncio.gather(*(room.aclose("gateway stopped") for room in self), return_exceptions=True)
        await asyncio.gather(*watchers, return_exceptions=True)


def _is_cancelled() -> bool:
    """Tell whether somebody wants the current task to end, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
