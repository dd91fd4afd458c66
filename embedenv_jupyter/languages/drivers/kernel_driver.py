"""A Jupyter kernel as a session: kernel_driver.py kotlin|deno. Kernel and client are both inside the room."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

VENV = "/usr/local/lib/embedenv/venv"
READY_S = 120
LATE_S = 0.05
"""How long output may come after a kernel said that it is idle, which Deno's does now and then."""


def kotlin() -> list[str]:
    (home,) = glob.glob(f"{VENV}/lib/python3*/site-packages/run_kotlin_kernel")
    with open(f"{home}/config/jar_args.json") as file:
        jars = json.load(file)
    path = ":".join(f"{home}/jars/{name}" for name in jars["classPath"])
    # Not by its own launcher, which opens a port for debuggers.
    return [
        "java",
        "-Xmx768m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-jar",
        f"{home}/jars/{jars['mainJar']}",
        f"-classpath={path}",
        "{connection_file}",
        f"-home={home}",
    ]


def deno() -> list[str]:
    return [f"{VENV}/bin/deno", "jupyter", "--kernel", "--conn", "{connection_file}"]


def start(name: str, argv: list[str]) -> tuple[KernelManager, BlockingKernelClient]:
    """Start the kernel by a spec of our own making."""
    folder = tempfile.mkdtemp(prefix="kernels-")
    os.makedirs(f"{folder}/{name}")
    with open(f"{folder}/{name}/kernel.json", "w") as file:
        json.dump({"argv": argv, "display_name": name, "language": name}, file)
    specs = KernelSpecManager(kernel_dirs=[folder], ensure_native_kernel=False)
    manager = KernelManager(kernel_name=name, kernel_spec_manager=specs)
    manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=READY_S)
    return manager, client


def show(message: dict[str, Any]) -> None:
    content = message["content"]
    match message["msg_type"]:
        case "stream":
            (sys.stdout if content["name"] == "stdout" else sys.stderr).write(content["text"])
        case "execute_result" | "display_data":
            sys.stdout.write(content["data"].get("text/plain", "") + "\n")
        case "error":
            sys.stderr.write("\n".join(content["traceback"]) + "\n")
    sys.stdout.flush()
    sys.stderr.flush()


def show_late(client: BlockingKernelClient) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            show(client.get_iopub_msg(timeout=LATE_S))


def serve(name: str, argv: list[str]) -> None:
    manager, client = start(name, argv)
    signal.signal(signal.SIGINT, lambda *_: manager.interrupt_kernel())

    def give_line(message: dict[str, Any]) -> None:
        sys.stdout.write(message["content"].get("prompt", ""))
        sys.stdout.flush()
        client.input(sys.stdin.readline().rstrip("\n"))

    with open(os.environ["CELL_IN"]) as cells, open(os.environ["CELL_OUT"], "w", buffering=1) as answers:
        answers.write("ready\n")
        for path in iter(cells.readline, ""):
            with open(path.rstrip("\n"), encoding="utf-8") as file:
                code = file.read()
            reply = client.execute_interactive(
                code, allow_stdin=True, output_hook=show, stdin_hook=give_line, timeout=None
            )
            show_late(client)
            answers.write("ok\n" if reply["content"]["status"] == "ok" else "error\n")
    client.stop_channels()
    manager.shutdown_kernel(now=True)


serve(sys.argv[1], {"kotlin": kotlin, "deno": deno}[sys.argv[1]]())
