"""Which cells are magics, and what they ask: text in, values out.

A cell is a magic only where its first line that is not blank begins, without a space
before it, with one of the names and ends there or goes on with white space.
Everything else is the kernel's, to the letter.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.rooms.members import Role
from embedenv_jupyter.sandbox.magic_stubs import EMBEDENV_HELP, LANG_HELP, ROOM_HELP

EMBEDENV: Final = "%embedenv"
ROOM: Final = "%%room"
LANG: Final = "%%lang"

MAX_LINE_CHARS: Final = 4096
MAX_NAME_CHARS: Final = 64
MAX_EXPIRES_S: Final = 365 * 86_400.0
MIN_MEMORY_MIB: Final = 64
"""With less, a room has no place for a kernel."""

_BLANK: Final = re.compile(r"(?:[^\S\n]*\n)*")
_HEAD: Final = re.compile(r"(%embedenv|%%room|%%lang)(?=\s|\Z)([^\n]*)\n?")
_KEYLESS: Final = ("new", "home", "keys")
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_HELP: Final = {EMBEDENV: EMBEDENV_HELP, ROOM: ROOM_HELP, LANG: LANG_HELP}


class MagicError(EmbedEnvError):
    """A magic was not written, or cannot be done, as it stands; ``str()`` says what to do instead."""


@dataclass(frozen=True)
class Magic:
    """The first line of a cell that is a magic, and what stands below it."""

    name: str
    rest: str
    """What follows the name on its line."""
    body: str

    def words(self) -> list[str]:
        """Return the arguments as a shell would split them.

        Raises:
            MagicError: a quotation mark has no partner.
        """
        if len(self.rest) > MAX_LINE_CHARS:
            raise MagicError(f"A line of {self.name} has at most {MAX_LINE_CHARS} characters.")
        try:
            return shlex.split(self.rest)
        except ValueError as exc:
            raise MagicError(f"This line cannot be read ({exc}). {usage(self.name)}") from exc

    @property
    def may_hold_key(self) -> bool:
        """True where an argument is a join key, or what somebody took for one."""
        if self.name == EMBEDENV:
            return bool(self.rest) and self.rest.split()[0] not in _KEYLESS
        return self.name == ROOM

    def masked(self) -> str:
        """Return the cell with its arguments hidden: one of them may be a key."""
        return f"{self.name} …\n{self.body}" if self.body else f"{self.name} …"


def read(code: str) -> Magic | None:
    """Return the magic that a cell is, or ``None`` for one that is the kernel's."""
    blank = _BLANK.match(code)
    assert blank is not None, "it also matches nothing"
    head = _HEAD.match(code, blank.end())
    if head is None:
        return None
    return Magic(head[1], head[2].strip(), code[head.end() :])


def usage(name: str) -> str:
    """Return how a magic is written."""
    return "Write it like this:\n\n" + _HELP[name].partition("\n\n")[2].partition("\n\n")[0]


# %embedenv


@dataclass(frozen=True)
class Show:
    """``%embedenv``: show the room."""


@dataclass(frozen=True)
class New:
    """``%embedenv new``: open another room."""

    name: str = ""
    memory_mib: int | None = None
    backend: str | None = None


@dataclass(frozen=True)
class Join:
    """``%embedenv join KEY``: go to an open room."""

    key: str


@dataclass(frozen=True)
class Home:
    """``%embedenv home``: come back."""


@dataclass(frozen=True)
class Keys:
    """``%embedenv keys``: make a join key."""

    role: Role = Role.RUN
    expires_s: float | None = None


Command = Show | New | Join | Home | Keys


def command(magic: Magic) -> Command:
    """Read what ``%embedenv`` is to do.

    Raises:
        MagicError: saying how it is written.
    """
    if magic.body.strip():
        raise MagicError(f"{EMBEDENV} stands alone in its cell; put what follows into a cell of its own.")
    match magic.words():
        case []:
            return Show()
        case ["new", *rest]:
            options = _options(rest, ("--name", "--memory", "--backend"))
            name = options.get("--name", "")
            if len(name) > MAX_NAME_CHARS or not name.isprintable():
                raise MagicError(f"--name is at most {MAX_NAME_CHARS} printable characters.")
            return New(name, _memory(options.get("--memory")), options.get("--backend"))
        case ["join", key]:
            return Join(key)
        case ["home"]:
            return Home()
        case ["keys", *rest]:
            options = _options(rest, ("--role", "--expires"))
            return Keys(_role(options.get("--role", "run")), _duration(options.get("--expires")))
    # What was written is not repeated: everybody reads this, and it may be a key behind a misspelt word.
    raise MagicError(f"{EMBEDENV} does not know what to do with this. {usage(EMBEDENV)}")


def _options(words: list[str], known: tuple[str, ...]) -> dict[str, str]:
    """Read ``--name value`` and ``--name=value``."""
    options: dict[str, str] = {}
    queue = list(words)
    while queue:
        name, equals, value = queue.pop(0).partition("=")
        if name not in known or name in options:
            problem = "comes twice" if name in options else "is no option here"
            raise MagicError(f"{name!r:.80} {problem}; the options are {', '.join(known)}. {usage(EMBEDENV)}")
        if not equals:
            if not queue:
                raise MagicError(f"{name} needs a value behind it. {usage(EMBEDENV)}")
            value = queue.pop(0)
        options[name] = value
    return options


def _memory(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text[:9]) < MIN_MEMORY_MIB:
        raise MagicError(f"--memory is a number of MiB from {MIN_MEMORY_MIB} up, not {text!r:.80}.")
    return int(text[:9])


def _role(text: str) -> Role:
    if text not in ("view", "run", "edit"):
        raise MagicError(f"--role is view, run or edit, not {text!r:.80}.")
    return Role[text.upper()]


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0 < seconds <= MAX_EXPIRES_S:
        raise MagicError(f"--expires is a time like 90s, 30m, 1h or 7d, at most 365d; not {text!r:.80}.")
    return seconds


# %%room and %%lang


def room_target(magic: Magic) -> str:
    """Return the key or name behind ``%%room``.

    Raises:
        MagicError: there is none, or nothing to run.
    """
    words = magic.words()
    if len(words) != 1:
        raise MagicError(f"{ROOM} needs one key, name or id of a room behind it. {usage(ROOM)}")
    if not magic.body.strip():
        raise MagicError(f"There is nothing below {ROOM} to run. {usage(ROOM)}")
    return words[0]


def language_call(magic: Magic) -> tuple[str, list[str]]:
    """Return the language behind ``%%lang``, and the arguments of the program.

    Raises:
        MagicError: there is none, or nothing to run.
    """
    words = magic.words()
    if not words:
        raise MagicError(f"{LANG} needs the name of a language behind it. {usage(LANG)}")
    if not magic.body.strip():
        raise MagicError(f"There is nothing below {LANG} to run. {usage(LANG)}")
    return words[0], words[1:]
