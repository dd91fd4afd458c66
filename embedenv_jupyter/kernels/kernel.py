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
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from embedenv_jupyter.errors import (
    BusyError,
    EmbedEnvError,
    InsufficientCreditsError,
    RemoteProtocolError,
    RoleError,
    SandboxError,
)
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.channels import Channel, unwrapped
from embedenv_jupyter.kernels.executions import MAX_WAITING, Execution, Executions
from embedenv_jupyter.kernels.magics.queue import CellQueue
from embedenv_jupyter.kernels.magics.surroundings import Surroundings
from embedenv_jupyter.kernels.magics.turn import Cell
from embedenv_jupyter.kernels.process import Death, KernelProcess
from embedenv_jupyter.kernels.prompts import Prompts
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols.kernels import Message
from embedenv_jupyter.rooms.events import KernelMessage, RunEnded, RunStarted
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.rooms.room import Room

log = logging.getLogger(__name__)

MAX_DEATHS: Final = 5
"""A kernel that dies so often before it has run one cell to its end stays dead."""

MAX_SESSIONS: Final = 256
LINGER_S: Final = 3600.0
"""How long the place of a client that lost its connection is kept."""

WELCOME_TIMEOUT_S: Final = 10.0
SHUTDOWN_GRACE_S: Final = 3.0
COMMAND_CHARS: Final = 1000
"""How much of a cell's code its receipt shows."""

