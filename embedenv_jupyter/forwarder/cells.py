"""What a cell says about itself: its language, by name or by ``%%lang NAME`` on its first line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.languages.registry import Language, Languages, UnknownLanguageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+#._-]{0,39}", re.ASCII)
_MAGIC = re.compile(r"%%lang(?=\s|$)(.*)")


class CellMagicError(EmbedEnvError):
    """The first line of a cell begins with ``%%lang`` and names no language."""

    def __str__(self) -> str:
        return "Write %%lang and one language on the cell's first line, as in: %%lang bash"


class LanguageNameError(EmbedEnvError):
    """``name`` cannot be a language's name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name!r:.60} cannot be a language: its name is up to 40 letters, digits and + # . _ -,"
            " for example python, bash or c++."
        )


@dataclass(frozen=True)
class Cell:
    """Code and the name of its language, as a gateway is told."""

    language: str
    code: str

    @property
    def is_blank(self) -> bool:
        return not self.code.strip()


def split(source: str, default: str, languages: Languages) -> Cell:
    """Take ``%%lang NAME`` off a cell; without it the language is ``default``.

    Raises:
        CellMagicError: no language stands behind ``%%lang``, or more than one word.
        LanguageNameError: the word cannot be a language.
    """
    first, _, rest = source.partition("\n")
    magic = _MAGIC.fullmatch(first.rstrip())
    if magic is None:
        return Cell(default, source)
    words = magic[1].split()
    if len(words) != 1:
        raise CellMagicError
    return Cell(language_id(words[0], languages), rest)


def language_id(name: str, languages: Languages) -> str:
    """Return the id of a language that we know by this name or alias, else the name as it is.

    A gateway may have languages that this package has never heard of; it says so if it has not.

    Raises:
        LanguageNameError: no language can have this name.
    """
    if not _NAME.fullmatch(name):
        raise LanguageNameError(name)
    known = known_language(name, languages)
    return name if known is None else known.id


def known_language(name: str, languages: Languages) -> Language | None:
    """Find a language by id or alias; ``None`` for one that we do not know."""
    try:
        return languages.named(name)
    except UnknownLanguageError:
        return None
