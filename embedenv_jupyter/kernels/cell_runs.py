"""The cells of a kernel as runs of its room: numbered, told in the room's log, paid for."""

from __future__ import annotations

import logging
import time
from typing import Final

from embedenv_jupyter.errors import AccountError, InsufficientCreditsError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.authors import CellAuthors
from embedenv_jupyter.kernels.executions import Execution
from embedenv_jupyter.kernels.magics.turn import Cell
from embedenv_jupyter.rooms.events import RunEnded, RunStarted
from embedenv_jupyter.rooms.room import Room

log = logging.getLogger(__name__)

COMMAND_CHARS: Final = 1000
"""How much of a cell's code its receipt shows."""


class CellRuns:
    """The runs of one kernel."""

    def __init__(self, room: Room, kernel_id: str) -> None:
        self._room = room
        self._kernel_id = kernel_id
        self.authors = CellAuthors()
        self._next = 1
        self._owed: list[str] = []

    def of(self, cell: Cell) -> Execution:
        """Give a cell the number of a run."""
        self._next += 1
        session, request = cell.session, cell.request
        return Execution(
            run=f"{self._kernel_id[:8]}-{self._next - 1}", msg_id=cell.header.msg_id, session=session.id,
            header=cell.message.parts[0], code=request.code[:COMMAND_CHARS], author=cell.author,
            cell=messages.cell_id(cell.message.parts), is_silent=request.silent,
            stop_on_error=request.stop_on_error,
        )  # fmt: skip

    def begin(self, execution: Execution, command: str) -> None:
        """Say in the room's log that somebody runs something here."""
        author = execution.author
        started = RunStarted(
            run=execution.run, command=command[:COMMAND_CHARS], user=author.user, member=author.member,
            kind="cell", kernel=self._kernel_id, cell=execution.cell, colour=author.colour, at=time.time(),
        )  # fmt: skip
        if not execution.is_silent:
            self.authors.ran(execution.cell, execution.run, author, started.at)
        self._room.work_began(execution.run, None if execution.is_silent else started)

    def end(self, execution: Execution, *, code: int, reason: str) -> None:
        """Say in the room's log how it ended."""
        self._room.work_ended(execution.run)
        if not execution.is_silent and not self._room.log.is_finished:
            self._room.log.append(
                RunEnded(
                    run=execution.run, code=code, signal=None, duration_s=execution.duration_s,
                    cost=execution.cost, reason=reason, kind="cell", user=execution.author.user,
                    at=time.time(),
                )
            )  # fmt: skip

    # Costs.

    async def charge(self, execution: Execution, code: str) -> None:
        """Take what a cell costs.

        Raises:
            InsufficientCreditsError: there is not enough.
            AccountError: it cannot be taken now; what was taken all the same is given back.
        """
        try:
            execution.cost = await self._room.charge_cell(code, execution.run)
        except InsufficientCreditsError:
            raise
        except AccountError:
            self._owed.append(execution.run)
            await self.give_back()
            raise

    def was_not_run(self, execution: Execution) -> None:
        """Let a cell cost nothing that was paid for and not run; see :meth:`give_back`."""
        if execution.cost:
            execution.cost = 0
            self._owed.append(execution.run)

    async def give_back(self) -> None:
        """Give back what is owed; what cannot be given back is in our log."""
        while self._owed:
            run = self._owed.pop()
            try:
                await self._room.refund_cell(run)
            except AccountError as exc:
                log.error("the cost of %s in room %s was not given back: %s", run, self._room.id, exc)
