"""All tests of the ns tier once more, as an ordinary user, when the test run itself is root's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.sandbox.ns_rooms import IS_ROOT

UID = 23456
"""A user that no one else is; it has no name, no home and no privilege."""

FILES = (
    "test_ns_traps.py",
    "test_ns_ends.py",
    "test_ns_spares.py",
    "test_confined_process.py",
    "test_ns_zygote.py",
    "test_attacks.py",
)
HERE = Path(__file__).parent
TIMEOUT_S = 300


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("name", FILES)
def test_ns_tier_works_for_an_ordinary_user(name: str, tmp_path: Path) -> None:
    if not IS_ROOT:
        pytest.skip("this run is an ordinary user's already")
    readable = subprocess.run(
        [sys.executable, "-c", "import ipykernel, tests.conftest"],
        user=UID, group=UID, extra_groups=[], env=_environment(tmp_path), capture_output=True, check=False,
    )  # fmt: skip
    if readable.returncode != 0:
        pytest.skip(f"an ordinary user cannot read this checkout: {readable.stderr.decode()[-200:]}")
    home = Path(f"/tmp/embedenv-user-{os.getpid()}")  # tmp_path lies in a folder that is root's alone
    home.mkdir()
    os.chown(home, UID, UID)
    try:
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--timeout=60",
                f"--basetemp={home}/tmp", str(HERE / name),
            ],
            user=UID, group=UID, extra_groups=[], env=_environment(home), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(home)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:]


def _environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
