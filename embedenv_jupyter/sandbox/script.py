"""A Python program of a room, run in a fork of a process that has started up already.

An interpreter takes 15 ms to start and a fork 2. What a program sees is what it would
see after ``python3 main.py``: its own ``__main__``, arguments, folder and streams, and
an end like any interpreter's, with threads waited for and exit functions called. Only
``sys.modules`` tells that more was imported before.

Standard library only.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import importlib.util
import io
import os
import random
import re
import signal
import sys
import threading
import types
from typing import Any, NoReturn

from embedenv_jupyter.sandbox import syscalls

_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+")
"""A line that declares the encoding of a source (PEP 263)."""

_FAILED_FLUSH = 120
"""What an interpreter ends with when its output could not be written."""


def run_script(path: str, arguments: list[str]) -> NoReturn:
    """Be a program until it ends. Called in a child that the supervisor has just forked.

    The child has the room's environment, streams and working folder already.
    """
    # The supervisor is not dumpable; a program of the room may be traced and read its own /proc.
    syscalls.set_dumpable(True)
    random.seed()
    _open_streams()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    sys.argv = [path, *arguments]
    main = os.path.abspath(path)
    sys.path[:0] = [os.path.dirname(main), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]
    code = _ended(_outcome(main))
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    if code < 0:
        _die_of(-code)
    os._exit(code & 0xFF)


def _open_streams() -> None:
    """Open them as an interpreter in a UTF-8 locale does that was told not to buffer."""
    for name, fd, errors in (("stdout", 1, "surrogateescape"), ("stderr", 2, "backslashreplace")):
        raw = io.FileIO(fd, "w", closefd=False)
        stream = io.TextIOWrapper(raw, "utf-8", errors, newline="\n", write_through=True)
        stream.mode = "w"  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(  # type: ignore[misc]
        io.BufferedReader(io.FileIO(0, "r", closefd=False)), "utf-8", "surrogateescape"
    )


def _outcome(path: str) -> int:
    """Run the program; return its exit code, or the negative number of the signal that it dies of."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=builtins, __spec__=None, __cached__=None)
    sys.modules["__main__"] = main
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as exc:
        return _said(f"{sys.executable}: can't open file {path!r}: [Errno {exc.errno}] {exc.strerror}", 2)
    try:
        exec(compile(_decoded(source, path), path, "exec", dont_inherit=True), main.__dict__)  # noqa: S102
    except BaseException as exc:  # noqa: BLE001 (an interpreter's last resort)
        return _told(exc)
    return 0


def _decoded(source: bytes, path: str) -> str:
    """Read the text of a program in the encoding that it declares.

    Raises:
        SyntaxError: it is not in that encoding; ``compile`` looks for that outside of comments only.
    """
    if any(_COOKIE.match(line) for line in source.splitlines()[:2]):
        return importlib.util.decode_source(source)
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line, byte = source.count(b"\n", 0, exc.start) + 1, source[exc.start]
        raise SyntaxError(
            f"Non-UTF-8 code starting with '\\x{byte:02x}' in file {path} on line {line}, but no encoding "
            "declared; see https://peps.python.org/pep-0263/ for details"
        ) from None


def _told(exc: BaseException) -> int:
    """Say what ended the program, as an interpreter does."""
    if isinstance(exc, SystemExit):
        return _exit_code(exc.code)
    own = exc.with_traceback(_without_ours(exc.__traceback__))
    try:
        sys.excepthook(type(own), own, own.__traceback__)
    except BaseException as second:  # noqa: BLE001 (a hook of the program's own)
        second.__context__ = None
        second.__traceback__ = _without_ours(second.__traceback__)
        _said("Error in sys.excepthook:", 1)
        sys.__excepthook__(type(second), second, second.__traceback__)
        _said("\nOriginal exception was:", 1)
        sys.__excepthook__(type(own), own, own.__traceback__)
    return -signal.SIGINT if isinstance(exc, KeyboardInterrupt) else 1


def _without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Skip the frames of this module at the beginning of a traceback."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _said(text: object, code: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr)  # noqa: T201 (where an interpreter says it)
    return code


def _exit_code(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    return _said(code, 1)


def _ended(code: int) -> int:
    """Wait for the program's threads, call its exit functions, write what is left."""
    with contextlib.suppress(KeyboardInterrupt):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 (no public name)
    atexit._run_exitfuncs()  # noqa: SLF001 (no public name)
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return code or _FAILED_FLUSH
    return code


def _die_of(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)
