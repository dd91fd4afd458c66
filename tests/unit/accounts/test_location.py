from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from embedenv_jupyter.accounts.engine import database_url, sqlite_file
from embedenv_jupyter.accounts.location import data_dir, default_database_url, make_private
from embedenv_jupyter.errors import AccountsUnavailableError


def test_the_database_is_said_in_the_environment() -> None:
    assert (
        default_database_url({"EMBEDENV_DATABASE": "postgresql+asyncpg://h/d"}) == "postgresql+asyncpg://h/d"
    )


def test_the_data_folder_is_said_in_the_environment(tmp_path: Path) -> None:
    environ = {"EMBEDENV_DATA_DIR": str(tmp_path)}
    assert data_dir(environ) == tmp_path
    assert default_database_url(environ) == f"sqlite:///{tmp_path}/embedenv.db"


def test_otherwise_it_is_in_jupyters_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    assert data_dir({}) == tmp_path / "embedenv"


def test_the_default_url_survives_odd_folders(tmp_path: Path) -> None:
    folder = tmp_path / "a b%20c?d#é"
    url = default_database_url({"EMBEDENV_DATA_DIR": str(folder)})
    assert sqlite_file(database_url(url)) == folder / "embedenv.db"


def test_only_the_owner_can_read_what_is_created(tmp_path: Path) -> None:
    database = tmp_path / "data" / "embedenv.db"
    before = os.umask(0)
    try:
        make_private(database)
    finally:
        os.umask(before)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def test_what_exists_keeps_its_mode(tmp_path: Path) -> None:
    database = tmp_path / "embedenv.db"
    database.write_bytes(b"x")
    database.chmod(0o640)
    make_private(database)
    assert stat.S_IMODE(database.stat().st_mode) == 0o640
    assert database.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("sqlite:///x.db", "sqlite"),
        ("sqlite+aiosqlite:////tmp/x.db", "sqlite"),
        ("postgres://h/d", "postgresql+asyncpg"),
        ("postgresql://h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg"),
    ],
)
def test_the_driver_is_filled_in(text: str, driver: str) -> None:
    assert database_url(text).drivername == driver


@pytest.mark.parametrize(
    "text",
    ["", "x.db", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", "sqlite:///x?mode=memory",
     "postgresql://h:port/d"],
)  # fmt: skip
def test_urls_of_no_use_are_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(AccountsUnavailableError) as caught:
        database_url(text)
    assert "sqlite:///FILE" in caught.value.remedy
