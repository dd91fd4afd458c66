"""Every frame that a gateway of ours reads and writes, typed.

The published page shows one request and one answer. They are :class:`Execute` with
its first three fields, and :class:`Answer`; everything else here is for clients that
ask for it, by ``"stream": true`` or by an action that the page does not have.
Unknown fields are passed over, as between any two versions of a protocol.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

MAX_MESSAGE_BYTES: Final = 16 << 20
"""The longest frame: code and files, with room for how JSON escapes them."""

MAX_CODE_CHARS: Final = 1 << 20
MAX_FILES: Final = 64
MAX_ARGUMENTS: Final = 256
MAX_VARIABLES: Final = 64
MAX_TEXT_CHARS: Final = 16 << 10
"""The longest argument, the longest value of a variable."""

MAX_INPUT_CHARS: Final = 64 << 10
"""How much input one frame gives."""

MAX_STDIN_CHARS: Final = 4 << 20
MAX_TIMEOUT_S: Final = 24 * 3600.0
MAX_BATCH: Final = 20
MAX_NUMBER: Final = 2**53
MIN_CPUS: Final = 0.01
"""The least share of a processor that Linux can hold a room to: 1 ms of its period of 100 ms."""

Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]
LanguageName = Annotated[str, Meta(min_length=1, max_length=40)]
Code = Annotated[str, Meta(max_length=MAX_CODE_CHARS)]
ApiKey = Annotated[str, Meta(min_length=1, max_length=400)]
RunId = Annotated[str, Meta(min_length=1, max_length=64)]
SessionName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)")]
"""In Python, unlike in other dialects of JSON Schema, ``$`` alone lets a newline pass behind it."""

ClientName = Annotated[str, Meta(max_length=64)]
Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Seconds = Annotated[float, Meta(gt=0, le=MAX_TIMEOUT_S)]
Rows = Annotated[int, Meta(ge=1, le=1000)]
Arguments = Annotated[list[Text], Meta(max_length=MAX_ARGUMENTS)]
SignalNumber = Annotated[int, Meta(ge=1, le=64)]
SignalName = Annotated[str, Meta(pattern=r"^(SIG)?[A-Z0-9]{2,8}$(?!\n)")]
VariableName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$(?!\n)")]
Variables = Annotated[dict[VariableName, Text], Meta(max_length=MAX_VARIABLES)]


T = TypeVar("T")


def given(value: T | UnsetType) -> T | None:
    """Return a field's value, ``None`` where the frame has no such field."""
    return None if isinstance(value, UnsetType) else value


