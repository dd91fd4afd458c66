"""One execution, as whoever asked for it holds it: its events, its input, its end."""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.engine.events import Event, Outcome
from embedenv_jupyter.engine.pace import EventQueue

DEFAULT_TIMEOUT_S: Final = 10.0
DEFAULT_COMPILE_TIMEOUT_S: Final = 60.0
LADDER: Final = (signals.SIGINT, signals.SIGTERM, signals.SIGKILL)
STEP_S: Final = 2.0
"""How long each step of the ladder has to work."""


@dataclass(frozen=True)
class RunOptions:
    """How to run. Times are in seconds, ``None`` for no limit of the engine's own.

    ``terminal`` (rows, columns) puts the program on a terminal: its two streams are
    then one, ``stdout``, and it can be resized. ``use_cache=False`` compiles anew.
    """

    timeout_s: float | None = DEFAULT_TIMEOUT_S
    compile_timeout_s: float | None = DEFAULT_COMPILE_TIMEOUT_S
    terminal: tuple[int, int] | None = None
    use_cache: bool = True


class Control:
    """What can be done to an execution while it runs; who runs it puts the present program in.

    Input that comes before the program is there waits for it: a compile stage has none.
    """

    def __init__(self) -> None:
        self.write: Callable[[bytes], Awaitable[None]] | None = None
        self.close: Callable[[], Awaitable[None]] | None = None
        self.signal: Callable[[int], Awaitable[None]] | None = None
        self.resize: Callable[[int, int], None] | None = None
        self.takes_input = asyncio.Event()
        """Set once the run stage has its program, and at the end."""
        self.has_ended = asyncio.Event()
        self.is_quiet = asyncio.Event()
        """Set while no program can be reached: before the first, between two, and after the last."""
        self.is_quiet.set()
        self.is_stopped = False
        """Somebody asked for the end, so however the program ends, that is why."""


class Execution:
    """A run that has been started. Iterate once over its events; the last is an :class:`Outcome`.

    Nothing is dropped: a reader that is slow holds up the program, which then waits in its
    own write. Closing it early (:meth:`aclose`) ends the program.
    """

    def __init__(self, queue: EventQueue, control: Control, work: asyncio.Task[Outcome]) -> None:
        self._queue = queue
        self._control = control
        self._work = work

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._queue.events()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more; events may still be unread."""
        return self._control.has_ended.is_set()

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, or ``None`` while it runs."""
        if not self._work.done() or self._work.cancelled() or self._work.exception() is not None:
            return None
        return self._work.result()

    async def write_stdin(self, data: bytes) -> None:
        """Give input; returns when the program's pipe has taken it. After the end nothing happens.

        Raises:
            BrokenPipeError: the program does not read its input any more, or the input was closed.
        """
        await self._control.takes_input.wait()
        if self._control.write is not None and data:
            await self._control.write(data)

    async def close_stdin(self) -> None:
        """Let the program see the end of its input; idempotent. In a session it is the end for good."""
        await self._control.takes_input.wait()
        if self._control.close is not None:
            await self._control.close()

    async def send_signal(self, number: int) -> None:
        """Signal the process group of the present stage; nothing happens when it has ended.

        Raises:
            ValueError: this is no signal.
        """
        if not 0 < number < signals.NSIG:
            raise ValueError(f"{number} is no signal; 1 to {signals.NSIG - 1} are")
        if self._control.signal is not None:
            await self._control.signal(number)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size; nothing happens to a program that is on none."""
        if not (0 < rows < 1 << 16 and 0 < columns < 1 << 16):
            raise ValueError(f"{rows} rows and {columns} columns are no size; 1 to 65535 are")
        if self._control.resize is not None:
            self._control.resize(rows, columns)

    async def stop(self) -> None:
        """Walk the ladder INT, TERM, KILL on the process group, until the program has ended.

        The events go on to the outcome, whose reason is ``stopped``. Returns when nothing runs.
        """
        self._control.is_stopped = True
        for step in LADDER:
            if self._control.signal is not None:
                await self._control.signal(step)
            try:
                async with deadline(STEP_S):
                    await self._control.is_quiet.wait()
                    return
            except TimeoutError:
                continue

    async def aclose(self) -> None:
        """End the program at once if it runs, and forget what nobody read; idempotent."""
        self._queue.discard()
        try:
            await asyncio.sleep(0)  # work that is cancelled before its first step cleans nothing up
        finally:
            self._work.cancel()
        if not self._work.done():
            await asyncio.wait({self._work})
        if not self._work.cancelled():
            self._work.exception()  # the reader has met it, or wants none any more


def begin(work: Callable[[EventQueue, Control], Awaitable[Outcome]]) -> Execution:
    """Start work that tells a queue what happens, and make the execution that owns it."""
    queue, control = EventQueue(), Control()

    async def run() -> Outcome:
        try:
            outcome = await work(queue, control)
            await queue.put(outcome)
        except BaseException as exc:
            queue.fail(exc)
            raise
        finally:
            control.takes_input.set()
            control.has_ended.set()
        return outcome

    return Execution(queue, control, asyncio.create_task(run(), name="execution"))