_FOR_ALL: Final = frozenset({"kernel_info_request"})
"""What a member who may only look on can ask of a kernel: nothing of it runs code."""

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
        self.sessions: dict[str, KernelSession] = {}
        self.executions = Executions()
        self.prompts = Prompts(room, id)
        self.execution_count = 0
        """The number that the kernel gave to its newest cell."""
        self._cells = CellQueue(self, surroundings)
        self._on_change = on_change
        self._cwd: str | None = None
        self._env: Mapping[str, str] = {}
        self._process: KernelProcess | None = None
        self._iopub: Channel | None = None
        self._listener: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._welcomed = asyncio.Event()
        self._changing = asyncio.Lock()
        self._deaths = 0
        self._next_run = 1
        self._is_closed = False

    # Life.

    async def start(self, *, cwd: str | None, env: Mapping[str, str]) -> None:
        """Start the first process.

        Raises:
            SandboxError: it did not start; the text says why.
        """
        self._cwd, self._env = cwd, env
        async with self._changing:
            await self._launch()

    async def _launch(self) -> None:
        self._set_state("starting")
        process = await KernelProcess.start(self.room.sandbox, cwd=self._cwd, env=self._env)
        try:
            await self._attach(process)
        except BaseException as exc:
            await process.end(0)
            await self._detach()
            process.close()
            self._set_state("dead")
            if isinstance(exc, TimeoutError):  # which is an OSError without a text
                raise SandboxError("The kernel cannot be reached: it does not answer.") from exc
            if isinstance(exc, (OSError, RemoteProtocolError)):
                raise SandboxError(f"The kernel cannot be reached: {exc}") from exc
            raise
        self._process = process
        self._watcher = asyncio.create_task(self._watch(process), name=f"end of kernel {self.id}")
        if self.state == "starting":
            self._set_state("idle")

    async def _attach(self, process: KernelProcess) -> None:
        """Connect to a new process, and wait until it says that we hear all that it says."""
        self._welcomed.clear()
        self._iopub = await process.connect("iopub", "SUB")
        messages = self._iopub.messages()
        self._listener = asyncio.create_task(self._listen(messages), name=f"iopub of {self.id}")
        async with asyncio.timeout(WELCOME_TIMEOUT_S):
            await self._welcomed.wait()
        for session in self.sessions.values():
            await session.connect(process, self.read_replies)

    async def _watch(self, process: KernelProcess) -> None:
        await process.wait()
        death = await process.death()
        async with self._changing:
            if self._process is process and not self._is_closed:
                await self._died(death)

    async def _died(self, death: Death) -> None:
        """Answer what the process owed, then start another one."""
        log.info("kernel %s of room %s: %s", self.id, self.room.id, death.text)
        await self._detach()
        self._abandon(f"Kernel died ({death.cause})", death.text)
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
            self._publish_state("dead", str(exc))

    async def _detach(self) -> None:
        """Let go of the process and of all sockets that lead to it; what it said is in the log."""
        process, self._process = self._process, None
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_GRACE_S):
                    await asyncio.wait({listener})
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        if self._iopub is not None:
            await self._iopub.aclose()
            self._iopub = None
        for session in self.sessions.values():
            await session.disconnect()
        if process is not None:
            process.close()

    def _abandon(self, name: str, text: str) -> None:
        """Answer the cells of a process that is gone, so that no client waits for ever."""
        for number, execution in enumerate(self.executions.take_all()):
            self.prompts.withdraw(execution.run)
            if number == 0 and not execution.is_silent:
                self._publish("error", messages.error_content(name, text), execution.header)
            self._reply_error(execution, name, text)
            self.end_run(execution, code=1, reason="died")

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
        if self._process is not None:
            await self._process.signal(signal.SIGINT)

    async def restart(self) -> None:
        """End the process and start another one; clients and the log stay.

        Raises:
            SandboxError: the new one did not start.
        """
        async with self._changing:
            name, text = "KernelRestarted", "The kernel was restarted."
            await self._cells.clear(name, text)
            await self._end_process()
            self._deaths = self.execution_count = 0
            self._abandon(name, text)
            self._publish_state("restarting", "")
            await self._launch()

    async def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
        await process.signal(signal.SIGINT)  # a cell that runs would keep it from hearing the request
        for session in list(self.sessions.values())[:1]:
            with contextlib.suppress(EmbedEnvError):
                request = messages.make("control", "shutdown_request", {"restart": False})
                await session.send("control", request.parts)
        await process.end(SHUTDOWN_GRACE_S if self.sessions else 0)
        await self._detach()
        if watcher is not None:
            await asyncio.gather(watcher, return_exceptions=True)

    async def aclose(self) -> None:
        """End the process and the clients' places; idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        async with self._changing:
            reason = self.room.end_reason
            text = "The kernel was shut down." if reason is None else f"The room has ended: {reason}."
            await self._cells.clear("KernelEnded", text)
            await self._end_process()
            self._abandon("KernelEnded", text)
            self._publish_state("dead", "")
            for session in list(self.sessions.values()):
                await self.forget(session)
            watcher, self._watcher = self._watcher, None
            if watcher is not None:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
        await self._cells.aclose()
        self.log.finish()

    # Clients.

    async def join(self, id: str, member: Member) -> KernelSession:
        """Return the place of the client with this id, a new one if it is new.

        Raises:
            BusyError: too many clients.
        """
        session = self.sessions.get(id)
        if session is not None:
            session.member = member
            return session
        async with self._changing:
            await self._forget_old()
            if len(self.sessions) >= MAX_SESSIONS:
                raise BusyError(f"This kernel has {MAX_SESSIONS} clients already; close one of them first.")
            session = KernelSession(id, member)
            session.position = self.log.last
            if self._process is not None:
                await session.connect(self._process, self.read_replies)
            self.sessions[id] = session
        for parts in self.prompts.questions():
            self.append("stdin", parts, to=id)
        return session

    async def _forget_old(self) -> None:
        now_s = time.monotonic()
        for session in list(self.sessions.values()):
            if session.left_at_s is not None and now_s - session.left_at_s > LINGER_S:
                await self.forget(session)

    async def forget(self, session: KernelSession) -> None:
        """Give up the place of a client; idempotent."""
        self.sessions.pop(session.id, None)
        await session.disconnect()

    # What clients ask.

    async def receive(self, session: KernelSession, message: Message) -> None:
        """Do what one message of a client asks; waits while the kernel takes none.

        Raises:
            RemoteProtocolError: it is no Jupyter message.
        """
        header = messages.header_of(message)
        self.room.touch()
        await self.settled()
        if session.member.role < Role.RUN and header.msg_type not in _FOR_ALL:
            self._refuse(session, message, header, RoleError("use a kernel", "run", session.member.role.word))
            return
        match message.channel, header.msg_type:
            case "shell", "execute_request":
                await self._execute(Cell(session, message, header, messages.execute_request(message)))
            case "stdin", "input_reply":
                if self.prompts.answered_by_message(messages.parent_id(message.parts), session.member.user):
                    await self._give_input(session, message)
            case "control", "interrupt_request" if await self._cells.interrupt():
                self._reply(session, message, header, {"status": "ok"})
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
                self._refuse(session, message, header, exc)

    async def settled(self) -> None:
        """Wait while the process is being started again: what is sent meanwhile waits."""
        if self._process is None:
            async with self._changing:
                pass

    async def _give_input(self, session: KernelSession, message: Message) -> None:
        if not await self._cells.give_input(message):
            await session.send("stdin", message.parts)

    async def _execute(self, cell: Cell) -> None:
        if self.executions.is_full or len(self._cells) >= MAX_WAITING:
            error = BusyError(f"{MAX_WAITING} cells wait for this kernel already; wait for some of them.")
            self._refuse(cell.session, cell.message, cell.header, error)
        elif not self._cells.takes(cell):
            await self.run_cell(cell)

    def execution_of(self, cell: Cell) -> Execution:
        """Give a cell the number of a run."""
        self._next_run += 1
        return Execution(
            run=f"{self.id[:8]}-{self._next_run - 1}", msg_id=cell.header.msg_id, session=cell.session.id,
            header=cell.message.parts[0], code=cell.request.code, user=cell.session.member.user,
            is_silent=cell.request.silent, stop_on_error=cell.request.stop_on_error,
        )  # fmt: skip

    async def run_cell(self, cell: Cell) -> None:
        """Charge for a cell and give it to the kernel, or answer that it will not be run."""
        session, message = cell.session, cell.message
        execution = self.execution_of(cell)
        try:
            execution.cost = await self.room.charge_cell(execution.code, execution.run)
        except InsufficientCreditsError as exc:
            self._refuse(session, message, cell.header, exc)
            return
        self.executions.add(execution)
        self.begin_run(execution, session.member, execution.code)
        try:
            await session.send("shell", message.parts)
        except RemoteProtocolError as exc:
            self.executions.take(execution.msg_id)
            await self.room.refund_cell(execution.run)
            self._refuse(session, message, cell.header, exc)
            self.end_run(execution, code=1, reason="refused")

    async def answer(self, prompt_id: str, value: str, by: str) -> None:
        """Answer a prompt in somebody's name, whoever's cell it is; the value is kept nowhere.

        Raises:
            BusyError: it waits for no answer any more.
            RemoteProtocolError: there is no kernel now.
        """
        prompt, reply = self.prompts.answer(prompt_id, value, by)
        session = self.sessions.get(prompt.session)
        if session is None:
            raise BusyError("The client whose cell asks has gone; run the cell again.")
        await self._give_input(session, reply)

    def _refuse(
        self, session: KernelSession, message: Message, header: messages.Header, exc: EmbedEnvError
    ) -> None:
        """Answer in the kernel's place that something will not be done, as a kernel would."""
        name, parent = type(exc).__name__, message.parts[0]
        self._publish("status", {"execution_state": "busy"}, parent)
        if header.msg_type == "execute_request":
            self._publish("error", messages.error_content(name, str(exc)), parent)
        content = {"status": "error", "execution_count": 0, **messages.error_content(name, str(exc))}
        self._reply(session, message, header, content)
        self._publish("status", {"execution_state": "idle"}, parent)

    def _reply(
        self, session: KernelSession, message: Message, header: messages.Header, content: dict[str, Any]
    ) -> None:
        kind, _, _ = header.msg_type.rpartition("_")
        reply = messages.make(message.channel, f"{kind}_reply", content, parent=message.parts[0])
        self.append(message.channel, reply.parts, to=session.id)

    def _reply_error(self, execution: Execution, name: str, text: str) -> None:
        content = {"status": "error", "execution_count": 0, **messages.error_content(name, text)}
        metadata = {"embedenv": execution.receipt(self.room.id, "error")}
        reply = messages.make("shell", "execute_reply", content, parent=execution.header, metadata=metadata)
        self.append("shell", reply.parts, to=execution.session)
        self._publish("status", {"execution_state": "idle"}, execution.header)

    # Runs.

    def begin_run(self, execution: Execution, member: Member, command: str) -> None:
        """Say in the room's log that somebody runs something here."""
        self.room.work_began(execution.run)
        if not execution.is_silent:
            self.room.log.append(
                RunStarted(
                    run=execution.run, command=command[:COMMAND_CHARS], user=member.user,
                    member=member.id, kind="cell", kernel=self.id, at=time.time(),
                )
            )  # fmt: skip

    def end_run(self, execution: Execution, *, code: int, reason: str) -> None:
        self.room.work_ended(execution.run)
        if not execution.is_silent and not self.room.log.is_finished:
            self.room.log.append(
                RunEnded(
                    run=execution.run, code=code, signal=None, duration_s=execution.duration_s,
                    cost=execution.cost, reason=reason, kind="cell", user=execution.user, at=time.time(),
                )
            )  # fmt: skip

    # What the kernel says.

    async def _listen(self, batches: AsyncIterator[list[tuple[bytes, ...]]]) -> None:
        """Carry what the kernel tells everybody into the log, at the pace that the log takes."""
        try:
            async for batch in batches:
                for frames in batch:
                    self._told(unwrapped(frames))
                await self.log.writable()
        except RemoteProtocolError as exc:
            await self._broken(exc)

    def _told(self, parts: tuple[bytes, ...]) -> None:
        head = parts[0]
        if b'"iopub_welcome"' in head:
            self._welcomed.set()
            return
        if b'"status"' in head:
            self._note_state(parts)
        elif b'"execute_input"' in head:
            execution = self.executions.find(messages.parent_id(parts))
            if execution is not None:
                execution.begin()
        self.append("iopub", parts)

    def _note_state(self, parts: tuple[bytes, ...]) -> None:
        state = messages.status_of(parts).execution_state
        if state in _RUN_STATES:
            self._set_state(state)

    async def read_replies(
        self, session: KernelSession, channel: str, batches: AsyncIterator[list[tuple[bytes, ...]]]
    ) -> None:
        """Carry what the kernel answers one client into the log."""
        try:
            async for batch in batches:
                for frames in batch:
                    self._answered(session, channel, unwrapped(frames))
                await self.log.writable()
        except RemoteProtocolError as exc:
            await self._broken(exc)

    def _answered(self, session: KernelSession, channel: str, parts: tuple[bytes, ...]) -> None:
        head = parts[0]
        if b'"execute_reply"' in head:
            parts = self._receipted(parts)
        elif channel == "stdin" and b'"input_request"' in head:
            execution = self.executions.find(messages.parent_id(parts))
            self.prompts.ask(parts, session.id, execution)
        self.append(channel, parts, to=session.id)

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
        self.end_run(execution, code=0 if status == "ok" else 1, reason=status or "unknown")
        return messages.with_metadata(parts, "embedenv", execution.receipt(self.room.id, status))

    async def _broken(self, exc: RemoteProtocolError) -> None:
        """End a process that does not speak as a kernel does; its watcher says so to everybody."""
        log.warning("kernel %s of room %s broke its protocol: %s", self.id, self.room.id, exc)
        if self._process is not None:
            await self._process.signal(signal.SIGKILL)

    def _publish(self, msg_type: str, content: dict[str, Any], parent: bytes = b"{}") -> None:
        """Tell every client something in the kernel's place."""
        self.append("iopub", messages.make("iopub", msg_type, content, parent=parent).parts)

    def _publish_state(self, state: str, reason: str) -> None:
        self.reason = reason
        self._set_state(state)
        self._publish("status", {"execution_state": state, "reason": reason})

    def append(self, channel: str, parts: tuple[bytes, ...], to: str = "") -> None:
        """Put a message into the log, unless that has ended; ``to`` is the one session that gets it."""
        if not self.log.is_finished:
            self.log.append(KernelMessage(channel=channel, parts=parts, to=to, at=time.time()))

    def show_state(self, state: str) -> None:
        """Show that a cell runs elsewhere, or does no more, while the process itself is idle."""
        if self._process is not None:
            self._set_state(state)

    def _set_state(self, state: str) -> None:
        self.state = state
        self.last_activity = datetime.now(UTC)
        self._on_change(self)
