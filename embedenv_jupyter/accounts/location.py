"""Where the accounts live when nobody says otherwise, and who may read them there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir
from sqlalchemy import URL

DATABASE_VARIABLE = "EMBEDENV_DATABASE"
DATA_DIR_VARIABLE = "EMBEDENV_DATA_DIR"
DATABASE_NAME = "embedenv.db"


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of everything we keep: ``EMBEDENV_DATA_DIR``, or one in Jupyter's data."""
    chosen = environ.get(DATA_DIR_VARIABLE)
    return Path(chosen).expanduser().absolute() if chosen else Path(jupyter_data_dir(), "embedenv").absolute()


def default_database_url(environ: Mapping[str, str] = os.environ) -> str:
    """Return the database for the command line and the server alike, unless they are told another."""
    chosen = environ.get(DATABASE_VARIABLE)
    # composed by SQLAlchemy, which knows how to escape a question mark in a folder's name
    local = URL.create("sqlite", database=str(data_dir(environ) / DATABASE_NAME))
    return chosen or local.render_as_string()


def make_private(database: Path) -> None:
    """Create a database file for its owner's eyes only, and its folder likewise.

    What exists already keeps the mode that somebody gave it. SQLite gives the
    files that it puts beside the database the mode of the database.

    Raises:
        OSError: the folder or the file cannot be made.
    """
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
