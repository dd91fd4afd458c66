"""The languages that rooms know, read from ``languages.toml`` beside this module."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import PurePath

FOLDER = "project"
"""Where a source file is put in a room, seen from its workspace."""


class UnknownLanguageError(LookupError):
    """No language of this name or file extension; ``known`` are the names that there are."""

    def __init__(self, wanted: str, known: tuple[str, ...]) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.known = known

    def __str__(self) -> str:
        return f"{self.wanted!r} is no language known here; known are: {', '.join(self.known)}."


@dataclass(frozen=True)
class Language:
    """How one language's source is compiled and run, as shell lines in the source's folder."""

    id: str
    name: str
    extension: str
    source: str
    run: str
    compile: str = ""
    aliases: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Languages:
    """All languages, found by id, alias or the extension of a file."""

    def __init__(self, languages: Mapping[str, Language]) -> None:
        self._by_id = dict(languages)
        self._by_name = {
            name: language for language in languages.values() for name in (language.id, *language.aliases)
        }
        self._by_extension = {language.extension: language for language in languages.values()}

    @classmethod
    def shipped(cls) -> Languages:
        """Read the languages that come with the package."""
        text = files("embedenv_jupyter.languages").joinpath("languages.toml").read_text("utf-8")
        return cls({name: _language(name, row) for name, row in tomllib.loads(text)["languages"].items()})

    def __iter__(self) -> Iterator[Language]:
        return iter(self._by_id.values())

    def named(self, name: str) -> Language:
        """Find a language by id or alias.

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


def _language(name: str, row: dict[str, object]) -> Language:
    packages = row["packages"]
    assert isinstance(packages, dict)
    return Language(
        id=name,
        name=str(row["name"]),
        extension=str(row["extension"]),
        source=str(row["source"]),
        run=str(row["run"]),
        compile=str(row["compile"]),
        aliases=tuple(row["aliases"]),  # type: ignore[arg-type]
        env=dict(row["env"]),  # type: ignore[call-overload]
        packages={kind: tuple(names) for kind, names in packages.items()},
    )
