"""Does what the magics of one kernel's cells say."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.magics import doors, lines
from embedenv_jupyter.kernels.magics.answer import Answer
from embedenv_jupyter.kernels.magics.desk import Desk
from embedenv_jupyter.kernels.magics.lines import Magic, MagicError
from embedenv_jupyter.kernels.magics.programs import Programs
from embedenv_jupyter.kernels.magics.surroundings import Surroundings
from embedenv_jupyter.kernels.magics.turn import Cell, Turn
from embedenv_jupyter.kernels.magics.visits import Outposts
from embedenv_jupyter.kernels.messages import Header
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols.kernels import Message

if TYPE_CHECKING:
    from embedenv_jupyter.kernels.kernel import Kernel

PASSED_ON: Final = frozenset({"complete_request", "inspect_request", "is_complete_request"})
"""What is asked where the cells go. History stays here: it is this notebook's."""


class Interpreter:
    """Decides whose a cell is, and runs those that are ours."""

    def __init__(self, kernel: Kernel, surroundings: Surroundings) -> None:
        self._kernel = kernel
        self._surroundings = surroundings
        self._outposts = Outposts(kernel, surroundings.kernels)
        self._desk = Desk(kernel, surroundings, self._outposts)
        self._programs = Programs(kernel, surroundings.languages)

    def wants(self, cell: Cell) -> bool:
        """Tell whether a cell is not for the kernel of this notebook, or not as it stands."""
        if cell.session.is_prepaid:
            return False  # what a magic costs, and where it leads, only who pays for it may decide
        if lines.read(cell.request.code) is not None:
            return True
        return (
            not cell.session.is_visiting and self._desk.away(cell.session.member, cell.session.id) is not None
        )

    def turn_of(self, cell: Cell) -> Turn:
        """Prepare the answer of a cell."""
        kernel = self._kernel
        execution = kernel.runs.of(cell)
        answer = Answer(kernel.log, execution, kernel.room.id, kernel.execution_count + 1)
        return Turn(kernel, cell, execution, answer, shown_code=self._shown(cell))

    def _shown(self, cell: Cell) -> str:
        """Return the cell as everybody may see it: a key is for who has it."""
        magic = lines.read(cell.request.code)
        if magic is None or not magic.may_hold_key:
            return cell.request.code
        rooms, account = self._surroundings.rooms, self._kernel.room.account
        is_name = magic.name == lines.ROOM and doors.is_named(rooms, magic.rest.strip("'\" "), account)
        return cell.request.code if is_name else magic.masked()

    async def run(self, turn: Turn) -> bool:
        """Run a magic, or a cell of a client that is away, to its end; true when it went well.

        Raises:
            EmbedEnvError: it cannot be done, and nothing has been answered yet but perhaps output.
        """
        cell = turn.cell
        magic = lines.read(cell.request.code)
        if cell.session.is_visiting and magic is not None and magic.name != lines.LANG:
            raise MagicError(
                f"{magic.name} works in a notebook's own room, and not in a cell that came over."
            )
        member, session = cell.session.member, cell.session.id
        away = None if cell.session.is_visiting else self._desk.away(member, session)
        if magic is not None and magic.name == lines.EMBEDENV:
            turn.begin()
            return await self._as_run(turn, self._command(turn, magic))
        if magic is not None and magic.name == lines.ROOM:
            return await self._in_room(turn, magic)
        if away is not None:
            door = self._desk.entered(member, session, away)
            return await (await self._outposts.visit(cell.session, door)).run(turn, cell.request.code)
        assert magic is not None, "it is a magic, or the client is away"
        return await self._in_language(turn, magic)

    async def _command(self, turn: Turn, magic: Magic) -> bool:
        await self._desk.do(turn, lines.command(magic))
        return True

    async def _in_language(self, turn: Turn, magic: Magic) -> bool:
        turn.begin()
        name, arguments = lines.language_call(magic)
        return await self._as_run(turn, self._programs.run(turn, name, arguments, magic.body))

    async def _in_room(self, turn: Turn, magic: Magic) -> bool:
        target = lines.room_target(magic)
        session = turn.session
        door = doors.find(self._surroundings.rooms, target, session.member, self._kernel.room.account)
        if door.room is not self._kernel.room:
            return await (await self._outposts.visit(session, door)).run(turn, magic.body)
        return await self._at_home(turn, magic.body)

    async def _at_home(self, turn: Turn, code: str) -> bool:
        """Run a cell that named the room it is in: with its files, its kernel and its variables."""
        magic = lines.read(code)
        if magic is not None and magic.name == lines.LANG:
            return await self._in_language(turn, magic)
        if magic is not None:
            raise MagicError(f"{magic.name} must be the first line of its cell, without %%room above it.")
        cell = turn.cell
        message = messages.with_code(cell.message, code)
        turn.on_interrupt = self._kernel.interrupt_process
        turn.answer.is_begun = turn.answer.is_over = True  # the kernel answers, and its errors stop the queue
        await self._kernel.run_cell(replace(cell, message=message, request=messages.execute_request(message)))
        await self._kernel.executions.answered()
        return True

    async def _as_run(self, turn: Turn, doing: Awaitable[bool]) -> bool:
        """Do something as a run in the log of this room."""
        kernel, execution = self._kernel, turn.execution
        kernel.runs.begin(execution, turn.shown_code)
        is_done = False
        try:
            is_done = await doing
        except EmbedEnvError:
            kernel.runs.end(execution, code=1, reason="error")
            raise
        except BaseException:
            kernel.runs.end(execution, code=1, reason="interrupted")
            raise
        kernel.runs.end(execution, code=0 if is_done else 1, reason="ok" if is_done else "error")
        return is_done

    async def pass_on(self, session: KernelSession, message: Message, header: Header) -> bool:
        """Ask the kernel that this client's cells go to, where that is another one."""
        if header.msg_type not in PASSED_ON or session.is_visiting:
            return False
        away = self._desk.away(session.member, session.id)
        if away is None:
            return False
        if messages.code_of(message.parts).lstrip().startswith("%"):
            return False  # magics are completed and explained here
        try:
            visit = self._outposts.find(session, self._desk.door(session.member, away))
        except EmbedEnvError:
            return False
        return visit is not None and await visit.pass_on(message, header)

    async def aclose(self) -> None:
        """End what was started in other rooms, and what programs left behind; idempotent."""
        await self._outposts.aclose()
        await self._programs.aclose()
