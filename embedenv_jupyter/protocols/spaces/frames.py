"""The frames of the Spaces protocol: JSON objects, one in each text message.

A client (a program, or a page in a browser) opens a room with ``init`` or enters
one with ``join``, then sends commands; the gateway answers, and carries the
output of the room's programs to everybody in it. docs/protocols/spaces.md has
the table, the states and a transcript.

Two kinds of frames live here side by side. The published ones are read and
written exactly as published. Ours, and our fields on published frames, are seen
only by clients that ask, which is to put ``resume`` into ``init`` or ``join``.
Fields that are not set are not written; unknown fields are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

MAX_HELLO_BYTES = 8 << 10
"""The largest frame of a peer that is not in a room yet."""
MAX_FRAME_BYTES = 32 << 20
"""The largest frame of a member: 10 MB of text fit, however much of it JSON must escape as one character
more. A larger one is refused with an error frame."""
MAX_MESSAGE_BYTES = 64 << 20
"""The largest message that a socket should take at all; it closes on a larger one without reading it."""
MAX_KEY_CHARS = 256
MAX_ID_CHARS = 64
MAX_NUMBER = (1 << 53) - 1
"""The largest integer that all JSON peers share."""
MAX_CHUNK_CHARS = 16 << 10
"""A longer content goes in several ``chunk`` frames. A multiple of 4, so that pieces of base64 stay whole."""

Text: TypeAlias = str | UnsetType
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARS)]
Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY_CHARS)]
Number = Annotated[int, Meta(ge=0, le=MAX_NUMBER)]
Opaque: TypeAlias = Raw | UnsetType
"""Sent by published clients for their own use; never looked at."""


# Client to server.


class Init(Struct, frozen=True, tag="init"):
    """Client to server: open a room, and pay for it. With ``resume`` the client asks."""

    public_key: Key
    secret_key: Key
    resume: Number | None | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"Init(public_key={self.public_key!r}, secret_key=…, resume={self.resume!r})"


class Join(Struct, frozen=True, tag="join"):
    """Client to server: enter a room. ``member`` is the token of a member who comes back."""

    join: Key
    user: str | None | UnsetType = UNSET
    color: str | None | UnsetType = UNSET
    resume: Number | None | UnsetType = UNSET
    member: Key | None | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"Join(join=…, user={self.user!r}, color={self.color!r}, resume={self.resume!r}, member=…)"


class Project(Struct, frozen=True, tag="project"):
    """Client to server, in a command: lay ``file_structure`` over the workspace."""


class Create(Struct, frozen=True, tag="create"):
    """Client to server, in a command: make an empty file or a folder.

    ``path`` is whole; ``rpath`` (the parent, relative to ``project``) and ``name``
    say it again and count only where ``path`` is missing.
    """

    item: str
    name: Text = UNSET
    rpath: Text = UNSET
    path: Text = UNSET
    root: Opaque = UNSET
    targetElementData: Opaque = UNSET  # noqa: N815  # as published


class Write(Struct, frozen=True, tag="write"):
    """Client to server, in a command: replace the file ``path`` by ``content``."""


class Rename(Struct, frozen=True, tag="rename"):
    """Client to server, in a command: give what is at ``path`` the new base name ``name``."""


class Delete(Struct, frozen=True, tag="delete"):
    """Client to server, in a command: remove what is at ``path``."""


class Shell(Struct, frozen=True, tag="shell"):
    """Client to server, in a command: a shell line, or a line of input while a program runs.

    The text ``Ctrl+C`` interrupts.
    """

    command: str


class Curl(Struct, frozen=True, tag="curl"):
    """Client to server, in a command: send an HTTP request to a program of the room."""


class Stdin(Struct, frozen=True, tag="stdin"):
    """Client to server, in a command of ours: ``data`` goes to the program as it is."""

    data: Text = UNSET


class Eof(Struct, frozen=True, tag="eof"):
    """Client to server, in a command of ours: no more input comes."""


class Signal(Struct, frozen=True, tag="signal"):
    """Client to server, in a command of ours: signal the program."""

    signal: Text = UNSET


class Read(Struct, frozen=True, tag="read"):
    """Client to server, in a command of ours: send a file's content as ``chunk`` … ``end``."""

    path: Text = UNSET
    encoding: Text = UNSET


class List(Struct, frozen=True, tag="list"):
    """Client to server, in a command of ours: send a folder's entries."""

    path: Text = UNSET


class Stop(Struct, frozen=True, tag="stop"):
    """Client to server, in a command of ours: end the room."""


class Keep(Struct, frozen=True, tag="keep"):
    """Client to server, in a command of ours: put the idle stop off."""

    seconds: float | UnsetType = UNSET


PublishedCommand: TypeAlias = Project | Create | Write | Rename | Delete | Shell | Curl
OurCommand: TypeAlias = Stdin | Eof | Signal | Read | List | Stop | Keep
Command: TypeAlias = (
    Project | Create | Write | Rename | Delete | Shell | Curl
    | Stdin | Eof | Signal | Read | List | Stop | Keep
)  # fmt: skip


