"""A room: one sandbox, its members, its runs, its files and its log."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

from embedenv_jupyter.errors import InsufficientCreditsError, RoomClosedError, SandboxError
from embedenv_jupyter.rooms import curl
from embedenv_jupyter.rooms.cells import cell_command
from embedenv_jupyter.rooms.events import (
    LimitBreached,
    MemberJoined,
    MemberLeft,
    PortOpened,
    PostMortem,
    RunStarted,
)
from embedenv_jupyter.rooms.files import Files
from embedenv_jupyter.rooms.folder_watch import FolderWatch
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import JoinKey, Keyring, Member, Members, Role
from embedenv_jupyter.rooms.ports import PortWatch
from embedenv_jupyter.rooms.runs import Run, RunState
from embedenv_jupyter.rooms.shared_documents import SharedDocuments
from embedenv_jupyter.rooms.uploads import Uploads
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Breach

log = logging.getLogger(__name__)

CLOSE_RUNS_S = 10.0
DRAIN_RUNS_S = 5.0
SHELL = "bash"
"""Runs the lines of the Spaces protocol; found on the room's own PATH."""


class Charger(Protocol):
    """Takes what a room's shell lines cost from the account that opened it."""

    async def charge(self, command: str, key: str) -> int:
        """Take the cost of a command once for each ``key``, and return it.

        Raises:
            InsufficientCreditsError: and nothing was taken.
        """

    async def refund(self, key: str) -> None:
        """Give back what was taken under ``key``, which may be nothing; once, however often it is called."""


