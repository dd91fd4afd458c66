"""One command and what answers it: the three shapes that answers have.

An exchange is told each frame that answers its command and says when the answer
is complete. It knows nothing of ids, order or connections.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.flow import Gate, size_of
from embedenv_jupyter.client.frames import (
    Chunk,
    Done,
    End,
    Error,
    RunNumber,
    ServerFrame,
)
from embedenv_jupyter.client.mailbox import Mailbox
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.client.run import Run
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import BusyError, ConnectionLostError, RemoteProtocolError

T = TypeVar("T")


class Exchange(Protocol):
    """What a dialect needs of all of them."""

    def receive(self, frame: ServerFrame) -> bool:
        """Take a frame of the answer; returns whether the answer is complete."""

    def restarted(self) -> None:
        """The command is sent again, so the answer will come again from its start."""

    def failed(self, failure: Exception) -> None:
        """No answer will come."""

    def dismissed(self) -> None:
        """Nobody waits for the answer any more."""


@asynccontextmanager
async def answered_within(seconds: float) -> AsyncIterator[None]:
    """Bound the wait for an answer that the server gives by itself.

    Raises:
        TimeoutError: with a sentence.
    """
    try:
        async with deadline(seconds):
            yield
    except TimeoutError:
        raise TimeoutError(f"the server did not answer within {seconds:g} s") from None


class _Single(Generic[T]):
    """An answer that is one value."""

    def __init__(self) -> None:
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def restarted(self) -> None:
        """One frame comes whole or not at all."""

    def failed(self, failure: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(failure)

    def dismissed(self) -> None:
        # On a future that has failed already, cancel() only says that nobody will ask for the failure.
        self.future.cancel()

    def _resolve(self, value: T) -> bool:
        if not self.future.done():
            self.future.set_result(value)
        return True


class Answer(_Single[ServerFrame]):
    """An answer of one frame, of whatever type."""

    def receive(self, frame: ServerFrame) -> bool:
        if isinstance(frame, Error):
            self.failed(RefusedError(frame.message, frame.code))
            return True
        return self._resolve(frame)


class Start(_Single[Run]):
    """The answer to a shell command: the run that it became. ``claim`` gives the run for its number.

    "done" says that the line was taken, and by which run; but while a program
    runs, that is the one that got the line as input. So the event that the run
    started must have come too, and with our line; the two come in either order.
    """

    def __init__(self, command: str, claim: Callable[[RunNumber, str], Run]) -> None:
        super().__init__()
        self.is_taken = False
        self._command = command
        self._claim = claim
        self._number: RunNumber | None = None
        self._started: dict[RunNumber, str] = {}
        self._older: set[RunNumber] = set()
        self._gaps: list[Gap] = []

    def receive(self, frame: ServerFrame) -> bool:
        match frame:
            case Error(message=message, code=code):
                self.failed(RefusedError(message, code))
                return True
            case Done(run=number):
                self.is_taken = True
                self._number = number
                return self._match()
        return False

    def run_started(self, number: RunNumber, command: str) -> bool:
        """A run began since we asked; returns whether that completes the answer."""
        self._started[number] = command
        return self._match()

    def run_printed(self, number: RunNumber) -> bool:
        """A run wrote something: one whose start we did not see is older than our line."""
        if number not in self._started and not self._gaps:
            self._older.add(number)
        return self._match()

    def lost(self, gap: Gap) -> bool:
        """A part of the log is gone, in which our run may have started; then its number alone must do."""
        self._gaps.append(gap)
        return self._match()

    def _match(self) -> bool:
        if not self.is_taken:
            return False
        ours = [number for number, command in self._started.items() if command == self._command]
        if self._number is None:  # A server that does not name the run: the first with our line is it.
            return bool(ours) and self._resolve(self._claim(ours[0], self._command))
        is_known = self._number in self._started or self._number in self._older
        if self._number in ours or (self._gaps and not is_known):
            run = self._claim(self._number, self._command)
            for gap in self._gaps:
                run.lost(gap)
            return self._resolve(run)
        if is_known:
            self.failed(taken_as_input())
        return is_known


def taken_as_input() -> BusyError:
    """What a shell line that became input is answered with."""
    return BusyError("A program was running in this room and got the line as its input.")


class Stream:
    """An answer of chunks and an end.

    A restarted answer is skipped up to where it had come. It may have been made
    anew, so what is skipped is compared, by its hash, with what was there before.
    """

    def __init__(self, gate: Gate, *, is_base64: bool = False) -> None:
        self.pieces: Mailbox[bytes | str] = Mailbox(gate, size_of)
        self._is_base64 = is_base64
        self._carry = ""
        self._received = Prefix()
        self._skipped: Prefix | None = None

    def receive(self, frame: ServerFrame) -> bool:
        match frame:
            case Chunk(content=content):
                return self._chunk(content)
            case End() if self._skipped is not None:
                self.failed(_changed())
                return True
            case End():
                self.pieces.end()
                return True
            case Error(message=message, code=code):
                self.failed(RefusedError(message, code))
                return True
        return False

    def restarted(self) -> None:
        self._skipped = Prefix() if self._received.size else None

    def failed(self, failure: Exception) -> None:
        self.pieces.end(failure)

    def dismissed(self) -> None:
        self.pieces.end()
        self.pieces.drop_all()

    def _chunk(self, content: str) -> bool:
        """Take a chunk; returns whether it ended the answer, which only a fault does."""
        content = self._skip(content)
        if self._skipped is not None and self._skipped.size == self._received.size:
            if self._skipped.digest != self._received.digest:
                self.failed(_changed())
                return True
            self._skipped = None
        self._received.add(content)
        return bool(content) and not self._pass_on(content)

    def _skip(self, content: str) -> str:
        if self._skipped is None:
            return content
        count = self._received.size - self._skipped.size
        self._skipped.add(content[:count])
        return content[count:]

    def _pass_on(self, content: str) -> bool:
        if not self._is_base64:
            self.pieces.put(content)
            return True
        text = self._carry + content
        whole = len(text) - len(text) % 4
        self._carry = text[whole:]
        try:
            self.pieces.put(base64.b64decode(text[:whole], validate=True))
        except (binascii.Error, ValueError) as exc:
            self.failed(RemoteProtocolError(f"a chunk was to be base64 and is not: {exc}"))
            return False
        return True


class Prefix:
    """How many characters came, and which: enough to know them again without keeping them."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, text: str) -> None:
        self.size += len(text)
        self._hash.update(text.encode("utf-8", "surrogatepass"))

    @property
    def digest(self) -> bytes:
        return self._hash.digest()


def _changed() -> ConnectionLostError:
    return ConnectionLostError("the answer was made anew after a cut, and is another one now; ask again")
