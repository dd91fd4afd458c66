"""From facts to findings: which rule a thing that the code does is against."""

from __future__ import annotations

from collections.abc import Iterator

from embedenv_jupyter.languages.filter.commands import meaning
from embedenv_jupyter.languages.filter.facts import Asked, Fact, Multiplied, Opened, Program, Ran, Removed
from embedenv_jupyter.languages.filter.rules import (
    FORK_BOMB,
    HOLE,
    OPENED_FILES,
    RULE_OF_CALL,
    RULE_OF_NUMBER,
    SELF_SPAWN,
    SYSTEM_FOLDER,
    WIPE_ROOT,
    WRITTEN_FILES,
    Rule,
)

Verdict = tuple[Rule, str]
"""A rule, and what in the code was against it."""


def verdicts(fact: Fact) -> Iterator[Verdict | Program]:
    """Judge one fact; a program inside the program is handed back, to be read by its own reader."""
    match fact:
        case Program():
            yield fact
        case Multiplied(by_itself):
            yield (SELF_SPAWN if by_itself else FORK_BOMB), ""
        case Asked(call):
            rule = RULE_OF_CALL.get(call) if isinstance(call, str) else RULE_OF_NUMBER.get(call)
            if rule:
                yield rule, str(call)
        case Opened(path, writes):
            for rule, pattern in (*OPENED_FILES, *(WRITTEN_FILES if writes else ())):
                if pattern.fullmatch(_tidy(path)):
                    yield rule, path
        case Removed(path):
            if SYSTEM_FOLDER.fullmatch(_tidy(path)):
                yield WIPE_ROOT, path
        case Ran(words):
            shown = " ".join(word for word in words[:4] if isinstance(word, str))
            for found in meaning(words):
                if isinstance(found, Rule):
                    yield found, shown
                else:
                    yield from verdicts(found)


def _tidy(path: str) -> str:
    """Write a path in its shortest form, as far as its text alone says."""
    if not path.startswith("/"):
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def shown(text: str) -> str:
    """Write what of the code a finding names, on one line and not without an end."""
    text = "".join(char if char.isprintable() else "…" for char in text.replace(HOLE, "…"))
    return text if len(text) <= 80 else text[:79] + "…"
