"""Where a kernel hears what programs print that it has forked: a socket in its folder instead of a TCP port.

ipykernel listens on a port of the loopback for them as soon as it starts
(``ipykernel.iostream.IOPubThread``), and who looks for what a room's programs offer
would find one for each kernel. An ipykernel that does it in another way is left alone.
"""

from __future__ import annotations

import importlib
from typing import Any

NAME = "forks"
"""The name of the socket."""

_LINGER_MS = 3000
"""How long a program that ends waits for the kernel to take its last output, as in ipykernel."""


def move(app: Any, folder: str) -> None:
    """Have a kernel application whose sockets are bound listen in ``folder``, a path without links."""
    thread = app.iopub_thread
    listening = getattr(getattr(thread, "_pipe_in", None), "socket", None)
    port = getattr(thread, "_pipe_port", None)
    if listening is None or port is None or not hasattr(thread, "_setup_pipe_out"):
        return
    zmq: Any = importlib.import_module("zmq")
    address = f"ipc://{folder}/{NAME}"

    def listen() -> None:
        listening.bind(address)
        listening.unbind(f"tcp://127.0.0.1:{port}")

    def connect() -> tuple[Any, Any]:
        context = zmq.Context()  # sockets of the parent's are of no use after a fork
        pipe = context.socket(zmq.PUSH)
        pipe.linger = _LINGER_MS
        pipe.connect(address)
        return context, pipe

    thread._setup_pipe_out = connect  # noqa: SLF001 (ipykernel has no other way)
    thread.schedule(listen)  # the thread whose socket it is
