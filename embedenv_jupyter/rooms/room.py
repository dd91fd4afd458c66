"""A room: one sandbox, its members, its runs, its files and its log."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing

from embedenv_jupyter.errors import InsufficientCreditsError, RoomClosedError, RoomPausedError
from embedenv_jupyter.rooms import curl
from embedenv_jupyter.rooms.audience import Audience
from embedenv_jupyter.rooms.cells import cell_command
from embedenv_jupyter.rooms.charging import Charger
from embedenv_jupyter.rooms.closing import end_runs, stop_runs, write_post_mortem
from embedenv_jupyter.rooms.events import (
    LimitBreached,
    PortOpened,
    PostMortem,
    RunStarted,
)
from embedenv_jupyter.rooms.files import Files
from embedenv_jupyter.rooms.folder_watch import FolderWatch
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.notebooks import Notebooks
from embedenv_jupyter.rooms.pause import Pause
from embedenv_jupyter.rooms.people import People
from embedenv_jupyter.rooms.ports import PortWatch
from embedenv_jupyter.rooms.runs import Run, RunState
from embedenv_jupyter.rooms.shared_documents import SharedDocuments
from embedenv_jupyter.rooms.uploads import Uploads
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import Breach

log = logging.getLogger(__name__)

SHELL = "bash"
"""Runs the lines of the Spaces protocol; found on the room's own PATH."""


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
        on_change: Callable[[Room], None] = lambda _: None,
    ) -> None:
        self.id = sandbox.spec.id
        self.account = account
        """Who opened it, and pays."""
        self.name = ""
        """What people call it; the id where it has none."""
        self.is_listed = True
        """Whether people who look at their rooms see this one."""
        self.space = space
        self.sandbox = sandbox
        self.log = room_log
        self.files = Files(sandbox, room_log)
        self.notebooks = Notebooks()
        self.uploads = Uploads(self.files)
        self.documents = SharedDocuments(self.files)
        self.folders = FolderWatch(self.files)
        self.people = People(
            room_log, clock, require_open=self._require_open, touch=self.touch, changed=self.changed
        )
        self.members = self.people.members
        self.audience = Audience(sandbox)
        self.terminals: Collection[str] = ()
        """What its terminals are called; whoever manages them sets it, and tells :meth:`changed`."""
        self.post_mortem: PostMortem | None = None
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
        self._running: dict[str, RunStarted] = {}
        self._on_change = on_change
        self._before_close: list[Callable[[], Awaitable[None]]] = [self._close_files]
        self._starting = asyncio.Lock()
        self._pause = Pause(sandbox)
        self._closing: asyncio.Task[None] | None = None
        self._ports = PortWatch(sandbox.ports, self._port_opened, self.changed)
        self._unsubscribe = sandbox.subscribe(self._breached)

    def changed(self) -> None:
        """Tell who shows this room that it looks different now."""
        self._on_change(self)

    def take_over(self, other: Room) -> None:
        """Be what another room was to its people: its name and its keys, which open the other one no more."""
        self.name = other.name
        self.people.take_keys(other.people)

    # Use.

    def touch(self) -> None:
        """Start the idle time anew; what :meth:`keep` put off stays put off."""
        self.last_active_s = max(self.last_active_s, time.monotonic())

    def keep(self, seconds: float) -> None:
        """Put the idle stop off: the idle time begins ``seconds`` from now."""
        self.last_active_s = max(self.last_active_s, time.monotonic() + seconds)
        self.changed()

    @property
    def running(self) -> int:
        """How many runs have not ended, background work included."""
        return len(self._runs)

    @property
    def started(self) -> list[RunStarted]:
        """The shell lines and cells whose end is not in the log yet, the oldest first."""
        return list(self._running.values())

    @property
    def is_busy(self) -> bool:
        """True while somebody is here or something runs, background work and cells included."""
        return bool(self.members.is_anybody_here or self._runs or self._works)

    @property
    def is_working(self) -> bool:
        """True while something runs here, whoever is here."""
        return bool(self._runs or self._works)

    def work_began(self, id: str, started: RunStarted | None = None) -> None:
        """Note that something runs that is no shell line: the room is busy until :meth:`work_ended`.

        With ``started`` its beginning is told in the log.
        """
        self._works.add(id)
        if started is not None:
            self._tell_start(started)
        self._look_for_ports()
        self.touch()
        self.changed()

    def work_ended(self, id: str) -> None:
        """Note the end of what :meth:`work_began` told of; idempotent."""
        self._works.discard(id)
        self._running.pop(id, None)
        self._look_for_ports()
        self.touch()
        self.changed()

    def _tell_start(self, started: RunStarted) -> None:
        self.log.append(started)
        self._running[started.run] = started

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
            self.require_awake()
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
        self._tell_start(
            RunStarted(
                run=f"r{number}", command=command, user=member.user, member=member.id, at=self._clock()
            )
        )
        run = Run(number, command, member, process, self.log, cost=cost, on_change=self._run_changed)
        self._runs[run.id] = self._foreground = run
        self._look_for_ports()
        self.touch()
        self.changed()
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
        if run.ended.is_set():
            self._running.pop(run.id, None)
        if run.state is RunState.ENDED:
            self._runs.pop(run.id, None)
        self._look_for_ports()
        self.changed()

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
        self.require_awake()
        pieces = curl.fetch(self.sandbox, method=method, port=port, target=target, headers=headers, body=body)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    @property
    def ports(self) -> list[int]:
        """The ports that programs listen on, as was last seen: nobody looks while nothing runs."""
        return self._ports.known

    def _look_for_ports(self) -> None:
        self._ports.runs_changed(len(self._runs) + len(self._works))

    def _port_opened(self, port: int) -> None:
        self.log.append(PortOpened(port=port, at=self._clock()))

    # Pausing.

    @property
    def is_paused(self) -> bool:
        """True while the clock of all programs stands still."""
        return self._pause.is_on

    async def pause(self) -> None:
        """Stop the clock of all programs; idempotent.

        Raises:
            RoomClosedError: the room has ended.
            SandboxError: it did not work.
        """
        self._require_open()
        await self._pause.on()
        self.changed()

    async def resume(self) -> None:
        """Undo :meth:`pause`; idempotent, raises the same."""
        self._require_open()
        await self._pause.off()
        self._look_for_ports()
        self.touch()
        self.changed()

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

    def lends(self) -> bool:
        """Tell whether the next cell may begin while it is charged; see :meth:`.charging.Charger.lends`."""
        return self._charger.lends()

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

    def require_awake(self) -> None:
        """Refuse what a room that has ended or is paused cannot do.

        Raises:
            RoomClosedError: it has ended.
            RoomPausedError: it stands still.
        """
        self._require_open()
        if self.is_paused:
            raise RoomPausedError

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
            await self._pause.lift()
            for close in self._before_close:
                try:
                    await close()
                except Exception:
                    log.exception("room %s ends with something in it that did not close", self.id)
            await self._close_sandbox(reason)
        finally:  # whatever failed: nobody may wait forever for this end
            self.log.finish()
            await self.audience.aclose()
            self.ended.set()

    async def _close_sandbox(self, reason: str) -> None:
        """Stop the runs, end the sandbox, write the post-mortem."""
        await self._ports.aclose()
        if self.sandbox.is_alive:
            await stop_runs(self.sandbox, list(self._runs.values()), reason)
        usage = self.sandbox.keeper.counters()
        died = self.sandbox.cause
        self._unsubscribe()
        await self.sandbox.aclose(reason)
        await end_runs(self.id, list(self._runs.values()))
        duration_s = round(self._clock() - self.created_at, 3)
        self.post_mortem = write_post_mortem(
            self.sandbox, usage, reason=reason, cause=died, duration_s=duration_s, at=self._clock()
        )
        self.log.append(self.post_mortem)


def new_room_id() -> str:
    """Make the id of a new room: short, unguessable enough to be a file name, not a secret."""
    return secrets.token_hex(8)
