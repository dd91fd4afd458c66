"""What the client raises beside the errors it shares with the gateway.

EmbedEnvError
├── AddressError          the URL or the keys cannot be used (also a ValueError)
├── RefusedError          the server answered with an error frame or a final close code
│   ├── NoCreditsError        the account cannot pay for a run
│   ├── BlockedError          a rule of the gateway recognised something in the code
│   ├── UnknownLanguageError  there is no such language
│   ├── TooManyRunsError      the account asks for more runs than it may; says when to try again
│   └── RunStoppedError       its session was ended under the run
├── PlainServerError      the server speaks only the published frames, which cannot say this
├── OutputLostError       the log no longer had a part of a run's output
├── StalledError          nothing more can arrive until unread output is read
└── ConnectionLostError   from embedenv_jupyter.errors
    └── UnreachableError  no first connection came about

``RoomClosedError``, ``BusyError``, ``WorkspaceError``, ``AuthenticationError``,
``SourceError`` and ``UnknownSessionError`` come from :mod:`embedenv_jupyter.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence

from embedenv_jupyter.errors import ConnectionLostError, EmbedEnvError


class AddressError(EmbedEnvError, ValueError):
    """The address or the keys given to ``connect`` cannot be used; no network was touched."""


class RefusedError(EmbedEnvError):
    """The server refused; ``message`` is its own sentence.

    ``code`` is its machine-readable word or the close code, where it gave one.
    """

    def __init__(self, message: str, code: str | int | None = None) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code

    def __str__(self) -> str:
        return self.message or f"The server refused without a reason (code {self.code})."


class NoCreditsError(RefusedError):
    """The account has fewer credits than the run costs; nothing was run."""


class BlockedError(RefusedError):
    """A rule of the gateway recognised something in the code; the message names it. Nothing was run."""


class UnknownLanguageError(RefusedError):
    """The gateway has no language of this name; the message names those that are like it."""


class TooManyRunsError(RefusedError):
    """The account asked for more runs than it may; after ``retry_after_s`` seconds the next one is taken."""

    def __init__(self, message: str, code: str, retry_after_s: float) -> None:
        super().__init__(message, code)
        self.retry_after_s = retry_after_s


class RunStoppedError(RefusedError):
    """The session of the run was ended under it."""


class PlainServerError(EmbedEnvError):
    """``action`` has no frame in the published protocol, and this server speaks nothing else."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action

    def __str__(self) -> str:
        return f"This server speaks only the published frames, which have no way to {self.action}."


class OutputLostError(EmbedEnvError):
    """A part of a run's output is gone; ``text`` is the rest, ``events`` how many numbered events it lacks.

    ``events`` is ``None`` when nobody knows.
    """

    def __init__(self, command: str, text: str, counts: Sequence[int | None]) -> None:
        super().__init__(command)
        self.command = command
        self.text = text
        known = [count for count in counts if count is not None]
        self.events = sum(known) if len(known) == len(counts) else None

    def __str__(self) -> str:
        lost = "an unknown number of" if self.events is None else str(self.events)
        return f"The output of {self.command!r} is not whole: {lost} events were lost."


class StalledError(EmbedEnvError):
    """``unread_bytes`` of output wait to be read, and what this call waits for is behind them."""

    def __init__(self, unread_bytes: int) -> None:
        super().__init__(unread_bytes)
        self.unread_bytes = unread_bytes

    def __str__(self) -> str:
        return (
            f"{self.unread_bytes} bytes of output are not being read, so nothing else of this room can"
            " arrive; read the runs that you started, or call discard() on them."
        )


class UnreachableError(ConnectionLostError):
    """No first connection came about; ``reason`` names the address and what went wrong."""

    def __str__(self) -> str:
        return f"No room could be reached: {self.reason}"
