"""The order of a kernel's cells, where some of them are answered by the gateway.

Theory of operation. A kernel runs its cells one after another, so a magic waits
until the kernel has answered all that came before it, and what comes after it waits
for the magic. While nothing waits, cells go straight to the kernel. As with a kernel,
an error drops the cells behind it (``aborted``), unless the one that failed
asked not to (``stop_on_error``). One task, the worker, lives as long as something waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from embedenv_jupyter.errors import EmbedEnvError, InsufficientCreditsError, RoleError, UnknownKeyError
from embedenv_jupyter.kernels.executions import MAX_WAITING
from embedenv_jupyter.kernels.magics.interpreter import Interpreter
from embedenv_jupyter.kernels.magics.surroundings import Surroundings
from embedenv_jupyter.kernels.magics.turn import Cell, Turn
from embedenv_jupyter.kernels.messages import Header
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols.kernels import Message

if TYPE_CHECKING:
    from embedenv_jupyter.kernels.kernel import Kernel

log = logging.getLogger(__name__)

MAX_WAITING_BYTES = 64 << 20
"""Cells that wait here are kept whole."""

FAILED = "The gateway failed; its log says why."
INTERRUPTED = ("KeyboardInterrupt", "The cell was interrupted.")
NEXT_STEPS: tuple[tuple[type[EmbedEnvError], str], ...] = (
    (InsufficientCreditsError, "Ask who runs this gateway for more (`embedenv credits grant`)."),
    (RoleError, "Ask the owner of the room for a join key with that role (`%embedenv keys --role …`)."),
    (UnknownKeyError, "Ask the owner of the room for a new one (`%embedenv keys`)."),
)
"""What can be done about errors whose own text does not say it."""


class CellQueue:
    """Gives magics their turn among the cells of one kernel."""

    def __init__(self, kernel: Kernel, surroundings: Surroundings) -> None:
        self._kernel = kernel
        self._interpreter = Interpreter(kernel, surroundings)
        self._waiting: deque[Cell] = deque()
        self._waiting_bytes = 0
        self._worker: asyncio.Task[None] | None = None
        self._turn: Turn | None = None
        self._doing: asyncio.Task[None] | None = None
        self._end = INTERRUPTED

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MAX_WAITING or self._waiting_bytes >= MAX_WAITING_BYTES

    @property
    def is_busy(self) -> bool:
        """True while a cell waits or is being answered here."""
        return self._worker is not None

    @property
    def is_answering(self) -> bool:
        """True while a magic runs: then the kernel is busy, whatever its process says."""
        return self._turn is not None

    def takes(self, cell: Cell) -> bool:
        """Take a cell that the kernel must not get yet, or not at all; false for one that it can have now."""
        if self._worker is None:
            if not self._interpreter.wants(cell):
                return False
            self._worker = asyncio.create_task(self._work(), name=f"magics of {self._kernel.id}")
        self._waiting.append(cell)
        self._waiting_bytes += cell.message.size_bytes
        return True

    def _pop(self) -> Cell:
        cell = self._waiting.popleft()
        self._waiting_bytes -= cell.message.size_bytes
        return cell

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._next()
        finally:
            self._worker = None

    async def _next(self) -> None:
        """Run the first cell that waits, if it still does when its turn comes."""
        cell = self._waiting[0]
        is_ours = self._interpreter.wants(cell)
        if is_ours:
            await self._kernel.executions.answered()
        else:
            await self._kernel.settled()
        if not self._waiting or self._waiting[0] is not cell:
            return
        self._pop()
        if is_ours:
            await self._answer(cell)
            return
        try:
            await self._kernel.run_cell(cell)
        except Exception:
            log.exception("a cell that waited for kernel %s was not handled", self._kernel.id)
            self._interpreter.turn_of(cell).fail("InternalError", FAILED)

    async def _answer(self, cell: Cell) -> None:
        turn = self._turn = self._interpreter.turn_of(cell)
        turn.on_failure = self.abort
        self._end = INTERRUPTED
        self._kernel.show_state("busy")
        self._doing = asyncio.create_task(self._do(turn), name=f"magic of {self._kernel.id}")
        try:
            await asyncio.wait({self._doing})
        finally:
            self._doing.cancel()  # only where the worker itself is cancelled
            self._turn = self._doing = None
            turn.fail(*self._end)  # a cell that was cancelled has no other answer yet
            if not self._kernel.log.is_finished:
                self._kernel.show_state("idle")

    async def _do(self, turn: Turn) -> None:
        """Let a magic run to its end; whatever goes wrong becomes its answer."""
        try:
            is_done = await self._interpreter.run(turn)
        except EmbedEnvError as exc:
            turn.fail(type(exc).__name__, with_next_step(exc))
            is_done = False
        except Exception:
            log.exception("a magic of kernel %s failed", self._kernel.id)
            turn.fail("InternalError", FAILED)
            is_done = False
        if not is_done:
            turn.failed()

    def abort(self) -> None:
        """Answer that the cells that wait are not run: one before them failed."""
        while self._waiting:
            self._interpreter.turn_of(self._pop()).answer.aborted()

    async def interrupt(self) -> bool:
        """Interrupt the magic whose turn it is; false when the kernel itself has the turn."""
        turn, doing = self._turn, self._doing
        if turn is None or doing is None:
            return False
        if turn.on_interrupt is not None:
            await turn.on_interrupt()
        else:
            turn.failed()
            doing.cancel()
        return True

    async def give_input(self, message: Message) -> bool:
        """Pass an ``input_reply`` to the magic that asked; false when none did."""
        if self._turn is None or self._turn.on_input is None:
            return False
        await self._turn.on_input(message)
        return True

    async def pass_on(self, session: KernelSession, message: Message, header: Header) -> bool:
        """Ask the kernel that this client's cells go to, where that is not ours; false: ask ours."""
        return await self._interpreter.pass_on(session, message, header)

    async def clear(self, name: str, text: str) -> None:
        """End what runs here and what waits, with this error; the kernel restarts or ends."""
        waiting = [self._pop() for _ in range(len(self._waiting))]
        if self._doing is not None:
            self._end = (name, text)
            self._doing.cancel()
            await asyncio.wait({self._doing})
        for cell in waiting:
            self._interpreter.turn_of(cell).fail(name, text)
        await self._interpreter.aclose()

    async def aclose(self) -> None:
        """Wait for the end of the worker, after :meth:`clear`; idempotent."""
        if self._worker is not None:
            await asyncio.wait({self._worker})


def with_next_step(exc: EmbedEnvError) -> str:
    """Return what an error says, and what can be done about it."""
    for kind, step in NEXT_STEPS:
        if isinstance(exc, kind):
            return f"{exc} {step}"
    return str(exc)
