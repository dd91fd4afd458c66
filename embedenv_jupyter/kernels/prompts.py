"""Questions of cells that wait for an answer: objects of the room that any member with ``run`` may answer."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from embedenv_jupyter.errors import BusyError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.executions import Execution
from embedenv_jupyter.protocols.kernels import Message
from embedenv_jupyter.rooms import events
from embedenv_jupyter.rooms.room import Room

MAX_TEXT_CHARS = 4096
MAX_PENDING = 64
"""More than kernels that behave ever ask at once; then the oldest is withdrawn."""

MAX_QUESTION_BYTES = 64 << 10
"""What is kept of a question, to ask it again of clients that come later."""

NO_RUN = ""
"""The run of a question that no cell asks: a callback does, or a thread."""


@dataclass(frozen=True)
class PendingPrompt:
    """One question of a running cell. ``session`` is the client whose cell asks."""

    id: str
    kernel: str
    run: str
    text: str
    password: bool
    session: str
    parts: tuple[bytes, ...]
    asked_at: float


class Prompts:
    """The pending prompts of one kernel: mostly none, seldom one."""

    def __init__(self, room: Room, kernel: str) -> None:
        self._room = room
        self._kernel = kernel
        self._pending: dict[str, PendingPrompt] = {}

    def pending(self) -> list[PendingPrompt]:
        """Return what waits for an answer, oldest first."""
        return list(self._pending.values())

    def questions(self) -> list[tuple[bytes, ...]]:
        """Return the messages that ask, for a client that came later."""
        return [prompt.parts for prompt in self._pending.values()]

    def ask(self, parts: tuple[bytes, ...], session: str, execution: Execution | None) -> None:
        """Note a question of the kernel, and put it into the room's log."""
        request = messages.input_request(parts)
        run = execution.run if execution is not None else NO_RUN
        self.withdraw(run)
        if len(self._pending) >= MAX_PENDING:
            self._close(self.pending()[0], "")
        prompt = PendingPrompt(
            id=secrets.token_hex(6), kernel=self._kernel, run=run, text=request.prompt[:MAX_TEXT_CHARS],
            password=request.password, session=session, parts=_bounded(parts, request), asked_at=time.time(),
        )  # fmt: skip
        self._pending[prompt.id] = prompt
        self._say(
            events.Prompt(
                run=run, text=prompt.text, id=prompt.id, password=prompt.password, at=prompt.asked_at
            )
        )

    def answered_by_message(self, question_id: str, by: str) -> bool:
        """Note an ``input_reply``; false where nothing waits for it any more, or for another question."""
        for prompt in self.pending():
            # Clients name the question, or the cell that asks, or nothing. An answer to an earlier
            # question that crosses this one on the wire must not answer it.
            if question_id in ("", messages.id_of(prompt.parts), messages.parent_id(prompt.parts)):
                self._close(prompt, by)
                return True
        return False

    def find(self, id: str) -> PendingPrompt:
        """Return what waits for an answer.

        Raises:
            BusyError: somebody else was quicker, or the cell has ended.
        """
        prompt = self._pending.get(id)
        if prompt is None:
            raise BusyError(f"The prompt {id!r:.40} waits for no answer any more.")
        return prompt

    def answer(self, id: str, value: str, by: str) -> Message:
        """Answer a prompt; return the message for the kernel. The value is kept nowhere.

        Raises:
            BusyError: as :meth:`find`.
        """
        prompt = self.find(id)
        self._close(prompt, by)
        return messages.make("stdin", "input_reply", {"value": value, "status": "ok"}, parent=prompt.parts[0])

    def withdraw(self, run: str) -> None:
        """Note that a cell waits no more: it ended, or asks something else."""
        for prompt in self.pending():
            if prompt.run == run:
                self._close(prompt, "")

    def _close(self, prompt: PendingPrompt, by: str) -> None:
        del self._pending[prompt.id]
        self._say(events.PromptAnswered(id=prompt.id, run=prompt.run, by=by, at=time.time()))

    def _say(self, event: events.Event) -> None:
        if not self._room.log.is_finished:
            self._room.log.append(event)


def _bounded(parts: tuple[bytes, ...], request: messages.InputRequest) -> tuple[bytes, ...]:
    """Return a question of bounded size that is answered as this one is."""
    if sum(map(len, parts)) <= MAX_QUESTION_BYTES:
        return parts
    content = {"prompt": request.prompt[:MAX_TEXT_CHARS], "password": request.password}
    header, parent = parts[:2] if len(parts[0]) + len(parts[1]) <= MAX_QUESTION_BYTES else (b"{}", b"{}")
    return (header, *messages.make("stdin", "input_request", content, parent=parent).parts[1:])
