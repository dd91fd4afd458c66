"""Runs tests once more as an ordinary user, when the test run itself is root's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

UID = 23456
"""A user that no one else is; it has no name, no home and no privilege."""

HERE = Path(__file__).parent


def run_as_user(*arguments: str, timeout_s: float) -> None:
    """Run pytest with these arguments as ``UID``; skip where that user cannot read the checkout."""
    if os.geteuid() != 0:
        pytest.skip("this run is an ordinary user's already")
    home = Path(tempfile.mkdtemp(prefix="embedenv-user-"))  # pytest's own folders are root's alone
    os.chown(home, UID, UID)
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8",
    }  # fmt: skip
    try:
        readable = _as_user(
            [sys.executable, "-c", "import ipykernel, tests.conftest"], environment, timeout_s
        )
        if readable.returncode != 0:
            pytest.skip(f"an ordinary user cannot read this checkout: {readable.stdout[-200:]}")
        done = _as_user(
            [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--timeout=60",
             f"--basetemp={home}/tmp", *arguments], environment, timeout_s,
        )  # fmt: skip
    finally:
        shutil.rmtree(home)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:]


def _as_user(
    command: list[str], environment: dict[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, user=UID, group=UID, extra_groups=[], env=environment, cwd=HERE.parents[2], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False,
    )  # fmt: skip
