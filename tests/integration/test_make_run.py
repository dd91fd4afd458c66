"""``make run`` on a clean clone: JupyterLab with the extension, its URL, and its end on Ctrl+C.

Only the virtual environment is not made anew, which takes minutes: the clone gets the one
that the tests run in. How it is made is tested with tools/bootstrap.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import StartProcess

ROOT = Path(__file__).parents[2]
# No server starts in less; a slow machine with a cold disk takes several times as long as this one.
DEADLINE_S = 60


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Clone what is committed here."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("this is no checkout, or git is not installed: apt-get install git")
    (tmp_path / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")  # the checkout may be another user's
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "--quiet", ROOT, clone], check=True, timeout=DEADLINE_S,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    (clone / ".venv").symlink_to(sys.prefix)
    return clone


@pytest.fixture
def lab(clone: Path, start_process: StartProcess, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run ``make run`` there, with a home of its own and the clone's package."""
    if not shutil.which("make"):
        pytest.skip("make is not installed: apt-get install make")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "MAKE"))}
    process = start_process(
        "make",
        "--old-file=.venv/.installed-lab",  # older than the clone, of course
        "run",
        f"ARGS=--IdentityProvider.token=tell-nobody --EmbedenvApp.data_dir={tmp_path / 'data'}",
        cwd=clone,
        env={**env, "HOME": str(tmp_path), "PYTHONPATH": str(clone)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout)


@pytest.mark.timeout(2 * DEADLINE_S)
def test_prints_a_working_url_and_stops_on_interrupt(lab: subprocess.Popen[str]) -> None:
    printed = []
    for line in lines_of(lab):
        printed.append(line)
        if re.fullmatch(r"http://127\.0\.0\.1:\d+/lab\?token=tell-nobody\n", line):
            break
    else:
        pytest.fail("no URL was printed:\n" + "".join(printed))
    url = printed[-1].strip()

    with urllib.request.urlopen(url, timeout=DEADLINE_S) as page:
        assert page.status == 200
        assert "jupyterlab" in page.read().decode().lower()

    os.killpg(lab.pid, signal.SIGINT)  # as a terminal does
    rest = list(lines_of(lab))
    # make ends by the signal, after JupyterLab; it would name the code of one that failed.
    assert lab.wait(DEADLINE_S) in (-signal.SIGINT, 128 + signal.SIGINT), "".join(printed + rest)
    assert not [line for line in rest if re.search(r"\*\*\* .* Error \d+", line)], "".join(rest)