class Base64(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is no text."""

    base64: str


Files = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=1024)], str | Base64], Meta(max_length=MAX_FILES)
]
"""By path, relative to the folder that the program runs in."""


class Size(Struct, frozen=True):
    """A terminal's."""

    rows: Rows = 24
    cols: Rows = 80


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a session's room may use; at most what the gateway allows a room."""

    memory_mib: Annotated[int, Meta(ge=16, le=1 << 20)] | UnsetType = UNSET
    pids: Annotated[int, Meta(ge=4, le=1 << 16)] | UnsetType = UNSET
    cpus: Annotated[float, Meta(ge=MIN_CPUS, le=1024)] | UnsetType = UNSET
    disk_mib: Annotated[int, Meta(ge=1, le=1 << 20)] | UnsetType = UNSET


class Work(Struct, frozen=True, kw_only=True):
    """What is to be run, and how: what a frame and the body of a REST request have in common."""

    language: LanguageName
    code: Code
    stdin: Annotated[str, Meta(max_length=MAX_STDIN_CHARS)] | UnsetType = UNSET
    """The whole input; a program that reads on finds its end."""
    files: Files | UnsetType = UNSET
    args: Arguments | UnsetType = UNSET
    env: Variables | UnsetType = UNSET
    timeout: Seconds | UnsetType = UNSET
    limits: Limits | UnsetType = UNSET
    session: SessionName | UnsetType = UNSET
    """Keeps its state between connections; without a name, state lives as long as the connection."""
    cell: bool | UnsetType = UNSET
    """Whether ``code`` continues what ran before it in its session, or is a whole program.

    Without it, code of a compiled language is a program, and that of any other a cell.
    """


class Batch(Struct, frozen=True, kw_only=True):
    """Several requests in one REST body; they run one after another, each whatever became of the others."""

    runs: Annotated[list[Work], Meta(min_length=1, max_length=MAX_BATCH)]


class Execute(Work, frozen=True, kw_only=True, tag="execute", tag_field="action"):
    """Run ``code``."""

    api_key: ApiKey | UnsetType = UNSET
    id: RunId | UnsetType = UNSET
    stream: bool = False
    fresh: bool = False
    """Run it as a program of its own, which finds no state and leaves none."""
    pty: Size | UnsetType = UNSET

    def __repr__(self) -> str:  # without the code and the key
        return f"Execute(id={self.id!r}, language={self.language!r}, code of {len(self.code)} characters)"


class Auth(Struct, frozen=True, tag="auth", tag_field="action"):
    """Say once who pays for what this connection runs."""

    api_key: ApiKey

    def __repr__(self) -> str:
        return "Auth()"


class Stdin(Struct, frozen=True, tag="stdin", tag_field="action"):
    """Give a program input, exactly as it stands here; the answer to a prompt ends with a newline.

    This frame and the three that follow are **inputs** of a run. One with a number, ``input``, is
    answered by :class:`Ack`, or by an error with that number. When it comes again, on whatever
    connection, it is answered in the same way and not carried out again. Where several clients give
    one run inputs with numbers, each says a ``client`` of its own.
    """

    id: RunId
    data: Annotated[str, Meta(max_length=MAX_INPUT_CHARS)]
    input: Number | UnsetType = UNSET
    client: ClientName = ""

    def __repr__(self) -> str:  # it may be a password
        return f"Stdin(id={self.id!r}, {len(self.data)} characters)"


class Eof(Struct, frozen=True, tag="eof", tag_field="action"):
    """End a program's input."""

    id: RunId
    input: Number | UnsetType = UNSET
    client: ClientName = ""


class Signal(Struct, frozen=True, tag="signal", tag_field="action"):
    """Send a signal to a program and what it has started."""

    id: RunId
    signal: SignalNumber | SignalName = "INT"
    input: Number | UnsetType = UNSET
    client: ClientName = ""


class Resize(Struct, frozen=True, tag="resize", tag_field="action"):
    """Tell a program the size of its terminal."""

    id: RunId
    rows: Rows
    cols: Rows
    input: Number | UnsetType = UNSET
    client: ClientName = ""


Input = Stdin | Eof | Signal | Resize
"""What a run is given while it runs."""


class Resume(Struct, frozen=True, tag="resume", tag_field="action"):
    """Come back to a session, and be sent what came after the number ``after``."""

    session: SessionName
    after: Number = 0
    api_key: ApiKey | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"Resume(session={self.session!r}, after={self.after})"


class Close(Struct, frozen=True, tag="close", tag_field="action"):
    """End a session and everything in it."""

    session: SessionName | UnsetType = UNSET


class Ping(Struct, frozen=True, tag="ping", tag_field="action"):
    """Ask for a :class:`Pong`, which measures the way there and back."""

    id: RunId | UnsetType = UNSET


ClientFrame = Execute | Auth | Stdin | Eof | Signal | Resize | Resume | Close | Ping

Milliseconds = Annotated[float, Meta(ge=0)]
ExitCode = Annotated[int, Meta(ge=-(2**31), lt=2**31)]


class StageReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the compiler fared."""

    stdout: str = ""
    stderr: str = ""
    exit_code: ExitCode = 0
    wall_ms: Milliseconds = 0
    is_cached: bool = False


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The one answer to a request without ``stream``.

    The first four fields are the published ones and always there. ``exit_code`` is 128 and
    the signal's number for a program that a signal ended, and 124 for one that took too long.
    """

    stdout: str
    stderr: str
    exit_code: ExitCode
    execution_time: Milliseconds | str
    """Milliseconds as a number on sockets, a text such as ``"87ms"`` in REST: both as published."""
    id: str | UnsetType = UNSET
    signal: str = ""
    ended_by: str = ""
    """What ended it early: ``time``, ``oom``, ``disk``, ``pids``, ``stopped``, ``gone`` (the room ended)."""
    state: str = ""
    """``lost`` when the session's state ended with this run, ``new`` when it had ended before."""
    cpu_ms: Milliseconds = 0
    peak_memory_mib: Milliseconds = 0
    compile: StageReport | UnsetType = UNSET
    omitted_bytes: int = 0
    """How much more it printed than an answer holds; ask for ``stream`` to get all."""
    warnings: list[str] = msgspec.field(default_factory=list)
    cost: int = 0


class _Numbered(Struct, frozen=True, kw_only=True):
    id: str
    n: int | UnsetType = UNSET
    """The number of this frame in its session: what :class:`Resume` comes back to."""


class Accepted(_Numbered, frozen=True, kw_only=True, tag="accepted", tag_field="type"):
    """The run was taken on; ``session`` and ``room`` are where."""

    session: str
    room: str
    cost: int = 0


class Stage(_Numbered, frozen=True, kw_only=True, omit_defaults=True, tag="stage", tag_field="type"):
    """A stage of a run, ``compile`` or ``run``, begins or ends."""

    stage: str
    state: str
    exit_code: ExitCode | UnsetType = UNSET
    signal: str = ""
    wall_ms: Milliseconds | UnsetType = UNSET
    cpu_ms: Milliseconds | UnsetType = UNSET
    is_cached: bool = False


class Stdout(_Numbered, frozen=True, kw_only=True, tag="stdout", tag_field="type"):
    """What was printed, in the order in which it came, cut anywhere between two characters."""

    data: str


class Stderr(_Numbered, frozen=True, kw_only=True, tag="stderr", tag_field="type"):
    """The same of the error stream."""

    data: str


class Display(_Numbered, frozen=True, kw_only=True, tag="display", tag_field="type"):
    """Something to be shown that is no text only: representations by MIME type, as a Jupyter kernel sends."""

    data: dict[str, object]


class Prompt(_Numbered, frozen=True, kw_only=True, omit_defaults=True, tag="prompt", tag_field="type"):
    """The program waits for input."""

    text: str = ""
    password: bool = False


class Warned(_Numbered, frozen=True, kw_only=True, tag="warning", tag_field="type"):
    """The code is run although a rule of the gateway recognises something in it."""

    rule: str
    message: str


class Gap(Struct, frozen=True, kw_only=True, tag="gap", tag_field="type"):
    """``missing`` frames were produced while the client was away, and are kept no more."""

    missing: int
    session: str | UnsetType = UNSET
    n: int | UnsetType = UNSET


class Result(_Numbered, frozen=True, kw_only=True, omit_defaults=True, tag="result", tag_field="type"):
    """The run has ended. What it printed went before; the fields are those of :class:`Answer`."""

    exit_code: ExitCode
    execution_time: Milliseconds
    signal: str = ""
    ended_by: str = ""
    detail: str = ""
    """A sentence for people about the limit."""
    state: str = ""
    cpu_ms: Milliseconds = 0
    peak_memory_mib: Milliseconds = 0
    cost: int = 0


class Error(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="error", tag_field="type"):
    """A frame was refused, or a run was not run. ``error`` is a name for programs, ``message`` for people.

    ``stdout``, ``stderr``, ``exit_code`` and ``execution_time`` are there for clients that
    read every frame as an answer, as the published samples do.
    """

    error: str
    message: str
    stdout: str
    stderr: str
    exit_code: ExitCode
    execution_time: Milliseconds
    id: str | UnsetType = UNSET
    n: int | UnsetType = UNSET
    retry_after: Milliseconds | UnsetType = UNSET
    """After so many seconds it is worth another try."""
    input: int | UnsetType = UNSET
    """The number of the input that was refused."""


class Ack(Struct, frozen=True, kw_only=True, tag="ack", tag_field="type"):
    """A numbered input of a run was taken."""

    id: str
    input: int


class Authenticated(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag="authenticated", tag_field="type"
):
    """The key is good."""

    remaining_credits: int | None = None


class Resumed(Struct, frozen=True, kw_only=True, tag="resumed", tag_field="type"):
    """The session is there; what follows are the frames after ``after``, up to ``n`` and beyond."""

    session: str
    room: str
    n: int
    running: list[str]


class Closed(Struct, frozen=True, kw_only=True, tag="closed", tag_field="type"):
    """The session has ended; ``room`` tells it from another one of its name."""

    session: str
    reason: str
    room: str = ""


class Pong(Struct, frozen=True, kw_only=True, tag="pong", tag_field="type"):
    """What answers a :class:`Ping`, at once."""

    id: str | UnsetType = UNSET


StreamFrame = Accepted | Stage | Stdout | Stderr | Display | Prompt | Warned | Gap | Result | Error
ServerFrame = StreamFrame | Answer | Ack | Authenticated | Resumed | Closed | Pong
