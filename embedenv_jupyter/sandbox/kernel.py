"""The Python kernel of a room, forked from a process that has imported it already.

The only module of the zygote and the supervisor that needs more than the
standard library, and only when one of its functions is called.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import sys
from typing import Any, NoReturn

from embedenv_jupyter.sandbox import syscalls

_MODULES = (
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.iostream",
    "ipykernel.heartbeat", "ipykernel.subshell", "ipykernel.subshell_manager", "ipykernel.shellchannel",
    "ipykernel.comm", "ipykernel.compiler", "ipykernel.pylab.config", "ipykernel.eventloops",
    "IPython.core.async_helpers", "IPython.core.completer", "IPython.core.completerlib",
    "IPython.core.debugger", "IPython.core.displayhook", "IPython.core.extensions",
    "IPython.core.history", "IPython.core.logger", "IPython.core.magics", "IPython.core.oinspect",
    "IPython.core.payloadpage", "IPython.core.pylabtools", "IPython.core.ultratb",
    "IPython.extensions.storemagic", "IPython.lib.pretty", "IPython.utils.wildcard",
    "jupyter_client.session", "matplotlib_inline.backend_inline", "psutil", "jedi",
    "tornado.platform.asyncio", "tornado.queues", "tornado.locks", "zmq.asyncio",
    "zmq.eventloop.zmqstream",
    "encodings.ascii", "encodings.idna", "encodings.latin_1", "faulthandler", "gzip", "http.client",
    "mimetypes", "sqlite3", "unicodedata", "uuid",
)  # fmt: skip
"""What a kernel imports until it has answered its first cell and its first completion."""

_DEBUGGER = ("debugpy", "ipykernel.debugger")
"""Imported once here, so that no room pays for it when its kernel starts."""


def warm() -> None:
    """Import what kernels need; a module that this version of ipykernel lacks is left out.

    Raises:
        ImportError: there is no ipykernel.
    """
    importlib.import_module("ipykernel.kernelapp")
    for name in (*_MODULES, *_DEBUGGER):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def run_kernel(connection_file: str, argv: list[str]) -> NoReturn:
    """Be a kernel until it is shut down. Called in a child that the supervisor has just forked.

    The child has the room's environment, streams and working folder already.
    """
    # The supervisor is not dumpable; a program of the room may be traced and read its own /proc.
    syscalls.set_dumpable(True)
    random.seed()
    from ipykernel.kernelapp import IPKernelApp

    sys.argv = ["ipykernel_launcher.py", "-f", connection_file, *argv]
    if "" not in sys.path:
        sys.path.insert(0, "")
    app: Any = IPKernelApp.instance()
    # No history on disk: rooms are short-lived and SQLite would cost a thread and some milliseconds.
    app.initialize(["-f", connection_file, "--HistoryManager.hist_file=:memory:", *argv])
    app.start()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
