"""A run that is told about while it runs, and given input and signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from embedenv_jupyter.engine.execution import Execution
from embedenv_jupyter.errors import BusyError, RoomClosedError, SandboxError, SourceError
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.codec import encode
from embedenv_jupyter.rooms.events import EngineFrame
from embedenv_jupyter.snippets.faults import EXPECTED, frame_of
from embedenv_jupyter.snippets.memory import End, TakenInputs
from embedenv_jupyter.snippets.rendering import FrameRenderer

if TYPE_CHECKING:
    from embedenv_jupyter.snippets.session import Job, Session

log = logging.getLogger(__name__)

CALLED_OFF: Final = 130
"""The exit code of a run that was interrupted before its turn: that of SIGINT."""

STDIN_BYTES: Final = 64 << 10
"""How much is written at a time."""

MAX_WAITING_INPUT_BYTES: Final = 8 << 20
"""How much input of one run may wait until its program takes it."""


class StreamedRun:
    """A run that tells what happens as it happens, in the log of its session.

    Input waits here until the program takes it, so that nothing else has to.
    """

    def __init__(self, session: Session, id: str, job: Job) -> None:
        self._session = session
        self.id = id
        self.inputs = TakenInputs()
        self.end: End | None = None
        """The frame that has told its end."""
        self._job = job
        self._execution: Execution | None = None
        self._input: deque[bytes | None] = deque()
        self._waiting_bytes = 0
        self._is_input_over = job.stdin is not None
        self._has_input = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        self._is_called_off = False
        self.task = asyncio.create_task(self._run(), name=f"streamed run {id}")
        self.task.add_done_callback(self._over)
        if job.stdin is not None:
            self._input.extend((job.stdin, None))
            self._has_input.set()

    async def _run(self) -> None:
        try:
            async with self._session.running(self._job) as (execution, cost):
                self._append(
                    frames.Accepted(
                        id=self.id, session=self._session.name, room=self._session.room.id, cost=cost
                    )
                )
                for rule, message in self._job.warnings:
                    self._append(frames.Warned(id=self.id, rule=rule, message=message))
                self._execution = execution
                self._feeding = asyncio.create_task(self._feed(execution), name=f"input of run {self.id}")
                renderer = FrameRenderer(self.id, cost=cost)
                async for event in execution:
                    self._append(*renderer.render(event))
                    await self._session.log.writable()
        except EXPECTED as exc:
            self._append(frame_of(exc, self.id))
        except Exception as exc:
            log.exception("a run of session %s failed", self._session.name)
            self._append(frame_of(exc, self.id))
        finally:
            if self._feeding is not None:
                self._feeding.cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        """Tell the end of a run that was called off, perhaps before it began; each has an end."""
        if not task.cancelled():
            return
        if self._is_called_off:
            self._append(
                frames.Result(id=self.id, exit_code=CALLED_OFF, execution_time=0, ended_by="stopped")
            )
        else:
            self._append(frame_of(RoomClosedError("stopped"), self.id))

    def _append(self, *told: frames.StreamFrame) -> None:
        if not self._session.log.is_finished:
            for frame in told:
                if isinstance(frame, frames.Result | frames.Error):
                    self.end = frame
                self._session.log.append(EngineFrame(frame=encode(frame), at=time.time()))

    # Input and signals.

    def give(self, data: bytes) -> None:
        """Give input, which waits for its turn.

        Raises:
            BusyError: its input was ended, or as much waits already as may.
        """
        if self._is_input_over or self._has_ended_input:
            raise BusyError(f"The run {self.id!r} takes no input any more.")
        if self._waiting_bytes + len(data) > MAX_WAITING_INPUT_BYTES:
            raise BusyError(
                f"{self._waiting_bytes} bytes of input wait for the run {self.id!r} already, "
                f"{MAX_WAITING_INPUT_BYTES} may; wait until it has read some."
            )
        self._waiting_bytes += len(data)
        self._input.append(data)
        self._has_input.set()

    def end_input(self) -> None:
        """Let the program find the end of its input, after what waits. Idempotent."""
        if not self._is_input_over:
            self._is_input_over = True
            self._input.append(None)
            self._has_input.set()

    @property
    def _has_ended_input(self) -> bool:
        return self._feeding is not None and self._feeding.done()

    async def _feed(self, execution: Execution) -> None:
        with contextlib.suppress(BrokenPipeError, SandboxError):  # it reads no more, or has ended
            while True:
                await self._has_input.wait()
                if not self._input:
                    self._has_input.clear()
                    continue
                data = self._input.popleft()
                if data is None:
                    await execution.close_stdin()
                    return
                self._waiting_bytes -= len(data)
                for start in range(0, len(data), STDIN_BYTES):
                    await execution.write_stdin(data[start : start + STDIN_BYTES])

    async def signal(self, number: int) -> None:
        """Signal the program; a run whose turn has not come is not run any more.

        Raises:
            SourceError: there is no such signal.
        """
        if self._execution is None:
            if not self._is_called_off:  # once: it may be ending what has begun
                self._is_called_off = True
                self.task.cancel()
            return
        try:
            await self._execution.send_signal(number)
        except ValueError as exc:
            raise SourceError("signal", str(exc)) from None

    def resize(self, rows: int, columns: int) -> None:
        """Tell the program the size of its terminal, where it is on one."""
        if self._execution is not None:
            self._execution.resize(rows, columns)

    async def stop(self) -> None:
        """End it, whatever it does, and wait for that."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