class Cmd(Struct, frozen=True, kw_only=True, tag="cmd"):
    """Client to server: one command. What each takes stands beside ``command``, but where it is inside.

    Of ours: ``id``, ``encoding`` and ``run`` (the run that input is meant for).
    The fields of our own commands may stand in either place.
    """

    project_name: Text = UNSET
    command: Command
    file_structure: Text = UNSET
    path: Text = UNSET
    rpath: Text = UNSET
    name: Text = UNSET
    root: Opaque = UNSET
    targetElementData: Opaque = UNSET  # noqa: N815  # as published
    content: Text = UNSET
    encoding: Text = UNSET
    method: Text = UNSET
    url: Text = UNSET
    # Raw, so that it can be bounded before anything is made of it.
    headers: Raw | UnsetType = UNSET
    data: str | None | UnsetType = UNSET
    signal: Text = UNSET
    seconds: float | UnsetType = UNSET
    run: Text = UNSET
    # Raw, because only clients that ask mean by it what we do.
    id: Raw | UnsetType = UNSET


Hello: TypeAlias = Init | Join
ClientFrame: TypeAlias = Init | Join | Cmd


# Server to client.


class Welcome(Struct, frozen=True, tag="init"):
    """Server to client: the room is open, and others may enter it with the key ``join``.

    ``remaining_credits`` is null for an account without a limit.
    """

    join: str
    remaining_credits: int | None
    room: Text = UNSET
    role: Text = UNSET
    member: Text = UNSET
    n: int | UnsetType = UNSET


class Joined(Struct, frozen=True, tag="join"):
    """Server to client: you are in the room."""

    join: str
    user: str
    color: str
    room: Text = UNSET
    role: Text = UNSET
    member: Text = UNSET
    n: int | UnsetType = UNSET


class Msg(Struct, frozen=True, tag="msg"):
    """Server to client: a sentence for people."""

    message: str
    id: Text = UNSET


class TerminalData(Struct, frozen=True, tag="terminal-data"):
    """Server to client: a piece of output; it holds no line end."""

    data: str
    run: Text = UNSET
    n: int | UnsetType = UNSET


class TerminalNewline(Struct, frozen=True, tag="terminal-newline"):
    """Server to client: the line of output ends here."""

    data: str = ""
    run: Text = UNSET
    n: int | UnsetType = UNSET


class TerminalDataEnd(Struct, frozen=True, tag="terminal-data-end"):
    """Server to client: the shell line has ended."""

    run: Text = UNSET
    n: int | UnsetType = UNSET


class Chunk(Struct, frozen=True, tag="chunk"):
    """Server to client: the next piece of a response's body or of a file."""

    content: str
    encoding: Text = UNSET
    id: Text = UNSET


class End(Struct, frozen=True, tag="end"):
    """Server to client: there are no more chunks."""

    id: Text = UNSET


class Error(Struct, frozen=True, tag="error"):
    """Server to client: something was refused or failed, and why."""

    message: str
    id: Text = UNSET


class Exit(Struct, frozen=True, tag="exit"):
    """Server to client, ours: how a run ended. One of ``code`` and ``signal`` is null."""

    run: str
    code: int | None
    signal: str | None
    n: int


class Gap(Struct, frozen=True, tag="gap", rename={"first": "from", "last": "to"}):
    """Server to client, ours: the log no longer has the events from ``first`` to ``last``."""

    first: int
    last: int
    events: int
    bytes: int
    n: int


class Done(Struct, frozen=True, tag="done"):
    """Server to client, ours: the command was carried out. ``run`` names the run of a shell line."""

    id: str
    run: Text = UNSET


class Entry(Struct, frozen=True):
    """One line of a listing: ``size`` in bytes, ``modified`` in seconds since 1970."""

    name: str
    type: str
    size: int
    modified: float


class Listing(Struct, frozen=True, tag="listing"):
    """Server to client, ours: what is in the folder ``path``."""

    path: str
    entries: tuple[Entry, ...]
    id: Text = UNSET


class Event(Struct, frozen=True):
    """Server to client, ours: something named happened in the room; ``details`` are its own fields."""

    event: str
    n: int
    details: dict[str, Any]


EVENTS = {
    "run": ("run", "command", "user"),
    "prompt": ("run", "text"),
    "member-joined": ("member", "user", "color", "role"),
    "member-left": ("member", "user"),
    "role": ("member", "user", "role"),
    "stop": ("run", "step"),
    "idle": ("seconds",),
    "oom": ("detail",),
    "pids": ("detail",),
    "disk": ("detail",),
    "time": ("detail",),
    "files": ("paths", "user"),
    "port": ("port",),
    "error": ("text",),
    "post-mortem": ("reason", "cause", "breaches", "peak_memory_bytes", "cpu_s", "duration_s"),
}
"""The events and the fields that each has at least; docs/protocols/spaces.md says what they mean."""

TaggedFrame: TypeAlias = (
    Welcome | Joined | Msg | TerminalData | TerminalNewline | TerminalDataEnd
    | Chunk | End | Error | Exit | Gap | Done | Listing
)  # fmt: skip
ServerFrame: TypeAlias = TaggedFrame | Event
