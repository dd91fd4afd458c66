"""A kernel of a room: one process after another, one log, and the clients that share it.

Theory of operation. What the kernel says goes into one log, in the order in which
it came: what it tells everybody (iopub), and what it answers one client (shell,
control, stdin), which only that one reads. Each client reads the log at its own
pace and may come back to the number that it has. Whoever reads the kernel's
sockets waits for the log, the kernel waits for its reader, and so a flood is
paced, not cut.

States: ``starting`` → ``idle`` ⇄ ``busy`` → ``restarting`` → ``starting`` … → ``dead``.
A process that ends without being asked is replaced, up to ``MAX_DEATHS`` times in
a row; the cells that it had are answered with an error that says what it died of.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from embedenv_jupyter.errors import (
    AccountError,
    BusyError,
    EmbedEnvError,
    RemoteProtocolError,
    RoleError,
    UnknownKernelError,
)
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.authors import Author
from embedenv_jupyter.kernels.cell_runs import CellRuns
from embedenv_jupyter.kernels.executions import Executions
from embedenv_jupyter.kernels.hearing import Hearing
from embedenv_jupyter.kernels.magics.queue import CellQueue
from embedenv_jupyter.kernels.magics.surroundings import Surroundings
from embedenv_jupyter.kernels.magics.turn import Cell
from embedenv_jupyter.kernels.places import Places
from embedenv_jupyter.kernels.process import Death, KernelProcess
from embedenv_jupyter.kernels.processes import KernelProcesses
from embedenv_jupyter.kernels.prompts import NO_RUN, Prompts
from embedenv_jupyter.kernels.session import Batches, KernelSession
from embedenv_jupyter.kernels.stand_in import StandIn
from embedenv_jupyter.protocols.kernels import Message
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.room import Room

log = logging.getLogger(__name__)

MAX_DEATHS: Final = 5
"""A kernel that dies so often before it has run one cell to its end stays dead."""

_FOR_ALL: Final = frozenset({"kernel_info_request"})
"""What a member who may only look on can ask of a kernel: nothing of it runs code."""

ABORTED: Final = "aborted"
"""The status of a cell that the kernel dropped because one before it failed."""

_RUN_STATES: Final = frozenset(("busy", "idle", "starting"))


class Kernel:
    """Made and ended by the :class:`~embedenv_jupyter.kernels.manager.RoomKernels` of its room."""

    def __init__(
        self,
        id: str,
        name: str,
        room: Room,
        kernel_log: Log,
        *,
        surroundings: Surroundings,
        on_change: Callable[[Kernel], None],
    ) -> None:
        self.id = id
        self.name = name
        self.room = room
        self.log = kernel_log
        self.state = "starting"
        self.reason = ""
        self.last_activity = datetime.now(UTC)
        self.places = Places()
        self.executions = Executions()
        self.prompts = Prompts(room, id)
        self.runs = CellRuns(room, id)
        self.stand_in = StandIn(kernel_log, room.id)
        self.execution_count = 0
        """The number that the kernel gave to its newest cell."""
        self._cells = CellQueue(self, surroundings)
        self._on_change = on_change
        self._hearing = Hearing(id, told=self._told, paced=self._taken)
        self._processes = KernelProcesses(
            id, room.sandbox, self.places, self._hearing, on_reply=self.read_replies, on_end=self._ended
        )
        self._changing = asyncio.Lock()
        self._deaths = 0
        self._is_closed = False

    # Life.

    async def start(self, *, cwd: str | None, env: Mapping[str, str]) -> None:
        """Start the first process.

        Raises:
            SandboxError: it did not start; the text says why.
            UnknownKernelError: the kernel was shut down meanwhile.
        """
        self._processes.configure(cwd, env)
        async with self._changing:
            if self._is_closed:
                raise UnknownKernelError(self.id, ())
            await self._launch()

    async def _launch(self) -> None:
        self._set_state("starting")
        try:
            await self._processes.launch()
        except EmbedEnvError as exc:
            self._publish_state("dead", str(exc))
            raise
        if self.state == "starting":
            self._set_state("idle")

    async def _ended(self, process: KernelProcess) -> None:
        death = await process.death()
        async with self._changing:
            if self._processes.current is process and not self._is_closed:
                await self._died(death)

    async def _died(self, death: Death) -> None:
        """Answer what the process owed, then start another one."""
        log.info("kernel %s of room %s: %s", self.id, self.room.id, death.text)
        await self._processes.detach()
        await self._abandon(f"Kernel died ({death.cause})", death.text)
        self._cells.abort()
        self.execution_count = 0
        self._deaths += 1
        if self._deaths > MAX_DEATHS or not self.room.sandbox.is_alive:
            self._publish_state("dead", death.text)
            return
        self._publish_state("restarting", death.text)
        try:
            await self._launch()
        except EmbedEnvError as exc:
            log.warning("kernel %s of room %s was not started again: %s", self.id, self.room.id, exc)

    async def _abandon(self, name: str, text: str) -> None:
        """Answer the cells of a process that is gone, so that no client waits for ever."""
        self.prompts.withdraw(NO_RUN)
        for number, execution in enumerate(self.executions.take_all()):
            self.prompts.withdraw(execution.run)
            if not execution.is_running:
                self.runs.was_not_run(execution)
            if number == 0 and not execution.is_silent:
                self.stand_in.publish("error", messages.error_content(name, text), execution.header)
            self.stand_in.lost(execution, name, text)
            self.runs.end(execution, code=1, reason="died")
        await self.runs.give_back()

    @property
    def sessions(self) -> dict[str, KernelSession]:
        """The clients, by the session id that each chose."""
        return self.places.by_id

    @property
    def is_busy(self) -> bool:
        """True while a cell runs or waits."""
        return bool(self.executions) or self._cells.is_busy

    async def interrupt(self) -> None:
        """Interrupt the cell whose turn it is, wherever it runs."""
        if not await self._cells.interrupt():
            await self.interrupt_process()

    async def interrupt_process(self) -> None:
        """Send SIGINT to the kernel and what its cell has started."""
        await self._processes.interrupt()

    async def restart(self) -> None:
        """End the process and start another one; clients and the log stay.

        Raises:
            SandboxError: the new one did not start.
            UnknownKernelError: the kernel was shut down meanwhile.
        """
        async with self._changing:
            if self._is_closed:
                raise UnknownKernelError(self.id, ())
            name, text = "KernelRestarted", "The kernel was restarted."
            await self._cells.clear(name, text)
            await self._processes.end()
            self._deaths = self.execution_count = 0
            await self._abandon(name, text)
            self._publish_state("restarting", "")
            await self._launch()

    async def aclose(self) -> None:
        """End the process and the clients' places; idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        async with self._changing:
            reason = self.room.end_reason
            text = "The kernel was shut down." if reason is None else f"The room has ended: {reason}."
            await self._cells.clear("KernelEnded", text)
            await self._processes.end()
            await self._abandon("KernelEnded", text)
            self._publish_state("dead", "")
            await self.places.forget_all()
            await self._processes.aclose()
        await self._cells.aclose()
        self.log.finish()

    # Clients.

    async def join(self, id: str, member: Member, owner: str = "") -> KernelSession:
        """Return the place of the client with this id, a new one if it is new.

        Raises:
            BusyError: too many clients, or the place is somebody else's.
            UnknownKernelError: the kernel has ended.
        """
        session = self.sessions.get(id)
        if session is None:
            async with self._changing:
                session = self.sessions.get(id) or await self._seat(id, member, owner)
        if session.owner != owner:
            raise BusyError("This session id is in use by somebody else; choose another one.")
        session.member = member
        return session

    async def _seat(self, id: str, member: Member, owner: str) -> KernelSession:
        """Make a place for a new client."""
        if self._is_closed:
            raise UnknownKernelError(self.id, ())
        await self.places.make_room()
        session = KernelSession(id, member, owner)
        session.position = self.log.last
        await self._processes.connect(session)
        self.sessions[id] = session
        for parts in self.prompts.questions():
            self.stand_in.append("stdin", parts, to=id)
        return session

    # What clients ask.

    async def receive(self, session: KernelSession, message: Message, author: Author | None = None) -> None:
        """Do what one message of a client asks; waits while the kernel takes none.

        ``author`` is who sent it, where that is not the client's member.

        Raises:
            RemoteProtocolError: it is no Jupyter message.
        """
        header = messages.header_of(message)
        author = author or Author.of(session.member)
        self.room.touch()
        await self.settled()
        if author.role < Role.RUN and header.msg_type not in _FOR_ALL:
            self.stand_in.refuse(session, message, header, RoleError("use a kernel", "run", author.role.word))
            await self._paced()
            return
        match message.channel, header.msg_type:
            case "shell", "execute_request":
                request = messages.execute_request(message)
                await self._execute(Cell(session, message, header, request, author))
                await self._paced()
            case "stdin", "input_reply":
                if self.prompts.answered_by_message(messages.parent_id(message.parts), author.user):
                    await self._give_input(session, message)
            case "control", "interrupt_request" if await self._cells.interrupt():
                self.stand_in.reply(session, message, header, {"status": "ok"})
            case _ if await self._cells.pass_on(session, message, header):
                return
            case _:
                await self._pass_on(session, message, header)

    async def _pass_on(self, session: KernelSession, message: Message, header: messages.Header) -> None:
        """Give the kernel a message; where none runs any more, say so to who asked something."""
        try:
            await session.send(message.channel, message.parts)
        except RemoteProtocolError as exc:
            if header.msg_type.endswith("_request"):
                self.stand_in.refuse(session, message, header, exc)

    async def settled(self) -> None:
        """Wait while the process is being started again: what is sent meanwhile waits."""
        if self._processes.current is None:
            async with self._changing:
                pass

    async def _give_input(self, session: KernelSession, message: Message) -> None:
        if not await self._cells.give_input(message):
            await session.send("stdin", message.parts)

    async def _execute(self, cell: Cell) -> None:
        if self.executions.had(cell.session.id, cell.header.msg_id):
            if cell.session.is_visiting:  # the notebook that sent it waits for an answer
                error = BusyError("A cell with this id was run in this room before.")
                self.stand_in.refuse(cell.session, cell.message, cell.header, error)
            return
        if self.executions.find(cell.header.msg_id) is not None:
            error = BusyError("Another client's cell with this id waits for this kernel.")
            self.stand_in.refuse(cell.session, cell.message, cell.header, error)
        elif self.executions.is_full or self._cells.is_full:
            error = BusyError(
                f"{len(self.executions) + len(self._cells)} cells wait for this kernel already; "
                "wait for some of them."
            )
            self.stand_in.refuse(cell.session, cell.message, cell.header, error)
        else:
            self.executions.remember(cell.session.id, cell.header.msg_id)
            if not self._cells.takes(cell):
                await self.run_cell(cell)

    async def run_cell(self, cell: Cell) -> None:
        """Charge for a cell and give it to the kernel, or answer that it will not be run."""
        session, message = cell.session, cell.message
        execution = self.runs.of(cell)
        try:
            if not session.is_prepaid:
                await self.runs.charge(execution, cell.request.code)
        except AccountError as exc:
            self.stand_in.refuse(session, message, cell.header, exc)
            return
        self.executions.add(execution)
        self.runs.begin(execution, execution.code)
        try:
            await session.send("shell", message.parts)
        except RemoteProtocolError as exc:
            self.executions.take(execution.msg_id)
            self.runs.was_not_run(execution)
            await self.runs.give_back()
            self.stand_in.refuse(session, message, cell.header, exc)
            self.runs.end(execution, code=1, reason="refused")

    async def answer(self, prompt_id: str, value: str, by: str) -> None:
        """Answer a prompt in somebody's name, whoever's cell it is; the value is kept nowhere.

        Raises:
            BusyError: it waits for no answer any more.
            RemoteProtocolError: there is no kernel now.
        """
        asker = self.prompts.find(prompt_id).session
        # A kernel takes an answer from anybody: the place of the client that asked may be given up.
        session = self.sessions.get(asker) or next(iter(self.sessions.values()), None)
        if session is None:
            raise BusyError("This kernel has no client through which it could be answered; connect to it.")
        await self._give_input(session, self.prompts.answer(prompt_id, value, by))

    # What the kernel says.

    async def _paced(self) -> None:
        """Wait while the logs cannot take more."""
        await self.log.writable()
        await self.room.log.writable()

    async def _taken(self) -> None:
        """Wait until more of what the kernel says can be taken; give back what it did not run."""
        await self._paced()
        await self.runs.give_back()

    def _told(self, parts: tuple[bytes, ...]) -> None:
        """Take what the kernel tells everybody."""
        if b'"status"' in parts[0]:
            self._note_state(parts)
        self.stand_in.append("iopub", parts)

    def _note_state(self, parts: tuple[bytes, ...]) -> None:
        state = messages.state_of(parts)
        if state in _RUN_STATES and not self._cells.is_answering:
            self._set_state(state)
        if state == "busy" and (execution := self.executions.find(messages.parent_id(parts))) is not None:
            execution.begin()

    async def read_replies(
        self, session: KernelSession, process: KernelProcess, channel: str, batches: Batches
    ) -> None:
        """Carry what the kernel answers one client into the log."""
        await self._hearing.carry(process, batches, lambda parts: self._answered(session, channel, parts))

    def _answered(self, session: KernelSession, channel: str, parts: tuple[bytes, ...]) -> None:
        head = parts[0]
        if b'"execute_reply"' in head:
            parts = self._receipted(parts)
        elif channel == "stdin" and b'"input_request"' in head:
            execution = self.executions.find(messages.parent_id(parts))
            self.prompts.ask(parts, session.id, execution)
        self.stand_in.append(channel, parts, to=session.id)

    def _receipted(self, parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """End the run of a cell that is answered, and put the receipt into the answer."""
        execution = self.executions.take(messages.parent_id(parts))
        if execution is None:
            return parts
        status = messages.status_of(parts).status
        self._deaths = 0
        self.execution_count = messages.count_of(parts)
        if status == "error" and execution.stop_on_error:
            self._cells.abort()
        self.prompts.withdraw(execution.run)
        if status == ABORTED:
            self.runs.was_not_run(execution)
        self.runs.end(execution, code=0 if status == "ok" else 1, reason=status or "unknown")
        return messages.with_metadata(parts, "embedenv", execution.receipt(self.room.id, status))

    def _publish_state(self, state: str, reason: str) -> None:
        self.reason = reason
        self._set_state(state)
        self.stand_in.publish("status", {"execution_state": state, "reason": reason})

    def show_state(self, state: str) -> None:
        """Show that a cell runs elsewhere, or does no more, while the process itself is idle."""
        if self._processes.current is not None:
            self._set_state(state)

    def _set_state(self, state: str) -> None:
        self.state = state
        self.last_activity = datetime.now(UTC)
        self._on_change(self)
