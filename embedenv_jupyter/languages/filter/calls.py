"""From calls to facts: what a call of a language means, by the vocabulary of that language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from embedenv_jupyter.languages.filter.commands import Words, starts_itself
from embedenv_jupyter.languages.filter.facts import (
    Asked,
    Call,
    Fact,
    Name,
    Opened,
    Program,
    Ran,
    Removed,
    Value,
)
from embedenv_jupyter.languages.filter.rules import NAMESPACE_FLAG, RULE_OF_CALL
from embedenv_jupyter.languages.filter.vocabulary import Vocabulary

_WRITING_FLAGS: Final = {"O_WRONLY", "O_RDWR", "O_APPEND", "O_TRUNC", "O_CREAT", "WRONLY", "RDWR"}
_WRITING_TYPES: Final = {"ofstream", "creat"}
_CALL_NUMBER: Final = re.compile(r"(?:.*\.)?(?:__NR_|SYS_)(\w+)")
_UNIX_SOCKET: Final = re.compile(r"(?:unix:(?://)?|http\+unix://)?(/.*)")


def facts(call: Call, vocabulary: Vocabulary) -> Iterator[Fact]:
    """Say what ``call`` does, as far as its name and its arguments tell."""
    yield from _programs(call, vocabulary)
    yield from _kernel(call, vocabulary)
    yield from _files(call, vocabulary)


def starts_this_program(call: Call, vocabulary: Vocabulary) -> bool:
    """Tell whether ``call`` starts another copy of the running program, in the same way as this one."""
    if call.name not in vocabulary.words or call.name in vocabulary.replaces or "env" in call.keywords:
        return False
    return starts_itself(_words(call, vocabulary.words[call.name]))


def _first(call: Call) -> Value:
    if isinstance(call.receiver, str):
        return call.receiver
    return call.arguments[0] if call.arguments else next(iter(call.keywords.values()), None)


def _programs(call: Call, vocabulary: Vocabulary) -> Iterator[Fact]:
    first = _first(call)
    if call.name in vocabulary.evaluates and isinstance(first, str):
        yield Program(vocabulary.evaluates[call.name], first)
        return
    is_line = isinstance(first, str) and (len(call.arguments) < 2 or call.name not in vocabulary.words)
    if is_line and (call.name in vocabulary.lines or call.keywords.get("shell") == 1):
        assert isinstance(first, str)
        yield Program("bash", first)
    elif call.name in vocabulary.words:
        yield Ran(_words(call, vocabulary.words[call.name]))
    elif call.name in vocabulary.lines and isinstance(first, tuple):
        yield Ran(_flat((first,)))


def _words(call: Call, without: tuple[int, ...]) -> Words:
    """Lay the arguments out flat, without the words at ``without``: the second of execl only names."""
    arguments = call.arguments or (call.keywords.get("args"),)
    return tuple(word for index, word in enumerate(_flat(arguments)) if index not in without)


def _flat(values: tuple[Value, ...]) -> Words:
    items = (item for value in values for item in (value if isinstance(value, tuple) else (value,)))
    return tuple(item if isinstance(item, str | Name) else None for item in items)


def _kernel(call: Call, vocabulary: Vocabulary) -> Iterator[Fact]:
    if vocabulary.numbered.fullmatch(call.name):
        match call.arguments[:1]:
            case (int(number),):
                yield Asked(number)
            case (Name(text),) if match := _CALL_NUMBER.fullmatch(text):
                yield Asked(match[1].lower())
        return
    before = vocabulary.kernel.match(call.name)
    if before is None:
        return
    asked = call.name[before.end() :].lower()
    if asked in RULE_OF_CALL:
        yield Asked(asked)
    elif asked in ("clone", "clone3") and any(map(_is_namespace_flag, _flags(call.arguments))):
        yield Asked("unshare")


def _is_namespace_flag(name: str) -> bool:
    return NAMESPACE_FLAG.search(name) is not None


def _flags(value: Value) -> Iterator[str]:
    match value:
        case Name(text):
            yield text.rpartition(".")[2]
        case tuple():
            for item in value:
                yield from _flags(item)


def _files(call: Call, vocabulary: Vocabulary) -> Iterator[Fact]:
    first = _first(call)
    last = call.name.rpartition(".")[2]
    if call.name in vocabulary.opens and isinstance(first, str):
        yield Opened(first, writes=_writes(call, vocabulary.opens[call.name]))
    elif call.name in vocabulary.writes and isinstance(first, str):
        yield Opened(first, writes=True)
    elif call.name in vocabulary.copies and len(call.arguments) > 1 and isinstance(call.arguments[1], str):
        yield Opened(call.arguments[1], writes=True)
    elif call.name in vocabulary.removes and isinstance(first, str):
        yield Removed(first)
    elif last in vocabulary.connects or call.name in vocabulary.connects:
        for value in (*call.arguments, *call.keywords.values()):
            match = _UNIX_SOCKET.fullmatch(value) if isinstance(value, str) else None
            if match:
                yield Opened(match[1], writes=False)


def _writes(call: Call, place: int) -> bool:
    if call.name in _WRITING_TYPES:
        return True
    mode = call.arguments[place] if place < len(call.arguments) else call.keywords.get("mode")
    if isinstance(mode, str):
        return bool(set("wax+") & set(mode))
    return bool(_WRITING_FLAGS & set(_flags(mode)))
