"""Which programs a line of shell runs, seen through the programs that only run other programs.

``sudo -u ana env A=1 /usr/bin/git status`` runs git; ``bash -lc 'pip list'``
runs pip; ``find . -exec wget {} +`` runs find and wget. What is known about
such wrappers is the data on top of this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from embedenv_jupyter.accounts.shell_line import MAX_DEPTH, TooDeepError, commands_in

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[[^]]*\])?\+?=")
_VERSIONED = re.compile(r"(python|pypy|pip)\d[\d.]*")
_MODULE_OPTION = re.compile(r"-[bBdEiIOqsSuvx]*m(?P<module>.*)")
_SHELL_SCRIPT_OPTION = re.compile(r"-[A-Za-z]*c[A-Za-z]*")

SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish"})
PYTHONS = frozenset({"python", "pypy"})


@dataclass(frozen=True)
class Wrapper:
    """A program whose arguments, after its own options and operands, are a command.

    ``valued`` are the options that take their value from the next word;
    ``operands`` is the number of words of its own before the command.
    """

    valued: frozenset[str] = frozenset()
    operands: int = 0

    def command_in(self, arguments: Sequence[str]) -> Sequence[str]:
        return _after_options(arguments, self.valued)[self.operands :]


def _wrapper(valued: str = "", operands: int = 0) -> Wrapper:
    return Wrapper(frozenset(valued.split()), operands)


WRAPPERS: Mapping[str, Wrapper] = {
    "sudo": _wrapper("-u -g -h -p -C -D -R -T -U -r -t --user --group --host --prompt --chdir --chroot"),
    "doas": _wrapper("-u -C"),
    "env": _wrapper("-u -C --unset --chdir"),
    "time": _wrapper("-f -o --format --output"),
    "nohup": _wrapper(),
    "exec": _wrapper("-a"),
    "command": _wrapper(),
    "builtin": _wrapper(),
    "setsid": _wrapper(),
    "nice": _wrapper("-n --adjustment"),
    "ionice": _wrapper("-c -n --class --classdata"),
    "chrt": _wrapper("-T -P -D", operands=1),
    "taskset": _wrapper(operands=1),
    "timeout": _wrapper("-k -s --kill-after --signal", operands=1),
    "stdbuf": _wrapper("-i -o -e --input --output --error"),
    "unbuffer": _wrapper(),
    "strace": _wrapper("-e -o -p -s -u -E -I -O -S -P -a -b"),
    "ltrace": _wrapper("-e -o -p -s -u"),
    "xargs": _wrapper("-a -d -E -I -L -n -P -s --arg-file --delimiter --max-args --max-procs --replace"),
    "busybox": _wrapper(),
    "flock": _wrapper("-w -E --timeout --conflict-exit-code", operands=1),
    "chroot": _wrapper(operands=1),
    "unshare": _wrapper("-S -G -R -w"),
    "setpriv": _wrapper("--reuid --regid --groups --pdeathsig"),
}

_JOINING: Mapping[str, Wrapper] = {
    "eval": _wrapper(),
    "watch": _wrapper("-n --interval"),
}
"""Wrappers that give the rest of their line to a shell."""

_SCRIPT_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "env": ("-S", "--split-string"),
    "su": ("-c", "--command"),
    "runuser": ("-c", "--command"),
    "script": ("-c", "--command"),
    "flock": ("-c", "--command"),
}

_FIND_ACTIONS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})


def programs_in(line: str, depth: int = 0) -> Iterator[Sequence[str]]:
    """Yield name and arguments of each program that ``line`` runs, in no set order.

    The name is bare: without its folder, and without the version of ``python3.12`` or ``pip3``.

    Raises:
        TooDeepError: substitutions or wrappers are nested too deep to follow.
    """
    for command in commands_in(line, depth):
        yield from _unwrapped(command.words, command.documents, depth)


def program_name(word: str) -> str:
    """Return the bare name of the program that ``word`` calls."""
    name = word.rsplit("/", 1)[-1]
    versioned = _VERSIONED.fullmatch(name)
    return versioned.group(1) if versioned else name


def subcommands(arguments: Sequence[str], valued: frozenset[str]) -> Iterator[str]:
    """Yield the words of ``arguments`` that are neither options nor values of the ``valued`` ones."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            yield word
        elif word in valued:
            next(words, None)


def _unwrapped(words: Sequence[str], documents: Sequence[str], depth: int) -> Iterator[Sequence[str]]:
    if depth > MAX_DEPTH:
        raise TooDeepError(f"more than {MAX_DEPTH} nested commands")
    words = _after_assignments(words)
    if not words:
        return
    name, arguments = program_name(words[0]), words[1:]
    scripts = [*_scripts(name, arguments), *(documents if name in SHELLS else ())]
    for script in scripts:
        yield from programs_in(script, depth + 1)
    inner = WRAPPERS[name].command_in(arguments) if name in WRAPPERS else ()
    if inner:
        yield from _unwrapped(inner, documents, depth + 1)
    elif not scripts:
        # a wrapper or a shell that was given nothing to run is a program like any other
        yield [name, *arguments]
    for other in _also_run(name, arguments):
        yield from _unwrapped(other, (), depth + 1)


def _scripts(name: str, arguments: Sequence[str]) -> list[str]:
    """Return the texts among the arguments that a shell will read."""
    if name in SHELLS:
        for index, argument in enumerate(arguments):
            if _SHELL_SCRIPT_OPTION.fullmatch(argument):
                return [text for text in arguments[index + 1 :] if text[:1] not in ("-", "+")][:1]
        return []
    if name in _JOINING:
        joined = " ".join(_JOINING[name].command_in(arguments))
        return [joined] if joined else []
    found: list[str] = []
    for option in _SCRIPT_OPTIONS.get(name, ()):
        for index, argument in enumerate(arguments):
            if argument == option:
                found += arguments[index + 1 : index + 2]
            elif argument.startswith(option):
                found.append(argument.removeprefix(option).removeprefix("="))
    return found


def _also_run(name: str, arguments: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield what a program runs besides itself: python its module, find its actions."""
    if name in PYTHONS:
        yield _module(arguments)
    elif name == "find":
        action: list[str] | None = None
        for argument in (*arguments, ";"):
            if argument in _FIND_ACTIONS:
                action = []
            elif argument in (";", "+") and action is not None:
                yield action
                action = None
            elif action is not None:
                action.append(argument)


def _module(arguments: Sequence[str]) -> Sequence[str]:
    """Return the module of ``python -m`` and its arguments, or nothing."""
    index = 0
    while index < len(arguments) and arguments[index].startswith("-"):
        option = arguments[index]
        if found := _MODULE_OPTION.fullmatch(option):
            name = [found.group("module")] if found.group("module") else []
            return [*name, *arguments[index + 1 :]]
        if option.startswith("-c"):
            break
        index += 2 if option in ("-W", "-X") else 1
    return ()


def _after_assignments(words: Sequence[str]) -> Sequence[str]:
    start = 0
    while start < len(words) and _ASSIGNMENT.match(words[start]):
        start += 1
    return words[start:]


def _after_options(arguments: Sequence[str], valued: frozenset[str]) -> Sequence[str]:
    start = 0
    while start < len(arguments) and arguments[start].startswith("-"):
        if arguments[start] == "--":
            return arguments[start + 1 :]
        start += 2 if arguments[start] in valued else 1
    return arguments[start:]
