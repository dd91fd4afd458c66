"""The languages that rooms know, read from ``languages.toml`` beside this module.

Each is plain data (:mod:`.language`): nothing here runs anything. A file that
breaks a rule is refused as a whole when it is loaded, with the language and the
key that broke it, so that no later step has to look again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import PurePath

from embedenv_jupyter.languages.language import (
    Language,
    LanguageDataError,
    UnknownLanguageError,
    language_from,
)

__all__ = ["FOLDER", "Language", "Languages", "UnknownLanguageError"]

FOLDER = "project"
"""Where a source file is put in a room, seen from its workspace."""

SCHEMA = 2
"""The version of the file's layout that this module reads."""


class Languages:
    """All languages, found by id, alias or the extension of a file.

    Raises:
        LanguageDataError: two languages have one name.
    """

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._by_id = dict(languages)
        self._by_name = _by_name(languages.values())
        self._by_extension: dict[str, Language] = {}
        for language in languages.values():  # the first keeps an extension that several have
            self._by_extension.setdefault(language.extension.lower(), language)

    @classmethod
    def shipped(cls) -> Languages:
        """Read the languages that come with the package."""
        return cls.read(files("embedenv_jupyter.languages").joinpath("languages.toml").read_text("utf-8"))

    @classmethod
    def read(cls, text: str) -> Languages:
        """Read languages from TOML.

        Raises:
            LanguageDataError: something in it is missing, unknown, or not what it should be.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise LanguageDataError("", "", f"no TOML: {exc}") from exc
        if data.get("schema") != SCHEMA:
            raise LanguageDataError("", "schema", f"is {data.get('schema')!r}, {SCHEMA} is read here")
        rows = data.get("languages")
        if not isinstance(rows, dict):
            raise LanguageDataError("", "languages", "is no table")
        return cls({id: language_from(id, row) for id, row in rows.items()})

    def __iter__(self) -> Iterator[Language]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def named(self, name: str) -> Language:
        """Find a language by id or alias; case does not matter.

        Raises:
            UnknownLanguageError: there is none.
        """
        found = self._by_name.get(name.lower())
        if found is None:
            raise UnknownLanguageError(name, tuple(self._by_id))
        return found

    def of_file(self, path: PurePath) -> Language:
        """Find the language of a source file by its extension.

        Raises:
            UnknownLanguageError: there is none.
        """
        found = self._by_extension.get(path.suffix.removeprefix(".").lower())
        if found is None:
            raise UnknownLanguageError(path.suffix or path.name, tuple(self._by_id))
        return found


def _by_name(languages: Iterable[Language]) -> dict[str, Language]:
    found: dict[str, Language] = {}
    for language in languages:
        for name in (language.id, *language.aliases):
            if name in found:
                raise LanguageDataError(language.id, "aliases", f"{name!r} is {found[name].id} already")
            found[name] = language
    return found
