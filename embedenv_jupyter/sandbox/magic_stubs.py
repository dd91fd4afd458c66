"""The gateway's magics as the kernel in the room knows them: their help, their completion, and nothing else.

The gateway interprets ``%embedenv``, ``%%room`` and ``%%lang`` where a cell begins
with them, and the kernel never sees such a cell. What is registered here answers
``%embedenv?`` and the Tab key; called, from anywhere else, it says where the magic
has to stand. So no program of the room can spend credits or cross into another room.

Standard library only; part of what a room's kernel is forked from.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NoReturn

LANGUAGES_VARIABLE = "EMBEDENV_LANGUAGES"
"""Holds the names that ``%%lang`` knows, for completion, with spaces between them."""

EMBEDENV_HELP = """Show the room that this notebook runs in, or go to another one.

    %embedenv                      the room, its members, credits, limits and usage
    %embedenv new [--name N] [--memory MiB] [--backend TIER]
                                   open another room for the same account; cells run there from now on
    %embedenv join KEY             the same with an open room, as what its join key allows
    %embedenv home                 cells run in this notebook's own room again
    %embedenv keys [--role view|run|edit] [--expires 1h]
                                   make a join key of the room (for its owner)

The magic is interpreted by the gateway: it must be the first line of a cell, and stand there alone.
"""

ROOM_HELP = """Run this one cell in another room.

    %%room KEY                     by a join key with the role run or more
    %%room NAME                    by name or id, a room of the same account (for its owner)

Output, errors, questions and Ctrl+C work across; widgets do not. The kernel there is this
notebook's own: it keeps its variables from cell to cell.

The magic is interpreted by the gateway: it must be the first line of a cell.
"""

LANG_HELP = """Run this cell as a program in another language, in the room.

    %%lang NAME [ARGUMENT ...]     for example: c, go, java, javascript, rust, bash

The source is written into a folder of the workspace, compiled where the language asks for that, and run
there; $HOME is the workspace. Output streams, input() and its like ask in the notebook, and an interrupt
ends the program.

The magic is interpreted by the gateway: it must be the first line of a cell.
"""

EMBEDENV_WORDS: dict[str, tuple[str, ...]] = {
    "new": ("--name", "--memory", "--backend"),
    "join": (),
    "home": (),
    "keys": ("--role", "--expires"),
}
"""What may follow ``%embedenv``, and the options of each word."""

MAGICS = {"%embedenv": EMBEDENV_HELP, "%%room": ROOM_HELP, "%%lang": LANG_HELP}


def misplaced(magic: str) -> str:
    """Say why a magic that the kernel came to see did nothing."""
    return (
        f"{magic} must be the first line of a cell, without spaces before it: the gateway reads it there, "
        f"and nothing that runs in the room can call it. Put it on top of a cell of its own."
    )


def register(shell: Any) -> None:
    """Make the magics known to an IPython shell."""
    shell.register_magic_function(_stub("%embedenv", "embedenv", shell), "line", "embedenv")
    for name in ("room", "lang"):
        shell.register_magic_function(_stub(f"%%{name}", name, shell), "cell", name)
    shell.set_hook("complete_command", _complete_embedenv, str_key="%embedenv")
    shell.set_hook("complete_command", _complete_lang, str_key="%%lang")


def _stub(magic: str, name: str, shell: Any) -> Any:
    def called(line: str, cell: str = "") -> NoReturn:
        raise _usage_error()(misplaced(magic))

    called.__name__ = called.__qualname__ = name
    called.__doc__ = MAGICS[magic]
    return called


def _usage_error() -> type[Exception]:
    """Return what IPython shows without a traceback."""
    import sys

    # Imported by the kernel already; this module itself needs the standard library only.
    return getattr(sys.modules.get("IPython.core.error"), "UsageError", RuntimeError)


def _complete_embedenv(shell: Any, event: Any) -> Sequence[str]:
    words = event.line[: _cursor(event)].split()
    is_open = event.symbol == ""
    done = words if is_open else words[:-1]
    if len(done) <= 1:
        return _beginning(EMBEDENV_WORDS, event.symbol)
    return _beginning(EMBEDENV_WORDS.get(done[1], ()), event.symbol)


def _complete_lang(shell: Any, event: Any) -> Sequence[str]:
    if len(event.line[: _cursor(event)].split()) > (1 if event.symbol == "" else 2):
        return ()
    return _beginning(os.environ.get(LANGUAGES_VARIABLE, "").split(), event.symbol)


def _cursor(event: Any) -> int:
    return len(event.text_until_cursor)


def _beginning(names: Any, symbol: str) -> list[str]:
    return [name for name in names if name.startswith(symbol)]
