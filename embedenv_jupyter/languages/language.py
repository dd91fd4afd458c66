"""One language as data, and the checks that make it so."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

TOOLCHAINS: Final = "/usr/local/lib/embedenv"
"""Where pip, npm and ``prepare`` install, on a host and in an image; below /usr, which rooms see."""

MANAGERS: Final = ("apt", "pip", "npm")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+#.-]*\Z")
_FILE: Final = re.compile(r"[A-Za-z0-9_]+\.[A-Za-z0-9]+\Z")
_BUILT: Final = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9]+)?\Z")


class UnknownLanguageError(LookupError):
    """No language of this name or file extension; ``known`` are the names that there are."""

    def __init__(self, wanted: str, known: tuple[str, ...]) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.known = known

    def __str__(self) -> str:
        return f"{self.wanted!r:.80} is no language known here; known are: {', '.join(self.known)}."


class LanguageDataError(ValueError):
    """The data of a language breaks a rule; ``language`` and ``key`` say where."""

    def __init__(self, language: str, key: str, fault: str) -> None:
        super().__init__(language, key, fault)
        self.language = language
        self.key = key
        self.fault = fault

    def __str__(self) -> str:
        where = ".".join(part for part in (self.language, self.key) if part)
        return f"languages.toml: {where}: {self.fault}" if where else f"languages.toml: {self.fault}"


class PromptWay(enum.StrEnum):
    """Whether output without a line end is seen before the program reads an answer."""

    SHOWN = "shown"
    FLUSHED = "flushed"
    """Only if the program flushes it, as on any terminal."""
    NONE = "none"
    """Programs read no lines, or only all of their input."""


class SessionWay(enum.StrEnum):
    """How state is kept between the runs of a session."""

    DRIVER = "driver"
    """One program evaluates cell after cell."""
    REPLAY = "replay"
    """All earlier cells that ended well run again before each new one; what they do outside repeats."""
    KERNEL = "kernel"
    """A Jupyter kernel inside the room, behind a driver."""


@dataclass(frozen=True)
class Editor:
    """What an editor needs for colours; ``mode`` is CodeMirror's name, ``codemirror6`` its newer module."""

    mime: str
    mode: str
    codemirror6: str = ""


