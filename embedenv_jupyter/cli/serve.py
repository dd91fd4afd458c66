"""``embedenv serve``: the gateway in a Jupyter server without JupyterLab."""

from __future__ import annotations

import os
import resource

import click

OPEN_FILES = 65_536
"""Every room, terminal and connection takes some."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--port", type=click.IntRange(0, 65535), default=8888, show_default=True, help="TCP port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[SERVER-OPTIONS]...")
def command(port: int, host: str, options: tuple[str, ...]) -> None:
    """Serve rooms without JupyterLab.

    SERVER-OPTIONS are passed on to the Jupyter server, for example
    --EmbedenvApp.memory_mib=1024 or --IdentityProvider.token=SECRET.
    """
    from embedenv_jupyter.app import EmbedenvApp

    EmbedenvApp.load_other_extensions = False  # no JupyterLab, and nothing else that is installed here
    argv = [f"--ServerApp.port={port}", f"--ServerApp.ip={host}", "--no-browser"]
    argv.append(f"--ServerApp.min_open_files_limit={_open_files()}")
    if os.geteuid() == 0:
        argv.append("--allow-root")
    EmbedenvApp.launch_instance(argv=[*argv, *options])  # type: ignore[no-untyped-call]


def _open_files() -> int:
    """Return how many open files to ask for: as many as we like, as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
