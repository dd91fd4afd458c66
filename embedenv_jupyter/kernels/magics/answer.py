"""What clients see of a cell that the gateway answers itself: just what a kernel would send.

``status`` busy, ``execute_input``, output, then the reply with its receipt, and
``status`` idle. The number of such a cell is the one that the kernel gives next, and
the kernel does give it to its next cell: ``In`` and ``Out`` are IPython's, and these
cells are not in them.
"""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from typing import Any

from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.executions import Execution
from embedenv_jupyter.rooms.events import KernelMessage
from embedenv_jupyter.rooms.log import Log


class Answer:
    """The messages that answer one cell, into the log of its kernel; nothing after the log's end."""

    def __init__(self, kernel_log: Log, execution: Execution, room: str, count: int) -> None:
        self._log = kernel_log
        self._execution = execution
        self._room = room
        self._count = count
        self.is_begun = False
        self.is_over = False

    def begin(self, code: str) -> None:
        """Say that the cell is being answered; ``code`` is what everybody may see of it. Idempotent."""
        if self.is_begun:
            return
        self.is_begun = True
        self._execution.begin()
        self.publish("status", {"execution_state": "busy"})
        if not self._execution.is_silent:
            self.publish("execute_input", {"code": code, "execution_count": self._count})

    def stream(self, name: str, text: str) -> None:
        self.publish("stream", {"name": name, "text": text})

    def table(self, title: str, rows: Sequence[tuple[str, str]], *, only_here: bool = False) -> None:
        """Show names and values, as text and as HTML."""
        data = {"text/plain": as_text(title, rows), "text/html": as_html(title, rows)}
        to = self._execution.session if only_here else ""
        self.publish("display_data", {"data": data, "metadata": {}, "transient": {}}, to=to)

    def ask(self, text: str, *, password: bool) -> tuple[bytes, ...]:
        """Ask the client whose cell it is; return the question."""
        content = {"prompt": text, "password": password}
        question = messages.make("stdin", "input_request", content, parent=self._execution.header)
        self.carry("stdin", question.parts, to=self._execution.session)
        return question.parts

    def ok(self) -> None:
        """End the cell as one that did what it should; idempotent."""
        self._end("ok", {"status": "ok", "user_expressions": {}, "payload": []})

    def error(self, name: str, text: str) -> None:
        """End the cell with an error; idempotent."""
        if not self.is_over:
            content = messages.error_content(name, text)
            self.publish("error", content)
            self._end("error", {"status": "error", **content})

    def aborted(self) -> None:
        """Say that the cell is not run, because one before it failed; idempotent."""
        self._end("aborted", {"status": "aborted"})

    def _end(self, status: str, content: dict[str, Any]) -> None:
        if self.is_over:
            return
        self.is_over = True
        if not self.is_begun:
            self.publish("status", {"execution_state": "busy"})
        content["execution_count"] = self._count
        metadata = {"embedenv": self._execution.receipt(self._room, status)}
        reply = messages.make(
            "shell", "execute_reply", content, parent=self._execution.header, metadata=metadata
        )
        self.carry("shell", reply.parts, to=self._execution.session)
        self.publish("status", {"execution_state": "idle"})

    def publish(self, msg_type: str, content: dict[str, Any], *, to: str = "") -> None:
        """Send a message to everybody, or to one session."""
        message = messages.make("iopub", msg_type, content, parent=self._execution.header)
        self.carry("iopub", message.parts, to=to)

    def carry(self, channel: str, parts: tuple[bytes, ...], *, to: str = "") -> None:
        """Send a message that somebody else has made."""
        if not self._log.is_finished:
            self._log.append(KernelMessage(channel=channel, parts=parts, to=to, at=time.time()))

    async def writable(self) -> None:
        """Wait while the log cannot take more."""
        await self._log.writable()


def as_text(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Lay rows out in two columns."""
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows)])


def as_html(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """Make a table; all text is escaped."""
    lines = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table><caption>{html.escape(title)}</caption>{lines}</table>"
