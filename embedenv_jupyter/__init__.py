"""Shared, sandboxed rooms for JupyterLab.

Importing this package costs nothing: every supervisor, every forked kernel and
every command of the shell passes through here. The server's side is imported
when Jupyter asks for it.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server which application to load; called by its extension manager."""
    from embedenv_jupyter.app import EmbedenvApp

    return [{"module": "embedenv_jupyter", "app": EmbedenvApp}]
