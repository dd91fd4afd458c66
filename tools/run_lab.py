"""Open JupyterLab with this checkout's extension: what ``make run`` does.

Prints the URL, with its token, on a line of its own once the server listens and
the extension answers. Arguments are JupyterLab's own (``make run ARGS="--port 9000"``).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from jupyterlab.labapp import LabApp
from tornado.httpclient import AsyncHTTPClient, HTTPError

HEALTH_DEADLINE_S = 60


class NotServedError(Exception):
    """The server runs and the extension does not answer in it."""


def main(argv: Sequence[str]) -> int:
    """Serve until Ctrl+C; a port that is taken is passed over for the next free one."""
    # A shell without job control starts background commands with SIGINT ignored; Ctrl+C must stop them, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options = ["--no-browser", "--ServerApp.answer_yes=True"]
    if os.geteuid() == 0:
        # Jupyter warns root because a notebook then runs as root; its rooms do not.
        options.append("--allow-root")
    server = LabApp.initialize_server([*options, *argv])
    exit_code = 0

    async def announce() -> None:
        nonlocal exit_code
        try:
            obstacle = await what_keeps_rooms_from_starting(server)
        except NotServedError as exc:
            # Jupyter logs why an extension does not load, and goes on without it; here it is the point.
            server.log.critical("embedenv: %s", exc)
            exit_code = 1
            server.stop()
            return
        if obstacle:
            print(f"\nNo rooms can start here: {obstacle}", flush=True)
        print(f"\nJupyterLab with embedenv is ready (Ctrl+C stops it):\n\n{url_of(server)}\n", flush=True)

    server.io_loop.add_callback(announce)
    server.start()
    return exit_code


def url_of(server: ServerApp) -> str:
    """Make the URL that opens JupyterLab.

    Jupyter's own hides a token that the user has configured, because it goes to the log.
    """
    token = server.identity_provider.token
    return urlsplit(server.local_url)._replace(query=urlencode({"token": token}) if token else "").geturl()


async def what_keeps_rooms_from_starting(server: ServerApp) -> str | None:
    """Ask the extension's health; returns the gateway's reason, or ``None`` where rooms start.

    Raises:
        NotServedError: nothing answers, or something that is not the gateway.
    """
    url = url_path_join(server.connection_url, "embedenv", "health")
    try:
        # A certificate made for a public name does not fit the address that is asked here.
        answer = await AsyncHTTPClient().fetch(
            url, raise_error=False, request_timeout=HEALTH_DEADLINE_S, validate_cert=False
        )
    except (OSError, HTTPError) as exc:
        raise NotServedError(f"{url} does not answer: {exc}") from exc
    if answer.code == 200:
        return None
    if answer.code == 503:
        return str(json.loads(answer.body).get("reason"))
    raise NotServedError(f"{url} answers {answer.code}; the reason stands above")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
