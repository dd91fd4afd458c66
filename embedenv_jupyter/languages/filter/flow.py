"""Whether a program starts processes without an end: read from its loops, conditions and functions.

Counted as bombs are only what nothing in sight holds: an endless loop that
starts processes and neither waits nor ends, a function that starts one and calls
itself, a program that starts itself, each without a condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from embedenv_jupyter.languages.filter.facts import Call, End, Multiplied, Name, Place, Scope

HOLDING: Final = frozenset(
    (
        "Accept Exit Read ReadString Scan Scanln Sleep Wait _Exit _exit abort accept acquire communicate "
        "die epoll_wait exit exit! fgets fread get getline gets input join nanosleep pause pcntl_wait "
        "pcntl_waitpid poll pthread_join quit read readline readlines recv recvfrom result scanf select "
        "shutdown sigwait sleep socket_accept stream_select stream_socket_accept usleep "
        "wait wait2 wait3 wait4 waitall waitid waitpid"
    ).split()
)
"""Calls that end a loop, or make it wait for something, by the last part of their names."""


@dataclass(frozen=True)
class Where:
    """What a call stands in: the innermost endless loop, one of many turns, the named function."""

    loop: Scope | None = None
    many: Scope | None = None
    function: Scope | None = None
    is_sure: bool = True
    """No condition stands around it, and nothing before it may end the program or the function."""


def walk(scope: Scope, where: Where) -> Iterator[tuple[Call, Where]]:
    """Yield the calls in the order of the text."""
    for item in scope.items:
        match item:
            case Call():
                yield item, where
            case Scope(kind="function", name=name) if name:
                yield from walk(item, Where(function=item))
            case Scope(kind="endless"):
                yield from walk(item, replace(where, loop=item))
            case Scope(kind="many"):
                yield from walk(item, replace(where, many=item))
            case Scope(kind="choice"):
                yield from walk(item, replace(where, is_sure=False))
            case Scope():
                yield from walk(item, where)
        if _may_end(item):
            where = replace(where, is_sure=False)


def _may_end(item: Scope | Call | End) -> bool:
    match item:
        case End():
            return True
        case Call(name=name):
            return name.rpartition(".")[2] in HOLDING
        case Scope(kind="function", name=name) if name:
            return False
        case Scope():
            if item.may_end is None:
                item.may_end = any(map(_may_end, item.items))
            return item.may_end


def is_unheld(loop: Scope | None) -> bool:
    """Tell whether there is a loop that nothing ends, and in which nothing waits."""
    return loop is not None and not _may_end(loop)


def own_calls(function: Scope) -> Iterator[tuple[Call, Where]]:
    """Yield the calls of a function without those of named functions inside."""
    inside = walk(function, Where(function=function))
    return ((call, where) for call, where in inside if where.function is function)


def bombs(
    program: Scope,
    forks: frozenset[str],
    spawns: frozenset[str],
    starts_itself: Callable[[Call], bool],
) -> Iterator[tuple[Multiplied, Place]]:
    """Find what starts processes without an end.

    ``forks`` make a second process of the program, ``spawns`` start another one beside it.
    """
    surely_run = _surely_run(program)
    restarting = _restarting(program)
    for call, where in walk(program, Where()):
        runs = where.function is None or where.function.name in surely_run
        if starts_itself(call) and ((where.is_sure and runs) or is_unheld(where.loop)):
            yield Multiplied(by_itself=True), call.place
        elif call.name in forks | spawns and _has_no_end(call, where, call.name in forks, restarting):
            yield Multiplied(by_itself=False), call.place


def _has_no_end(start: Call, where: Where, is_fork: bool, restarting: set[str]) -> bool:
    if is_unheld(where.loop) or (is_fork and is_unheld(where.many)):
        return True
    if where.function is None or not where.is_sure:
        return False
    # It calls itself, or is itself what is started.
    own = where.function.name
    return own in restarting or Name(own) in (*start.arguments, *start.keywords.values())


def _surely_run(program: Scope) -> set[str]:
    """Name the functions that the program calls without a condition, directly or through others."""
    called: dict[str, set[str]] = {"": set()}
    for call, where in walk(program, Where()):
        if where.is_sure:
            called.setdefault(where.function.name if where.function else "", set()).add(call.name)
    found: set[str] = set()
    waiting = ["", "main"]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += called.get(name, ())
    return found


def _restarting(program: Scope) -> set[str]:
    """Name the functions that surely call themselves."""
    return {
        call.name
        for call, where in walk(program, Where())
        if where.is_sure and where.function is not None and where.function.name == call.name
    }
