"""One cell in its turn: who sent it, what answers it, and what reaches it while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedenv_jupyter.kernels.authors import Author
from embedenv_jupyter.kernels.executions import Execution
from embedenv_jupyter.kernels.magics.answer import Answer
from embedenv_jupyter.kernels.messages import ExecuteRequest, Header
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols.kernels import Message

if TYPE_CHECKING:
    from embedenv_jupyter.kernels.kernel import Kernel


@dataclass(frozen=True)
class Cell:
    """One ``execute_request`` of a client."""

    session: KernelSession
    message: Message
    header: Header
    request: ExecuteRequest
    author: Author
    """Who runs it: the client's member, or whoever sits before a notebook that the server forwards."""


@dataclass
class Turn:
    """What a magic has in hand while it is done.

    ``on_interrupt`` and ``on_input`` are set by what runs; without the first an
    interrupt cancels the magic.
    """

    kernel: Kernel
    cell: Cell
    execution: Execution
    answer: Answer
    on_interrupt: Callable[[], Awaitable[None]] | None = None
    on_input: Callable[[Message], Awaitable[None]] | None = None
    shown_code: str = ""
    """What everybody may see of the cell."""
    on_failure: Callable[[], None] | None = None
    """What drops the cells behind this one."""

    @property
    def session(self) -> KernelSession:
        return self.cell.session

    def begin(self) -> None:
        """Say that the cell is being answered; idempotent."""
        self.answer.begin(self.shown_code)

    def fail(self, name: str, text: str) -> None:
        """End the cell with an error, unless it has ended; idempotent."""
        if not self.answer.is_over:
            self.begin()
            self.answer.error(name, text)

    def failed(self) -> None:
        """Drop the cells that wait behind this one, at the moment of its answer, and only once.

        What a client sends after it has seen the answer is not behind it any more.
        """
        drop, self.on_failure = self.on_failure, None
        if drop is not None and self.cell.request.stop_on_error:
            drop()

    def ask(self, text: str, *, password: bool = False) -> None:
        """Ask for input: the client whose cell it is, and with it every member of the room who may run."""
        question = self.answer.ask(text, password=password)
        self.kernel.prompts.ask(question, self.session.id, self.execution)
