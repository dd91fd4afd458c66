"""What the readers of languages tell the judge: what code would do, in words of no language."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Place:
    """Where it stands in the code: ``line`` and ``column`` (in characters) count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Name:
    """An argument that is a name, with dots: ``os.O_WRONLY``, ``SYS_ptrace``."""

    text: str


SELF: Final = Name("<this program>")
"""However a language writes the path of the running program: ``$0``, ``__file__``, ``argv[0]``."""

Value = str | int | Name | tuple["Value", ...] | None
"""An argument: a text, a number, a name, a list of these (flags joined by `|` as well), or unknown."""


@dataclass
class Call:
    """A call as it is written, its name as imports have it: ``subprocess.run``."""

    name: str
    arguments: tuple[Value, ...]
    place: Place
    keywords: dict[str, Value] = field(default_factory=dict)
    receiver: Value = None
    """What a method is called on, where that is known: the path of ``Path("/x").write_text()``."""


@dataclass
class End:
    """``break``, ``return``, ``raise`` and the like."""


@dataclass
class Scope:
    """A part of the code. Kinds: ``endless`` (a loop), ``choice`` (may not run), ``function``, ``plain``."""

    kind: str
    items: list[Scope | Call | End] = field(default_factory=list)
    name: str = ""
    """Of a function; empty for one without a name, which runs where it stands."""
    may_end: bool | None = None
    """Whether something in it may end it or wait, once that was asked."""


@dataclass(frozen=True)
class Ran:
    """A program is started with these words; a word that is not known is ``None``."""

    words: tuple[str | Name | None, ...]


@dataclass(frozen=True)
class Program:
    """A program in ``language`` is run from its text."""

    language: str
    text: str


@dataclass(frozen=True)
class Opened:
    """A file is opened or connected to."""

    path: str
    writes: bool


@dataclass(frozen=True)
class Removed:
    """A tree of files is removed, or its owner or mode changed."""

    path: str


@dataclass(frozen=True)
class Asked:
    """The kernel is asked by name or number of a system call."""

    call: str | int


@dataclass(frozen=True)
class Multiplied:
    """Processes are started without an end; ``by_itself`` says that the program starts its own copies."""

    by_itself: bool


Fact = Ran | Program | Opened | Removed | Asked | Multiplied
Sighting = tuple[Fact, Place]
