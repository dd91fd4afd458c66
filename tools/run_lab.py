"""Open JupyterLab with this checkout's extension: what ``make run`` does.

Prints the URL, with its token, on a line of its own once the server listens.
Arguments are JupyterLab's own (``make run ARGS="--port 9000"``).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from jupyterlab.labapp import LabApp


def main(argv: Sequence[str]) -> None:
    """Serve until Ctrl+C; a port that is taken is passed over for the next free one."""
    # A shell without job control starts background commands with SIGINT ignored; Ctrl+C must work there, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = ["--no-browser", "--ServerApp.answer_yes=True"]
    if os.geteuid() == 0:
        # Jupyter warns root because a notebook then runs as root; its rooms do not.
        options.append("--allow-root")
    server = LabApp.initialize_server([*options, *argv])
    server.io_loop.add_callback(announce, server.local_url)
    server.start()


def announce(url: str) -> None:
    print(f"\nJupyterLab with embedenv is ready (Ctrl+C stops it):\n\n{url}\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
