"""What a peer asked, checked and typed: what :class:`SpacesSession` hands to its user.

The ``repr`` of a request holds no secrets and no contents, so that it may be logged.
A line typed into a program may be a password, so shell lines count as contents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from embedenv_jupyter.protocols.spaces.tree import Files

Encoding: TypeAlias = Literal["text", "base64"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""HTTP requests that may be sent twice (RFC 9110 section 9.2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    id: str | None = None
    """What the answer must carry; only commands of clients that ask have one."""

    @property
    def may_repeat(self) -> bool:
        """Whether carrying it out twice changes nothing."""
        return False


@dataclass(frozen=True, slots=True)
class Init(_Request):
    """Open a room. ``resume`` is not ``None`` when the client asks."""

    public_key: str
    secret_key: str = field(repr=False)
    resume: int | None = None


@dataclass(frozen=True, slots=True)
class Join(_Request):
    """Enter a room; with the token ``member``, as the member who was here before."""

    key: str = field(repr=False)
    user: str
    colour: str
    resume: int | None = None
    member: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DeployProject(_Request):
    """Lay a tree over the workspace: files with content, folders with ``None``, parents first."""

    files: Files = field(repr=False)


@dataclass(frozen=True, slots=True)
class Create(_Request):
    """Make an empty file, or a folder."""

    path: str
    folder: bool


@dataclass(frozen=True, slots=True)
class Write(_Request):
    """Replace a file."""

    path: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rename(_Request):
    """Move what is at ``path`` to ``to``, which is in the same folder."""

    path: str
    to: str


@dataclass(frozen=True, slots=True)
class Delete(_Request):
    """Remove a file, or a folder with all that it holds."""

    path: str


@dataclass(frozen=True, slots=True)
class Shell(_Request):
    """Give a running program a line of input; run a shell line when there is none."""

    command: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Interrupt(_Request):
    """Press Ctrl+C."""


@dataclass(frozen=True, slots=True)
class Stdin(_Request):
    """Give the program text as it is. ``run`` is the run it is meant for, if the client said."""

    data: str = field(repr=False)
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Eof(_Request):
    """Tell the program that no more input comes."""

    run: str | None = None


@dataclass(frozen=True, slots=True)
class Signal(_Request):
    """Signal the program; ``name`` is without ``SIG``."""

    name: str
    run: str | None = None


@dataclass(frozen=True, slots=True)
class Curl(_Request):
    """Send an HTTP request to a port of this room."""

    method: str
    port: int
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def may_repeat(self) -> bool:
        return self.method in SAFE_METHODS


@dataclass(frozen=True, slots=True)
class Read(_Request):
    """Send a file's content."""

    path: str
    encoding: Encoding = "text"

    @property
    def may_repeat(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class List(_Request):
    """Send a folder's entries; ``"."`` is the workspace itself."""

    path: str

    @property
    def may_repeat(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Stop(_Request):
    """End the room."""


@dataclass(frozen=True, slots=True)
class Keep(_Request):
    """Put the idle stop off by ``seconds``."""

    seconds: float


Hello: TypeAlias = Init | Join
Command: TypeAlias = (
    DeployProject | Create | Write | Rename | Delete | Shell | Interrupt | Stdin | Eof | Signal
    | Curl | Read | List | Stop | Keep
)  # fmt: skip
Request: TypeAlias = Hello | Command