class Room:
    """The shared unit. Made by the :class:`~embedenv_jupyter.rooms.manager.RoomManager`."""

    def __init__(
        self,
        sandbox: Sandbox,
        room_log: Log,
        *,
        space: str,
        charger: Charger,
        clock: Callable[[], float],
        account: int = 0,
    ) -> None:
        self.id = sandbox.spec.id
        self.account = account
        """Who opened it, and pays."""
        self.name = ""
        """What people call it; the id where it has none."""
        self.space = space
        self.sandbox = sandbox
        self.log = room_log
        self.files = Files(sandbox, room_log)
        self.uploads = Uploads(self.files)
        self.documents = SharedDocuments(self.files)
        self.folders = FolderWatch(self.files)
        self.members = Members()
        self.keys = Keyring()
        self.host_key: JoinKey = self.keys.issue(Role.EDIT)
        self.created_at = clock()
        self.ended = asyncio.Event()
        self.end_reason: str | None = None
        self.last_active_s = time.monotonic()
        self._charger = charger
        self._clock = clock
        self._runs: dict[str, Run] = {}
        self._next_run = 1
        self._foreground: Run | None = None
        self._works: set[str] = set()
        self._before_close: list[Callable[[], Awaitable[None]]] = [self._close_files]
        self._starting = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._ports = PortWatch(sandbox.ports, self._port_opened)
        self._unsubscribe = sandbox.subscribe(self._breached)

    # Members.

    def admit(self, user: str, colour: str, role: Role, token: str | None = None) -> Member:
        """Let somebody in, or back in."""
        self._require_open()
        member = self.members.admit(user, colour, role, token)
        if member.connections == 1:
            self.log.append(
                MemberJoined(
                    member=member.id, user=member.user, colour=member.colour, role=member.role.word,
                    at=self._clock(),
                )
            )  # fmt: skip
        self.touch()
        return member

    def revoke(self, key: str) -> None:
        """Let nobody in with a join key any more, and put out who came in with it. Idempotent."""
        self.keys.revoke(key)
        for member in self.members.with_key(key):
            self.members.forget(member)
            for put_out in list(member.put_out):
                put_out()

    def leave(self, member: Member) -> None:
        """Note that one connection of a member is gone."""
        if self.members.leave(member) and not self.ended.is_set():
            self.log.append(MemberLeft(member=member.id, user=member.user, at=self._clock()))
        self.touch()

    def touch(self) -> None:
        """Start the idle time anew; what :meth:`keep` put off stays put off."""
        self.last_active_s = max(self.last_active_s, time.monotonic())

    def keep(self, seconds: float) -> None:
        """Put the idle stop off: the idle time begins ``seconds`` from now."""
        self.last_active_s = max(self.last_active_s, time.monotonic() + seconds)

    @property
    def running(self) -> int:
        """How many runs have not ended, background work included."""
        return len(self._runs)

    @property
    def is_busy(self) -> bool:
        """True while somebody is here or something runs, background work and cells included."""
        return bool(self.members.present or self._runs or self._works)

    @property
    def is_working(self) -> bool:
        """True while something runs here, whoever is here."""
        return bool(self._runs or self._works)

    def work_began(self, id: str) -> None:
        """Note that something runs that is no shell line: the room is busy until :meth:`work_ended`."""
        self._works.add(id)
        self.touch()

    def work_ended(self, id: str) -> None:
        """Note the end of what :meth:`work_began` told of; idempotent."""
        self._works.discard(id)
        self.touch()

    # Runs.

    @property
    def foreground(self) -> Run | None:
        """The run that gets the members' input now."""
        run = self._foreground
        return run if run is not None and run.state is RunState.RUNNING else None

    async def shell(self, member: Member, command: str) -> Run:
        """Give a running program a line, or start a new shell line.

        A line that comes while another one is being started waits for that.
        """
        member.require(Role.RUN, "run commands")
        async with self._starting:
            self._require_open()
            run = self.foreground
            if run is None:
                return await self._start(member, command)
            run.send_line(command)
        return run

    def find_run(self, id: str) -> Run | None:
        """Return a run that has not ended, background work included."""
        return self._runs.get(id)

    async def _start(self, member: Member, command: str) -> Run:
        number = self._next_run
        self._next_run += 1  # also where the start fails: what is charged under a key is charged once
        cost, process = await self._paid_shell(command, f"run:{self.id}:{number}")
        self.log.append(
            RunStarted(
                run=f"r{number}", command=command, user=member.user, member=member.id, at=self._clock()
            )
        )
        run = Run(number, command, member, process, self.log, cost=cost, on_change=self._run_changed)
        self._runs[run.id] = self._foreground = run
        self._ports.runs_changed(len(self._runs))
        self.touch()
        return run

    async def _paid_shell(self, command: str, key: str) -> tuple[int, Process]:
        """Charge for a shell line and start it; give the cost back when that fails, even when cancelled."""
        try:
            cost = await self._charger.charge(command, key)
            process = await self.sandbox.spawn_pty([SHELL, "-c", command], echo=False, cooked=False)
        except InsufficientCreditsError:
            raise
        except BaseException:
            # Also after a charge without an answer: it may have been written all the same.
            await asyncio.shield(self._charger.refund(key))
            raise
        return cost, process

    def _run_changed(self, run: Run) -> None:
        self.touch()
        if run.state is RunState.ENDED:
            self._runs.pop(run.id, None)
        self._ports.runs_changed(len(self._runs))

    async def interrupt(self, member: Member) -> bool:
        """Press Ctrl+C; false when nothing runs in the foreground."""
        member.require(Role.RUN, "interrupt programs")
        run = self.foreground
        if run is None:
            return False
        await run.interrupt()
        return True

    # Ports.

    async def curl(
        self, member: Member, *, method: str, port: int, target: str, headers: dict[str, str], body: bytes
    ) -> AsyncGenerator[curl.Response | bytes, None]:
        """Send one HTTP request to a port of this room."""
        member.require(Role.RUN, "send requests to programs")
        self._require_open()
        pieces = curl.fetch(self.sandbox, method=method, port=port, target=target, headers=headers, body=body)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    def _port_opened(self, port: int) -> None:
        self.log.append(PortOpened(port=port, at=self._clock()))

    # Cells.

    async def charge_cell(self, code: str, run: str) -> int:
        """Take what a cell costs, once for each ``run``, and return it.

        Raises:
            InsufficientCreditsError: and nothing was taken.
        """
        return await self.charge_command(cell_command(code), run)

    async def charge_command(self, command: str, run: str) -> int:
        """Take what a cell costs that runs shell lines; raises what :meth:`charge_cell` raises."""
        return await self._charger.charge(command, f"cell:{self.id}:{run}")

    async def refund_cell(self, run: str) -> None:
        """Give back what a cell cost that was not run after all."""
        await self._charger.refund(f"cell:{self.id}:{run}")

    # The end.

    def before_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have something closed that needs the sandbox, before the sandbox is."""
        self._before_close.append(close)

    async def _close_files(self) -> None:
        await self.folders.aclose()
        await self.documents.aclose(f"the room has ended: {self.end_reason}")

    def _require_open(self) -> None:
        if self.end_reason is not None:
            raise RoomClosedError(self.end_reason)

    def _breached(self, breach: Breach, detail: str) -> None:
        self.log.append(LimitBreached(breach=breach.value, detail=detail, at=self._clock()))

    def begin_close(self, reason: str) -> asyncio.Task[None]:
        """Begin to end the room: stop its runs, end its sandbox, write the post-mortem. Idempotent."""
        if self._closing is None:
            self.end_reason = reason
            self._closing = asyncio.create_task(self._close(reason), name=f"close of room {self.id}")
        return self._closing

    async def aclose(self, reason: str) -> None:
        """End the room and wait for it; idempotent, and finished even when the caller is cancelled."""
        await asyncio.shield(self.begin_close(reason))

    async def _close(self, reason: str) -> None:
        try:
            for close in self._before_close:
                try:
                    await close()
                except Exception:
                    log.exception("room %s ends with something in it that did not close", self.id)
            await self._close_sandbox(reason)
        finally:  # whatever failed: nobody may wait forever for this end
            self.log.finish()
            self.ended.set()

    async def _close_sandbox(self, reason: str) -> None:
        """Stop the runs, end the sandbox, write the post-mortem."""
        await self._ports.aclose()
        if self.sandbox.is_alive:
            await self._stop_runs(reason)
        usage = self.sandbox.keeper.counters()
        died = self.sandbox.cause
        self._unsubscribe()
        await self.sandbox.aclose(reason)
        await self._end_runs()
        self.log.append(
            PostMortem(
                reason=reason,
                cause=died,
                breaches=tuple(sorted(breach.value for breach in self.sandbox.breaches)),
                peak_memory_bytes=usage.memory_peak_bytes,
                cpu_s=usage.cpu_s,
                duration_s=round(self._clock() - self.created_at, 3),
                at=self._clock(),
            )
        )

    async def _stop_runs(self, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_RUNS_S):
                await asyncio.gather(*(run.stop(reason) for run in list(self._runs.values())))
                await self.sandbox.reset()
        except (TimeoutError, SandboxError) as exc:
            log.warning("room %s did not stop its runs cleanly: %s", self.id, exc)

    async def _end_runs(self) -> None:
        """Let the pumps read what is left, then end them."""
        runs = list(self._runs.values())
        try:
            async with asyncio.timeout(DRAIN_RUNS_S):
                await asyncio.gather(*(run.ended.wait() for run in runs))
        except TimeoutError:
            log.warning("room %s: %d runs were cut while their output was read", self.id, len(runs))
        await asyncio.gather(*(run.aclose() for run in runs))


def new_room_id() -> str:
    """Make the id of a new room: short, unguessable enough to be a file name, not a secret."""
    return secrets.token_hex(8)
