"""Has a kernel answer each cell, also one that is interrupted while ipykernel's own code runs around it.

An interrupt that comes just before a cell's code, or just after, ends ipykernel's handling
of the request and not the code: no answer is sent, and who waits for it waits for ever.
Here an interrupt before the code keeps it from running, and the answer says so; one that
comes when the answer is ready comes too late.

Standard library only; part of what a room's kernel is forked from.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_NAME = "KeyboardInterrupt"


def answer_interrupted(app: Any) -> None:
    """Set up the interrupts of a kernel that was initialized and has not run anything yet."""
    kernel = app.kernel
    execute = kernel.do_execute
    is_noted = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_noted
        is_noted = True

    def hold() -> None:
        """Have interrupts noted from now on. One that waits is raised in the middle of that."""
        while True:
            try:
                signal.signal(signal.SIGINT, note)
            except KeyboardInterrupt:
                continue
            return

    def begin_request() -> None:
        nonlocal is_noted
        if not _is_interrupted_here():
            return
        is_noted = False
        is_cell = kernel.get_parent("shell")["header"]["msg_type"] == "execute_request"
        handler = note if is_cell else signal.default_int_handler
        kernel.saved_sigint_handler = signal.signal(signal.SIGINT, handler)

    async def do_execute(*arguments: Any, **named: Any) -> dict[str, Any]:
        if not _is_interrupted_here():
            return dict(await execute(*arguments, **named))
        reply: dict[str, Any] | None = None
        try:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                if is_noted:
                    raise KeyboardInterrupt
                reply = await execute(*arguments, **named)
            finally:
                hold()
        except KeyboardInterrupt:
            hold()
        return _interrupted(kernel) if reply is None else reply

    kernel.pre_handler_hook = begin_request
    kernel.do_execute = do_execute


def _is_interrupted_here() -> bool:
    """Tell whether signals come in this thread; subshells have threads of their own."""
    return threading.current_thread() is threading.main_thread()


def _interrupted(kernel: Any) -> dict[str, Any]:
    """Show the interrupt as that of code is shown, and return the answer to the request."""
    error = {"ename": _NAME, "evalue": "", "traceback": [f"{_NAME}: "]}
    kernel.send_response(kernel.iopub_socket, "error", error)
    return {
        "status": "error", **error, "execution_count": kernel.execution_count, "user_expressions": {},
        "payload": [],
    }  # fmt: skip
