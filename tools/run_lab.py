"""Open JupyterLab with this checkout's extension: what ``make run`` does.

Prints the URL, with its token, on a line of its own once the server listens.
Arguments are JupyterLab's own (``make run ARGS="--port 9000"``).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from jupyterlab.labapp import LabApp
from tornado.httpclient import AsyncHTTPClient, HTTPError

HEALTH_DEADLINE_S = 60


def main(argv: Sequence[str]) -> int:
    """Serve until Ctrl+C; a port that is taken is passed over for the next free one."""
    # A shell without job control starts background commands with SIGINT ignored; Ctrl+C must stop them, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = ["--no-browser", "--ServerApp.answer_yes=True"]
    if os.geteuid() == 0:
        # Jupyter warns root because a notebook then runs as root; its rooms do not.
        options.append("--allow-root")
    server = LabApp.initialize_server([*options, *argv])
    is_ready = False

    async def announce() -> None:
        nonlocal is_ready
        is_ready = await answers(server)
        if not is_ready:
            # Jupyter logs why an extension does not load, and goes on without it; here it is the point.
            server.stop()
            return
        print(f"\nJupyterLab with embedenv is ready (Ctrl+C stops it):\n\n{server.local_url}\n", flush=True)

    server.io_loop.add_callback(announce)
    server.start()
    return 0 if is_ready else 1


async def answers(server: ServerApp) -> bool:
    """Whether the extension's health answers, through the port that the URL will name."""
    url = url_path_join(server.connection_url, "embedenv", "health")
    headers = {"Authorization": f"token {server.identity_provider.token}"}
    try:
        # A certificate made for a public name does not fit the address that is asked here.
        await AsyncHTTPClient().fetch(
            url, headers=headers, request_timeout=HEALTH_DEADLINE_S, validate_cert=False
        )
    except (OSError, HTTPError) as exc:
        server.log.critical("embedenv is not there: %s: %s", url, exc)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
