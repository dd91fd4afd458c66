"""Which simple commands a line of shell would run; a forgiving reader of the POSIX grammar.

Nothing is executed and nothing expanded. The reader follows quotes, subshells,
``$(...)``, backticks, process substitutions, here-documents, redirections and
``case`` patterns far enough to find the words in command position. It accepts
any text: what a shell would refuse is read as well as it can be.

It serves to price a line and is no barrier: a line that hides a program's name
in a variable is simply a line that runs an unknown program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_DEPTH = 16
"""Substitutions inside substitutions that are followed; bash scripts rarely have four."""

_ORDINARY = re.compile(r"""[^ \t\r\n\\'"$`#;&|<>()]+""")
_ORDINARY_QUOTED = re.compile(r"""[^\\"$`}]+""")
_OPERATOR = re.compile(r";;&|;;|;&|;|&&|&>>|&>|&|\|\||\|&|\|")
_REDIRECTION = re.compile(r"<<<|<<-|<<|<&|<>|<|>>|>&|>\||>")
_DESCRIPTOR = re.compile(r"\d+|\{\w+\}")
_NO_ARGUMENTS = re.compile(r"\([ \t]*\)")
_ARRAY = re.compile(r"\w+\+?=")
# Only arithmetic without quotes and substitutions; with them, `$((` is read as commands,
# which is what a shell falls back to when the brackets do not close as `))`.
_ARITHMETIC = re.compile(r"""\$\(\((?:[^()`'"$]|\$(?!\()|\((?:[^()`'"$]|\$(?!\())*+\))*+\)\)""")

_TRANSPARENT = frozenset(
    {"!", "{", "}", "if", "then", "else", "elif", "fi", "while", "until", "do", "done", "coproc"}
)
"""Reserved words after which a command follows (or nothing)."""

_WITHOUT_COMMAND = frozenset({"for", "select"})
"""Reserved words whose own words are data."""


class TooDeepError(ValueError):
    """Substitutions are nested deeper than ``MAX_DEPTH``."""


class _Word(NamedTuple):
    text: str
    plain: bool  # nothing in it was quoted, so it can be a reserved word


@dataclass
class SimpleCommand:
    """The words of one command, quotes removed, and the here-documents that it reads."""

    words: list[str]
    documents: list[str]


@dataclass
class _HereDocument:
    delimiter: str
    literal: bool
    strip_tabs: bool
    documents: list[str]


@dataclass
class _Case:
    parens: int
    expects_pattern: bool = True


@dataclass
class _Level:
    """One list of commands: the whole line, or what stands between ``$(`` and ``)``."""

    closer: str = ""
    keeps: bool = True
    words: list[_Word] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    buffer: list[str] | None = None
    plain: bool = True
    redirection: str = ""
    parens: int = 0
    cases: list[_Case] = field(default_factory=list)

    def append(self, text: str, *, quoted: bool = False) -> None:
        """Add to the word in progress; quoted nothing (``''``) begins a word too."""
        if self.buffer is None:
            self.buffer, self.plain = [], True
        self.buffer.append(text)
        self.plain = self.plain and not quoted

    @property
    def expects_pattern(self) -> bool:
        return bool(self.cases) and self.cases[-1].expects_pattern


def commands_in(text: str, depth: int = 0) -> list[SimpleCommand]:
    """Return every simple command of ``text``, those inside substitutions included, in no set order.

    Raises:
        TooDeepError: substitutions are nested too deep to follow.
    """
    reader = _Reader(text, depth)
    reader.read_list(_Level())
    return reader.found


class _Reader:
    """A cursor over one text; nested lists share it, so that reading stays linear."""

    def __init__(self, text: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise TooDeepError(f"more than {MAX_DEPTH} nested substitutions")
        self.found: list[SimpleCommand] = []
        self._text = text
        self._pos = 0
        self._depth = depth
        self._pending: list[_HereDocument] = []

    def read_list(self, level: _Level) -> None:
        """Read commands up to the level's closer or the end of the text."""
        while self._pos < len(self._text):
            char = self._text[self._pos]
            match char:
                case " " | "\t" | "\r":
                    self._pos += 1
                    self._end_word(level)
                case "\n":
                    self._pos += 1
                    self._end_command(level)
                    self._read_documents()
                case "#" if level.buffer is None:
                    end = self._text.find("\n", self._pos)
                    self._pos = len(self._text) if end < 0 else end
                case "\\" | "'" | '"' | "$" | "`":
                    self._quoting(level, char)
                case ";" | "&" | "|":
                    self._operator(level)
                case "<" | ">":
                    self._redirection(level)
                case "(":
                    self._open_paren(level)
                case ")":
                    if self._close_paren(level):
                        break
                case _:
                    self._ordinary(level, _ORDINARY)
        self._end_command(level)

    # -- parts of words -----------------------------------------------------

    def _ordinary(self, level: _Level, pattern: re.Pattern[str]) -> None:
        run = pattern.match(self._text, self._pos)
        text = run.group() if run else self._text[self._pos]
        self._pos += len(text)
        level.append(text)

    def _quoting(self, level: _Level, char: str) -> None:
        match char:
            case "\\":
                following = self._text[self._pos + 1 : self._pos + 2]
                self._pos += 2
                if following != "\n":  # a backslash before a line end joins the lines
                    level.append(following, quoted=True)
            case "'":
                end = self._text.find("'", self._pos + 1)
                end = len(self._text) if end < 0 else end
                level.append(self._text[self._pos + 1 : end], quoted=True)
                self._pos = end + 1
            case '"':
                self._pos += 1
                level.append("", quoted=True)
                self._expansions(level, '"')
            case "`":
                self._backticks(level)
            case _:
                self._dollar(level)

    def _expansions(self, level: _Level, closer: str) -> None:
        """Read text in which only ``$``, backticks and backslashes are special, up to ``closer``."""
        while self._pos < len(self._text):
            char = self._text[self._pos]
            if char == closer:
                self._pos += 1
                return
            if char == "\\":
                escaped = self._text[self._pos + 1 : self._pos + 2]
                if escaped != "\n":
                    level.append(escaped if escaped in '$`"\\' else "\\" + escaped)
                self._pos += 2
            elif char == "$":
                self._dollar(level, in_quotes=True)
            elif char == "`":
                self._backticks(level)
            elif char == '"' and closer == "}":
                self._pos += 1
                with self._deeper():
                    self._expansions(level, '"')
            else:
                self._ordinary(level, _ORDINARY_QUOTED)

    def _dollar(self, level: _Level, *, in_quotes: bool = False) -> None:
        start = self._pos
        if arithmetic := _ARITHMETIC.match(self._text, start):
            self._pos = arithmetic.end()
            level.append(arithmetic.group())
        elif self._text.startswith("$(", start):
            self._substitution(level)
        elif self._text.startswith("${", start):
            self._pos += 2
            level.append("$")
            with self._deeper():
                self._expansions(level, "}")
        elif self._text.startswith("$'", start) and not in_quotes:
            self._ansi_quoted(level)
        else:
            self._pos += 1
            level.append("$")

    def _substitution(self, level: _Level) -> None:
        """Read ``$(...)``, ``<(...)`` or ``>(...)``; its result is a word that nobody knows."""
        self._pos += 2
        with self._deeper():
            self.read_list(_Level(closer=")"))
        level.append("$()")

    def _backticks(self, level: _Level) -> None:
        inner: list[str] = []
        self._pos += 1
        while self._pos < len(self._text) and (char := self._text[self._pos]) != "`":
            if char == "\\" and self._text[self._pos + 1 : self._pos + 2] in ("`", "\\", "$"):
                self._pos += 1
                char = self._text[self._pos]
            inner.append(char)
            self._pos += 1
        self._pos += 1
        self.found += commands_in("".join(inner), self._depth + 1)
        level.append("$()")

    def _ansi_quoted(self, level: _Level) -> None:
        self._pos += 2
        level.append("", quoted=True)
        while self._pos < len(self._text) and (char := self._text[self._pos]) != "'":
            if char == "\\":
                self._pos += 1
                char = self._text[self._pos : self._pos + 1]
            level.append(char)
            self._pos += 1
        self._pos += 1

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooDeepError(f"more than {MAX_DEPTH} nested substitutions")
        yield
        self._depth -= 1

    # -- between words ------------------------------------------------------

    def _operator(self, level: _Level) -> None:
        found = _OPERATOR.match(self._text, self._pos)
        assert found is not None  # the caller saw one of its first characters
        self._pos = found.end()
        if found.group().startswith("&>"):
            self._end_word(level)
            level.redirection = ">"
            return
        self._end_command(level)
        if level.cases and found.group() in (";;", ";&", ";;&"):
            level.cases[-1].expects_pattern = True

    def _redirection(self, level: _Level) -> None:
        if self._text[self._pos + 1 : self._pos + 2] == "(":
            self._substitution(level)
            return
        found = _REDIRECTION.match(self._text, self._pos)
        assert found is not None  # the caller saw one of its first characters
        self._pos = found.end()
        if level.buffer is not None and level.plain and _DESCRIPTOR.fullmatch("".join(level.buffer)):
            level.buffer = None  # the 2 of `2>file`
        self._end_word(level)
        level.redirection = found.group()

    def _open_paren(self, level: _Level) -> None:
        if level.buffer is not None and _ARRAY.fullmatch("".join(level.buffer)):
            self._pos += 1
            with self._deeper():
                self.read_list(_Level(closer=")", keeps=False))
            level.append("()")
        elif definition := _NO_ARGUMENTS.match(self._text, self._pos):
            self._pos = definition.end()
            level.buffer = None
            level.words.clear()
        else:
            self._pos += 1
            self._end_command(level)
            level.parens += 1

    def _close_paren(self, level: _Level) -> bool:
        """Say whether this bracket ends the level."""
        self._pos += 1
        self._end_word(level)
        self._follow_case(level)
        if level.expects_pattern:
            level.words.clear()
            level.cases[-1].expects_pattern = False
            level.parens = level.cases[-1].parens
            return False
        self._end_command(level)
        if level.parens:
            level.parens -= 1
            return False
        return level.closer == ")"

    def _end_word(self, level: _Level) -> None:
        if level.buffer is None:
            return
        word = _Word("".join(level.buffer), level.plain)
        level.buffer = None
        redirection, level.redirection = level.redirection, ""
        if redirection in ("<<", "<<-"):
            strip_tabs = redirection == "<<-"
            self._pending.append(_HereDocument(word.text, not word.plain, strip_tabs, level.documents))
        elif not redirection:
            level.words.append(word)

    def _end_command(self, level: _Level) -> None:
        self._end_word(level)
        self._follow_case(level)
        words = [] if level.expects_pattern else _without_reserved_words(level.words)
        if words and level.keeps:
            self.found.append(SimpleCommand([word.text for word in words], level.documents))
        level.words, level.documents = [], []

    def _follow_case(self, level: _Level) -> None:
        """Enter or leave a ``case``, whose patterns end in a bracket that closes nothing."""
        words = _without_reserved_words(level.words)
        if not words or not words[0].plain:
            return
        if words[0].text == "case" and any(word.text == "in" for word in words[2:3]):
            level.cases.append(_Case(level.parens))
            level.words.clear()
        elif words[0].text == "esac" and level.cases:
            level.cases.pop()
            level.words = words[1:]

    def _read_documents(self) -> None:
        """Read the here-documents whose line has just ended."""
        pending, self._pending = self._pending, []
        for document in pending:
            lines: list[str] = []
            while self._pos < len(self._text):
                end = self._text.find("\n", self._pos)
                end = len(self._text) if end < 0 else end
                line = self._text[self._pos : end]
                self._pos = end + 1
                if (line.lstrip("\t") if document.strip_tabs else line) == document.delimiter:
                    break
                lines.append(line)
            body = "\n".join(lines)
            document.documents.append(body)
            if not document.literal:
                inner = _Reader(body, self._depth + 1)
                inner._expansions(_Level(), "")
                self.found += inner.found


def _without_reserved_words(words: list[_Word]) -> list[_Word]:
    start = 0
    while start < len(words) and words[start].plain:
        text = words[start].text
        if text == "function":
            start += 2
        elif text in _WITHOUT_COMMAND:
            return []
        elif text in _TRANSPARENT:
            start += 1
        else:
            break
    return words[start:]
