"""The filter's one question: what in a piece of code is against a rule."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.languages.filter import grammars, python, shell, source, vocabulary
from embedenv_jupyter.languages.filter.calls import facts, starts_this_program
from embedenv_jupyter.languages.filter.facts import Call, Place, Program, Scope, Sighting
from embedenv_jupyter.languages.filter.flow import Where, bombs, walk
from embedenv_jupyter.languages.filter.grammars import Grammar
from embedenv_jupyter.languages.filter.judge import shown, verdicts
from embedenv_jupyter.languages.filter.vocabulary import Vocabulary

MAX_CODE_CHARS: Final = 200_000
"""Longer code is not judged: reading it would keep a gateway busy for longer than the courtesy is worth."""
MAX_FINDINGS: Final = 20
MAX_NESTED: Final = 4
"""How many programs within a program are read: ``bash -c "python3 -c '…'"``."""
MAX_EXCERPT_CHARS: Final = 120

_GRAMMARS: Final[dict[str, Grammar]] = {
    "c": grammars.C,
    "cpp": grammars.CPP,
    "go": grammars.GO,
    "javascript": grammars.JAVASCRIPT,
    "deno": grammars.TYPESCRIPT,
    "php": grammars.PHP,
    "ruby": grammars.RUBY,
    "typescript": grammars.TYPESCRIPT,
}
_SHELLS: Final = frozenset({"bash", "zsh"})
JUDGED: Final = frozenset({"python", *_SHELLS, *_GRAMMARS})
"""The ids of the languages that are judged; code in any other has no findings."""

_LINE_END: Final = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Finding:
    """Something in the code that is against a rule; ``line`` and ``column`` (in characters) count from 1."""

    rule: str
    message: str
    line: int
    column: int
    excerpt: str


def check(language_id: str, code: str) -> list[Finding]:
    """Find what in ``code`` is against a rule, in the order of its lines, at most ``MAX_FINDINGS``.

    Never raises: code that is no program has no findings, it fails by itself, and neither has
    code that is too long, too large or too slow to read. What stands in comments and in texts is
    looked at only where the program runs it.
    """
    if len(code) > MAX_CODE_CHARS:
        return []
    lines = _LINE_END.split(code)
    found: dict[tuple[str, int], Finding] = {}
    for rule_id, message, place in _judged(language_id, code, MAX_NESTED):
        if len(found) >= MAX_FINDINGS:
            break
        line = lines[place.line - 1] if place.line <= len(lines) else ""
        found.setdefault((rule_id, place.line), _finding(rule_id, message, place, line))
    return sorted(found.values(), key=lambda finding: (finding.line, finding.column))


def _finding(rule_id: str, message: str, place: Place, line: str) -> Finding:
    before = line.encode("utf-8", "replace")[: place.column - 1]
    column = len(before.decode("utf-8", "replace")) + 1
    excerpt = line.strip()
    if len(excerpt) > MAX_EXCERPT_CHARS:
        excerpt = excerpt[: MAX_EXCERPT_CHARS - 1] + "…"
    return Finding(rule_id, message, place.line, column, excerpt)


def _judged(language_id: str, code: str, depth: int) -> Iterator[tuple[str, str, Place]]:
    for fact, place in _sightings(language_id, code):
        for verdict in verdicts(fact):
            if isinstance(verdict, Program):
                if depth > 0:
                    inner = f"<?php {verdict.text}" if verdict.language == "php" else verdict.text
                    nested = _judged(verdict.language, inner, depth - 1)
                    yield from ((rule_id, message, place) for rule_id, message, _ in nested)
            else:
                rule, what = verdict
                subject = f": `{shown(what)}`" if what else ""
                yield rule.id, f"This code {rule.title}{subject}. {rule.why}", place


def _sightings(language_id: str, code: str) -> Iterator[Sighting]:
    if language_id in _SHELLS:
        yield from shell.sightings(code.encode("utf-8", "replace"))
    elif language_id == "python":
        program = python.read(code) if _may_matter(vocabulary.PYTHON, code) else None
        if program is not None:
            yield from _of_program(program, vocabulary.PYTHON)
    elif (grammar := _GRAMMARS.get(language_id)) and _may_matter(grammar.vocabulary, code):
        reader = source.read(grammar, code.encode("utf-8", "replace"))
        if reader is not None:
            yield from reader.shell
            yield from _of_program(reader.program, grammar.vocabulary)


def _may_matter(words: Vocabulary, code: str) -> bool:
    """Look for the words without which there can be no finding: most code is never read any further."""
    # Python takes names that look different for the same (NFKC): os.𝐟ork.
    text = code if code.isascii() else unicodedata.normalize("NFKC", code)
    return words.mark.search(text) is not None


def _of_program(program: Scope, words: Vocabulary) -> Iterator[Sighting]:
    def starts_itself(call: Call) -> bool:
        return starts_this_program(call, words)

    yield from bombs(program, words.forks, words.spawns, starts_itself)
    for call, _ in walk(program, Where()):
        yield from ((fact, call.place) for fact in facts(call, words))
