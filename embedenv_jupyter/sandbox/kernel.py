"""The Python kernel of a room, forked from a process that has imported it already.

The only module of the zygote and the supervisor that needs more than the
standard library, and only when :func:`warm` or :func:`run_kernel` is called.

A kernel has a folder of its own in the room's runtime folder, which holds its
connection file and its five sockets (ipc, see :data:`CHANNELS`).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, NoReturn

from embedenv_jupyter.sandbox import fork_pipe, interrupts, magic_stubs, pacing, syscalls

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
"""The channels of a kernel in the order of their sockets: ``s-1`` is shell, ``s-5`` the heartbeat."""

_SOCKET_PREFIX = "s"
_CONNECTION_FILE = "kernel.json"

_MODULES = (
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.iostream",
    "ipykernel.heartbeat", "ipykernel.subshell", "ipykernel.subshell_manager", "ipykernel.shellchannel",
    "ipykernel.comm", "ipykernel.compiler", "ipykernel.eventloops",
    "IPython.core.async_helpers", "IPython.core.completer", "IPython.core.completerlib",
    "IPython.core.debugger", "IPython.core.displayhook", "IPython.core.extensions",
    "IPython.core.history", "IPython.core.logger", "IPython.core.magics", "IPython.core.oinspect",
    "IPython.core.payloadpage", "IPython.core.pylabtools", "IPython.core.ultratb",
    "IPython.extensions.storemagic", "IPython.lib.pretty", "IPython.utils.wildcard",
    "jupyter_client.session", "psutil", "jedi",
    "tornado.platform.asyncio", "tornado.queues", "tornado.locks", "zmq.asyncio",
    "zmq.eventloop.zmqstream",
    "encodings.ascii", "encodings.idna", "encodings.latin_1", "faulthandler", "gzip", "http.client",
    "mimetypes", "sqlite3", "unicodedata", "uuid",
)  # fmt: skip
"""What a kernel imports until it has answered its first cell and its first completion.

Nothing of matplotlib_inline: at its import it ties itself to the shell that there is.
"""

_DEBUGGER = ("debugpy", "ipykernel.debugger")
"""Imported once here, so that no room pays for it when its kernel starts."""


def warm() -> None:
    """Import what kernels need, and make the application that each of them will be.

    A module that this version of ipykernel lacks is left out.

    Raises:
        ImportError: there is no ipykernel.
    """
    with _passing_home():
        app = importlib.import_module("ipykernel.kernelapp").IPKernelApp
        for name in (*_MODULES, *_DEBUGGER):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    app.instance()  # an empty one: what it takes from its environment it takes when it is initialized


@contextlib.contextmanager
def _passing_home() -> Iterator[None]:
    """Let what is imported have a home folder, which is gone afterwards.

    matplotlib would make the zygote's, which there is not to be, on the host.
    """
    try:
        folder = tempfile.mkdtemp(prefix="warm-")
    except OSError:  # no place for temporary files: then for no other ones either
        yield
        return
    before = os.environ.get("HOME", "")
    os.environ["HOME"] = folder
    try:
        yield
    finally:
        os.environ["HOME"] = before
        shutil.rmtree(folder, ignore_errors=True)


def socket_names() -> dict[str, str]:
    """Return the name of each channel's socket in the folder of a kernel."""
    return {channel: f"{_SOCKET_PREFIX}-{number}" for number, channel in enumerate(CHANNELS, 1)}


def connection_info(folder: str, key: str) -> dict[str, Any]:
    """Return what the two ends of a kernel's sockets must know, as in a connection file of Jupyter."""
    ports = {f"{channel}_port": number for number, channel in enumerate(CHANNELS, 1)}
    return {
        "transport": "ipc", "ip": f"{folder}/{_SOCKET_PREFIX}", "key": key,
        "signature_scheme": "hmac-sha256", **ports,
    }  # fmt: skip


