"""What several people type into one terminal: in turns, each in their own order, at the program's pace.

A terminal takes a few KiB for a program that does not read. What is typed waits
here, for each person apart: behind a large paste of somebody, others type on. One
task passes pieces on, and whoever has too much waiting is kept from sending more.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import termios

from embedenv_jupyter.sandbox.process import Process

MAX_WAITING_BYTES = 16 << 20
"""What may wait of one person, and of all who have left together."""
PIECE_BYTES = 4096

_SIGNAL_KEYS = (termios.VINTR, termios.VQUIT, termios.VSUSP)
_TIOCGPTPEER = 0x5441
"""Opens the program's side of a terminal by its master (ioctl_tty(2)), whatever its path is in the room."""


class Typing:
    """The input of one terminal; :meth:`aclose` ends its task. People are told apart by identity."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        self._process = process
        self._sink = process.stdin
        self._queues: dict[object, bytearray] = {}
        self._gone: set[object] = set()
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def waiting_of(self, who: object) -> int:
        """Return how many bytes of somebody wait."""
        return len(self._queues.get(who, b""))

    async def type(self, who: object, data: bytes) -> None:
        """Take what somebody types, waiting while too much of theirs waits already. Nothing is dropped.

        A key that stands for a signal (Ctrl+C) drops what was typed before it and not yet read, as it does in
        the kernel; but there a key is not looked at while the buffer before it is full.
        """
        if self._is_signal_key(data):
            await self._drop()
            self._flush()
        while not self._is_closed and self.waiting_of(who) and self._too_much(who, data):
            self._progress.clear()
            await self._progress.wait()
        if self._is_closed or not data:
            return
        self._queues.setdefault(who, bytearray()).extend(data)
        self._begin()

    def _begin(self) -> None:
        if self._task is None and self._queues and not self._is_closed:
            self._task = asyncio.create_task(self._pass_on(), name="typing")

    def _too_much(self, who: object, data: bytes) -> bool:
        return self.waiting_of(who) + len(data) > MAX_WAITING_BYTES

    def _is_signal_key(self, data: bytes) -> bool:
        """Tell whether a key signals, and so drops input, in the mode that the terminal is in now."""
        if self._process.terminal is None or len(data) != 1:
            return False
        settings = termios.tcgetattr(self._process.terminal)
        modes, keys = settings[3], settings[6]
        return bool(modes & termios.ISIG and not modes & termios.NOFLSH) and data in [
            keys[key] for key in _SIGNAL_KEYS
        ]

    def _flush(self) -> None:
        """Drop what the kernel has taken and no program has read."""
        terminal = self._process.terminal
        if terminal is None:
            return
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(terminal, termios.TCOFLUSH)
            peer = fcntl.ioctl(terminal, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            try:
                termios.tcflush(peer, termios.TCIFLUSH)
            finally:
                os.close(peer)

    async def _drop(self) -> None:
        self._queues.clear()
        self._gone.clear()
        self._progress.set()
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._begin()  # somebody may have typed meanwhile

    def leave(self, who: object, *, drop: bool = False) -> None:
        """Note that somebody has gone: what they have typed is typed all the same, unless ``drop`` is set."""
        self._gone.add(who)
        left = sum(map(self.waiting_of, self._gone))
        if drop or left > MAX_WAITING_BYTES:
            self._queues.pop(who, None)
        self._forget_empty()

    def _forget_empty(self) -> None:
        for who in [who for who, queue in self._queues.items() if not queue]:
            del self._queues[who]
        self._gone &= self._queues.keys()

    async def _pass_on(self) -> None:
        try:
            while self._queues:
                for queue in list(self._queues.values()):
                    await self._sink.write(_piece(queue))
                self._forget_empty()
                self._progress.set()
        except BrokenPipeError:
            self._queues.clear()  # the program has gone, and what it did not read goes with it
        finally:
            self._progress.set()
            self._task = None

    async def aclose(self) -> None:
        """Type no more; idempotent."""
        self._is_closed = True
        await self._drop()


def _piece(queue: bytearray) -> bytes:
    """Cut the next piece off: at the end of a line where there is one, and never within a character."""
    size = 1 + max(queue.rfind(b"\r", 0, PIECE_BYTES), queue.rfind(b"\n", 0, PIECE_BYTES)) or PIECE_BYTES
    while size < len(queue) and queue[size] & 0xC0 == 0x80:
        size -= 1
    piece = bytes(queue[:size])
    del queue[:size]
    return piece
