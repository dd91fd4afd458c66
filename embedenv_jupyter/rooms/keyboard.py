"""What members type into a run: one queue in front of its terminal.

A terminal in line mode holds about 4 KiB for a program that does not read, then
takes no more. So what is typed waits here, in order, and one task passes it on at
the pace of the program; nobody who types waits for the program.

What a terminal would drop without a word is refused here: in line mode the kernel
keeps 4095 bytes of a line that is not complete (N_TTY_BUF_SIZE - 1, termios(3))
and overwrites the last of them from then on.
"""

from __future__ import annotations

import asyncio
import termios

from embedenv_jupyter.errors import BusyError, WorkspaceError
from embedenv_jupyter.sandbox.process import Process

MAX_LINE_BYTES = 4095
"""The longest line of input, without its end, that a terminal takes in line mode."""
MAX_WAITING_BYTES = 1 << 20
PIECE_BYTES = 4096
END_OF_FILE = b"\x04"
"""The character that ends input in line mode (VEOF, termios(3))."""


class Keyboard:
    """The input of one terminal; :meth:`aclose` ends its task."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        self._process = process
        self._sink = process.stdin
        self._waiting = bytearray()
        self._open_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def type_line(self, text: str) -> None:
        """Type a line and its end.

        Raises:
            WorkspaceError: the line is longer than a terminal takes.
            BusyError: the program does not read, and too much waits already.
        """
        self.type(text.encode("utf-8", "replace") + b"\n")

    def type(self, data: bytes) -> None:
        """Type bytes as they are; raises what :meth:`type_line` raises."""
        if self._is_line_mode:
            self._check_lines(data)
        if len(self._waiting) + len(data) > MAX_WAITING_BYTES:
            raise BusyError(
                f"The program does not read its input: {len(self._waiting)} bytes wait already, "
                f"and at most {MAX_WAITING_BYTES} may."
            )
        self._put(data)

    def end(self) -> None:
        """Say that no more input comes."""
        # In line mode the first one only hands an open line to the program.
        self._put(END_OF_FILE * (2 if self._open_bytes and self._is_line_mode else 1))
        self._open_bytes = 0

    @property
    def _is_line_mode(self) -> bool:
        terminal = self._process.terminal
        return terminal is not None and bool(termios.tcgetattr(terminal)[3] & termios.ICANON)

    def _check_lines(self, data: bytes) -> None:
        first, *others = data.split(b"\n")
        longest = max(self._open_bytes + len(first), *map(len, others), 0)
        if longest > MAX_LINE_BYTES:
            raise WorkspaceError(
                "input",
                f"a line may have at most {MAX_LINE_BYTES} bytes, which is what a terminal takes; "
                f"this one has {longest}",
            )

    def _put(self, data: bytes) -> None:
        if self._is_closed or not data:
            return
        _, newline, rest = data.rpartition(b"\n")
        self._open_bytes = len(rest) if newline else self._open_bytes + len(data)
        self._waiting += data
        if self._task is None:
            self._task = asyncio.create_task(self._pass_on(), name="keyboard")

    async def _pass_on(self) -> None:
        try:
            while self._waiting:
                # Whole lines where possible: a program that is slow to read then sees no torn one.
                size = self._waiting.rfind(b"\n", 0, PIECE_BYTES) + 1 or PIECE_BYTES
                piece = bytes(self._waiting[:size])
                del self._waiting[:size]
                await self._sink.write(piece)
        except BrokenPipeError:
            self._waiting.clear()  # the program has gone, and what it did not read goes with it
        finally:
            self._task = None

    async def aclose(self) -> None:
        """Type no more; idempotent."""
        self._is_closed = True
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