@dataclass(frozen=True)
class SessionPlan:
    """How a session is driven: ``command`` is a shell line that serves cells until its input ends.

    ``build``, if any, makes ``built`` in the folder ``$DRIVERS``, which is done once.
    ``keeps_on_interrupt`` tells whether SIGINT ends a cell and keeps the state.
    """

    way: SessionWay
    command: str
    keeps_on_interrupt: bool
    needs: tuple[str, ...] = ()
    """Programs that it takes beyond those of the language."""
    program: str = ""
    """What a whole program has (a regular expression): that is run as one, not evaluated as a cell."""
    build: str = ""
    built: str = ""
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What it takes beyond the packages of the language."""


@dataclass(frozen=True)
class Samples:
    """Programs that show what a language does here: see the head of languages.toml."""

    hello: str
    echo: str
    failing: str


@dataclass(frozen=True)
class Cells:
    """Cells that show what a session keeps: see the head of languages.toml."""

    define: str
    use: str
    fail: str
    loop: str = ""


@dataclass(frozen=True)
class Language:
    """How one language's source is compiled and run, as shell lines in the source's folder.

    The head of languages.toml says what each field means.
    """

    id: str
    name: str
    tier: str
    aliases: tuple[str, ...]
    extension: str
    source: str
    compile: str
    run: str
    needs: tuple[str, ...]
    version: str
    packages: Mapping[str, tuple[str, ...]]
    env: Mapping[str, str]
    prompt: PromptWay
    editor: Editor
    samples: Samples
    wrappers: tuple[str, ...] = ()
    prepare: str = ""
    session: SessionPlan | None = None
    cells: Cells | None = None

    @property
    def all_packages(self) -> dict[str, tuple[str, ...]]:
        """What to install for runs and sessions, by package manager."""
        more = self.session.packages if self.session is not None else {}
        merged = {name: (*self.packages.get(name, ()), *more.get(name, ())) for name in MANAGERS}
        return {name: tuple(dict.fromkeys(packages)) for name, packages in merged.items()}


def language_from(id: str, row: object) -> Language:
    """Make a language from one table of the file.

    Raises:
        LanguageDataError: a key is missing or unknown, or a value is not what it should be.
    """
    table = _Table(id, row)
    table.check(_NAME.match(id) is not None, "", "is no name")
    language = Language(
        id=id,
        name=table.text("name"),
        tier=table.one_of("tier", ("core", "extra")),
        aliases=table.texts("aliases", _NAME),
        extension=table.text("extension"),
        source=table.text("source"),
        compile=table.text("compile", empty=True),
        run=table.text("run"),
        needs=table.texts("needs"),
        version=table.text("version"),
        packages=_packages(table.table("packages")),
        env=table.table("env").all_texts(),
        prompt=PromptWay(table.one_of("prompt", tuple(PromptWay))),
        editor=_editor(table.table("editor")),
        samples=_samples(table.table("samples")),
        wrappers=table.texts("wrappers", _NAME) if "wrappers" in table else (),
        prepare=table.text("prepare", default="", empty=True),
        session=_session(table.table("session")) if "session" in table else None,
        cells=_cells(table.table("cells")) if "cells" in table else None,
    )
    table.done()
    table.check(_FILE.match(language.source) is not None, "source", "is no plain file name")
    table.check(language.source.endswith(f".{language.extension}"), "source", "has another extension")
    has_both = (language.session is None) == (language.cells is None)
    table.check(has_both, "cells", "and session stand together")
    table.check(bool(language.needs), "needs", "is empty: nothing would ever be missing")
    return language


def _packages(table: _Table) -> dict[str, tuple[str, ...]]:
    found = {name: table.texts(name) for name in MANAGERS if name in table}
    table.done()
    for name in found.get("pip", ()):
        table.check("==" in name, "pip", f"{name} names no version")
    for name in found.get("npm", ()):
        table.check("@" in name[1:], "npm", f"{name} names no version")
    return {name: found.get(name, ()) for name in MANAGERS}


def _editor(table: _Table) -> Editor:
    editor = Editor(
        mime=table.text("mime"),
        mode=table.text("mode", empty=True),
        codemirror6=table.text("codemirror6", default=""),
    )
    table.done()
    return editor


def _samples(table: _Table) -> Samples:
    samples = Samples(table.text("hello"), table.text("echo"), table.text("failing"))
    table.done()
    return samples


def _cells(table: _Table) -> Cells:
    cells = Cells(
        define=table.text("define"),
        use=table.text("use"),
        fail=table.text("fail"),
        loop=table.text("loop", default="", empty=True),
    )
    table.done()
    return cells


def _session(table: _Table) -> SessionPlan:
    plan = SessionPlan(
        way=SessionWay(table.one_of("way", tuple(SessionWay))),
        command=table.text("command"),
        keeps_on_interrupt=table.flag("keeps_on_interrupt"),
        needs=table.texts("needs") if "needs" in table else (),
        program=table.text("program", default="", empty=True),
        build=table.text("build", default="", empty=True),
        built=table.text("built", default="", empty=True),
        packages=_packages(table.table("packages")) if "packages" in table else {},
    )
    table.done()
    table.check(bool(plan.build) == bool(plan.built), "build", "and built stand together")
    table.check(_is_pattern(plan.program), "program", "is no regular expression")
    table.check(not plan.built or _BUILT.match(plan.built) is not None, "built", "is no plain file name")
    return plan


def _is_pattern(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


class _Table:
    """One table of the file: takes values out by key and type; ``done`` refuses what nobody took."""

    def __init__(self, language: str, row: object, prefix: str = "") -> None:
        self._language = language
        self._prefix = prefix
        if not isinstance(row, dict):
            raise LanguageDataError(language, prefix.rstrip("."), "is no table")
        self._left: dict[str, Any] = dict(row)

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def check(self, holds: bool, key: str, fault: str) -> None:
        if not holds:
            raise LanguageDataError(self._language, f"{self._prefix}{key}".rstrip("."), fault)

    def done(self) -> None:
        for key in self._left:
            self.check(False, key, "is no known key")

    def table(self, key: str) -> _Table:
        return _Table(self._language, self._take(key, lambda value: True, ""), f"{self._prefix}{key}.")

    def text(self, key: str, *, default: str | None = None, empty: bool = False) -> str:
        if default is not None and key not in self._left:
            return default
        value = self._take(key, lambda value: isinstance(value, str) and "\0" not in value, "is no text")
        self.check(empty or bool(value), key, "is empty")
        return str(value)

    def texts(self, key: str, pattern: re.Pattern[str] | None = None) -> tuple[str, ...]:
        values = self._take(key, lambda value: isinstance(value, list), "is no list")
        for value in values:
            is_right = isinstance(value, str) and value and (pattern is None or pattern.match(value))
            self.check(bool(is_right), key, f"{value!r} is not allowed in it")
        return tuple(values)

    def all_texts(self) -> dict[str, str]:
        return {key: self.text(key, empty=True) for key in list(self._left)}

    def flag(self, key: str) -> bool:
        return bool(self._take(key, lambda value: isinstance(value, bool), "is neither true nor false"))

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str:
        return str(self._take(key, lambda value: value in allowed, f"is not one of {', '.join(allowed)}"))

    def _take(self, key: str, accepts: Callable[[Any], bool], fault: str) -> Any:
        self.check(key in self._left, key, "is missing")
        value = self._left.pop(key)
        self.check(accepts(value), key, fault)
        return value