def make_folder(runtime: str, name: str, key: str) -> tuple[int, str]:
    """Make the folder of a new kernel with its connection file; return its descriptor and the file's path.

    Raises:
        FileExistsError: the name was used before, perhaps by a program of the room.
        OSError: the name is no name, or the runtime folder is full.
    """
    if not name.isalnum():
        raise ValueError(f"{name!r} is no name of a kernel")
    folder = f"{runtime}/{name}"
    os.mkdir(folder, 0o700)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(_CONNECTION_FILE, flags, 0o600, dir_fd=fd)
        with open(file, "w", encoding="utf-8") as opened:
            json.dump(connection_info(folder, key), opened)
    except BaseException:
        os.close(fd)
        raise
    return fd, f"{folder}/{_CONNECTION_FILE}"


def remove_folder(runtime: str, name: str) -> None:
    """Remove the folder of a kernel that has ended: the runtime folder is small.

    What programs of the room have put in its place or into it stays, with the folder.
    """
    try:
        fd = os.open(f"{runtime}/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    for file in (_CONNECTION_FILE, fork_pipe.NAME, *socket_names().values()):
        with contextlib.suppress(OSError):
            os.unlink(file, dir_fd=fd)
    os.close(fd)
    with contextlib.suppress(OSError):
        os.rmdir(f"{runtime}/{name}")


def run_kernel(connection_file: str, argv: list[str], ready: int) -> NoReturn:
    """Be a kernel until it is shut down. Called in a child that the supervisor has just forked.

    The child has the room's environment, streams and working folder already. It
    writes one byte to ``ready`` when its sockets are bound.
    """
    # The supervisor is not dumpable; a program of the room may be traced and read its own /proc.
    syscalls.set_dumpable(True)
    random.seed()
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = ["ipykernel_launcher.py", "-f", connection_file, *argv]
    _extend_path()
    _settle_in()
    app: Any = IPKernelApp.instance()
    _initialize(app, connection_file, argv)
    fork_pipe.move(app, os.path.dirname(connection_file))
    magic_stubs.register(app.shell)
    interrupts.answer_interrupted(app)
    pacing.pace(app)
    os.write(ready, b"R")
    os.close(ready)
    app.start()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _extend_path() -> None:
    """Import from the working folder, and from PYTHONPATH, which this interpreter started without."""
    folders = [folder for folder in os.environ.get("PYTHONPATH", "").split(":") if folder]
    for folder in folders:
        with contextlib.suppress(OSError):  # one that does not exist yet would never be looked into again
            os.makedirs(folder, exist_ok=True)
    sys.path[:0] = [name for name in ("", *folders) if name not in sys.path]


def _settle_in() -> None:
    """Point what was imported with the zygote's home folder, which there is not, to the room's."""
    with contextlib.suppress(ImportError):
        settings: Any = importlib.import_module("jedi.settings")
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        # Without a place for what it has parsed, jedi completes nothing.
        settings.cache_directory = f"{cache}/jedi"
    matplotlib = sys.modules.get("matplotlib")
    for name in ("get_configdir", "get_cachedir"):
        asked = getattr(getattr(matplotlib, name, None), "__wrapped__", None)
        if asked is not None:  # what is around it remembers the zygote's answer
            setattr(matplotlib, name, functools.cache(asked))


def _initialize(app: Any, connection_file: str, argv: list[str]) -> None:
    """Set up the kernel as its command line would."""
    # No history on disk: rooms are short-lived and SQLite would cost a thread and some milliseconds.
    settings = {
        "IPKernelApp": {"connection_file": connection_file},
        "HistoryManager": {"hist_file": ":memory:"},
    }
    if argv:
        words = [f"--{name}.{key}={value}" for name, of in settings.items() for key, value in of.items()]
        app.initialize([*words, *argv])
        return

    def take_settings(_: object = None) -> None:
        app.cli_config = type(app.config)(settings)
        app.update_config(app.cli_config)

    # A parser for all options of all classes would cost a third of the start, and 5 MiB in each kernel.
    app.parse_command_line = take_settings
    app.initialize([])
