"""Shared, sandboxed rooms for JupyterLab.

Importing this package costs nothing: every supervisor, every forked kernel and
every command of the shell passes through here. The server's side is imported
when Jupyter asks for it.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server which application to load; called by its extension manager."""
    # By name: whatever asks this package for its version must not depend on the server's side.
    app = importlib.import_module("embedenv_jupyter.app")
    return [{"module": "embedenv_jupyter", "app": app.EmbedenvApp}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell `jupyter-builder develop` where a checkout's front end is; a wheel has it in its shared data."""
    return [{"src": "labextension", "dest": "embedenv-jupyter"}]
