"""What every kernel would do first, done once in the process that kernels are forked from.

A cell, an exception, completions and an inspection, in a shell that is thrown away:
regular expressions are compiled, caches are filled and the stubs of the standard
library are parsed once for all rooms, in memory that they share. The zygote calls
this while it is alone; no thread is started, and no file stays.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import linecache
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from typing import Any

_CELL = "import json\nvalue = 1 + 1\nvalue"
_EXCEPTION = "1 / 0"
_COMPLETED = ("json.du", "jso", "''.jo")
"""An attribute of a module, a name (jedi reads the stubs of builtins and typing for it), a method."""

_GAP_BYTES = 64 << 10
"""How much of each size is filled."""

_INSPECTED = ("json.dumps", "print")


def steps() -> Iterator[Callable[[], None]]:
    """Yield what is to be done, shortest first; the last step takes about a second."""
    for play in (_cell, _exception, _completion):
        yield lambda play=play: _rehearse(play)  # type: ignore[misc]


def gather_file_names() -> None:
    """Lay the file names of all modules side by side.

    ipykernel lists them when it starts, and so counts a reference, which copies the page that each is on.
    """
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if isinstance(name, str):
            module.__file__ = "".join((name[:1], name[1:]))  # a new string, next to the one before


def fill_gaps() -> list[Any]:
    """Return small objects that fill what freed ones have left between those that stay.

    Kernels put new objects into such gaps first, and so copy the pages around them.
    """
    sizes = range(48, 513, 16)  # of CPython's small objects; a bytes object has 33 bytes beside its content
    return [[bytes(size - 33) for _ in range(_GAP_BYTES // size)] for size in sizes] + [
        [object() for _ in range(_GAP_BYTES // 16)],
        [complex(number, 1) for number in range(_GAP_BYTES // 32)],
    ]


def _rehearse(play: Callable[[Any], None]) -> None:
    """Do one step; where that fails, kernels do it themselves and nothing else is lost."""
    main, said = sys.modules["__main__"], io.StringIO()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="rehearsal-") as folder,
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            _stage(folder) as shell,
        ):
            play(shell)
    except Exception:  # noqa: BLE001 - see above; a new IPython must not keep rooms from being opened
        traceback.print_exc()
    finally:
        sys.modules["__main__"] = main
        linecache.clearcache()


@contextlib.contextmanager
def _stage(folder: str) -> Iterator[Any]:
    """Make a shell and a parser that write to a folder which goes away."""
    settings: Any = importlib.import_module("jedi.settings")
    config = importlib.import_module("traitlets.config").Config(HistoryManager={"hist_file": ":memory:"})
    before, settings.cache_directory = settings.cache_directory, folder
    try:
        kind = importlib.import_module("IPython.core.interactiveshell").InteractiveShell
        shell = kind(config=config, ipython_dir=folder)
        yield shell
        shell.history_manager.end_session()
        shell.history_manager.db.close()
        atexit.unregister(shell.atexit_operations)
    finally:
        settings.cache_directory = before


def _cell(shell: Any) -> None:
    shell.run_cell(_CELL, store_history=True)


def _exception(shell: Any) -> None:
    shell.run_cell(_EXCEPTION)


def _completion(shell: Any) -> None:
    shell.run_cell(_CELL)
    for text in _COMPLETED:
        shell.complete(text)
    for name in _INSPECTED:
        shell.object_inspect_mime(name)
