"""What can happen in a room: the kinds of events that its log holds.

An event knows when it happened (``at``, UTC seconds, given by whoever reports
it) and how many numbers it takes (``count``): one for each frame that it is in
the Spaces protocol (docs/architecture.md section 4). Events are values; the log
numbers them, keeps them and writes them to disk in msgpack, as maps, so that a
kept log can still be read when a kind has got new fields with defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

LINE_END: Final = "\n"


class _Event(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag_field="type"
):  # gc=False: events hold text and numbers only, so they cannot be part of a cycle
    at: float

    @property
    def count(self) -> int:
        """How many numbers of the log this event takes."""
        return 1


# What programs do.


class Output(_Event, frozen=True, tag="output"):
    """What a run wrote: lines, and perhaps the beginning of another one.

    ``prompt`` says that the program waits for input behind the partial line (it
    may be empty), which is therefore shown as a line of its own. ``stream`` is
    ``terminal``, ``stdout`` or ``stderr``.
    """

    run: str
    text: str
    stream: str = "terminal"
    prompt: bool = False

    @property
    def count(self) -> int:
        """Two for a complete line (its text, its end), one for a partial one, two for a prompt."""
        text = self.text
        lines = 2 * text.count(LINE_END)
        if self.prompt:
            return lines + 2
        return lines if not text or text[-1] == LINE_END else lines + 1

    def pieces(self) -> Iterator[str]:
        r"""Yield what each number stands for: a line's text, possibly empty, or ``"\n"`` for its end.

        An empty line is ``""`` and ``"\n"``. There are exactly :attr:`count` pieces.
        """
        *lines, rest = self.text.split(LINE_END)
        for line in lines:
            yield line
            yield LINE_END
        if rest or self.prompt:
            yield rest
        if self.prompt:
            yield LINE_END


class Prompt(_Event, frozen=True, tag="prompt"):
    """A run waits for input; ``text`` is what it asked. The output itself is in an :class:`Output`.

    A cell's prompt has an ``id`` to answer it by; ``password`` says that the answer is secret.
    """

    run: str
    text: str
    id: str = ""
    password: bool = False


class PromptAnswered(_Event, frozen=True, tag="prompt-answered"):
    """Somebody answered the prompt of a cell, or (``by`` empty) nobody has to any more. Never what."""

    id: str
    run: str
    by: str = ""


class RunStarted(_Event, frozen=True, tag="run-started"):
    """Somebody started a run; ``member`` is the author's id, ``user`` the name at that time.

    ``kind`` is ``shell`` or ``cell``; a cell names its ``kernel``, and ``cell`` is its id in the notebook.
    ``member`` is empty where a user of the Jupyter server ran a cell who is not in the room.
    """

    run: str
    command: str
    user: str
    member: str
    kind: str = "shell"
    kernel: str = ""
    cell: str = ""
    colour: str = ""


class RunEnded(_Event, frozen=True, tag="run-ended"):
    """A run is over: ``code`` is null after a signal, ``signal`` its name (``SIGKILL``) or null.

    Times in seconds, ``cost`` in credits; ``reason`` is a short machine-readable word.
    A cell (``kind``) ends with code 0, or 1 after an error.
    """

    run: str
    code: int | None
    signal: str | None
    duration_s: float
    cost: int = 0
    cpu_s: float | None = None
    reason: str = "exit"
    kind: str = "shell"
    user: str = ""

    @property
    def count(self) -> int:
        """Two for a shell line: the published end frame, and the one that tells how it ended."""
        return 2 if self.kind == "shell" else 1


class KernelMessage(_Event, frozen=True, tag="kernel-message"):
    """A Jupyter message that a kernel sent on ``channel``; in the log of that kernel only.

    ``to`` is the session that it answers, empty for what every client sees;
    ``parts`` are header, parent header, metadata, content, then buffers.
    """

    channel: str
    parts: tuple[bytes, ...]
    to: str = ""


class EngineFrame(_Event, frozen=True, tag="engine-frame"):
    """A frame of the Engine protocol, without its number; in the log of an engine session only."""

    frame: bytes


class StopStep(_Event, frozen=True, tag="stop"):
    """A run got a step of the stop ladder: ``INT``, ``TERM`` or ``KILL``."""

    run: str
    step: str


# Who is here.


class MemberJoined(_Event, frozen=True, tag="member-joined"):
    """Somebody came in, or came back."""

    member: str
    user: str
    colour: str
    role: str


class MemberLeft(_Event, frozen=True, tag="member-left"):
    """The last connection of a member is gone."""

    member: str
    user: str


class RoleChanged(_Event, frozen=True, tag="role"):
    """The owner (``by``) made a member something else."""

    member: str
    user: str
    role: str
    by: str = ""


# What the room goes through.


class FilesChanged(_Event, frozen=True, tag="files"):
    """A member created, wrote, renamed or removed files; ``by`` is the user.

    What programs change is reported for folders that were listed lately, with an empty ``by`` and the path of
    the folder ("." for the workspace): no tier of isolation shows us all of it at a bounded price.
    """

    paths: tuple[str, ...]
    by: str = ""


class PortOpened(_Event, frozen=True, tag="port"):
    """A program of the room began to listen on a port, while a run went on."""

    port: int


class LimitBreached(_Event, frozen=True, tag="limit"):
    """The room ran into a limit: ``oom``, ``pids``, ``disk`` or ``time``."""

    breach: str
    detail: str = ""


class IdleCountdown(_Event, frozen=True, tag="idle"):
    """The room will be stopped in ``seconds`` because nobody uses it; null: not any more."""

    seconds: float | None


class RoomError(_Event, frozen=True, tag="error"):
    """Something went wrong that is nobody's answer; ``text`` is a sentence for the members."""

    text: str


class PostMortem(_Event, frozen=True, tag="post-mortem"):
    """How the room ended. What the tier could not measure is null.

    ``cause`` says what the sandbox died of, where it died by itself; ``code``
    and ``signal`` how its first process ended; ``breaches`` which limits it met.
    """

    reason: str
    cause: str | None = None
    code: int | None = None
    signal: str | None = None
    breaches: tuple[str, ...] = ()
    peak_memory_bytes: int | None = None
    cpu_s: float | None = None
    duration_s: float | None = None

    @property
    def oom(self) -> bool:
        """True when the kernel killed something of this room for want of memory."""
        return "oom" in self.breaches


Event = (
    Output
    | Prompt
    | RunStarted
    | PromptAnswered
    | RunEnded
    | KernelMessage
    | EngineFrame
    | StopStep
    | MemberJoined
    | MemberLeft
    | RoleChanged
    | FilesChanged
    | PortOpened
    | LimitBreached
    | IdleCountdown
    | RoomError
    | PostMortem
)
