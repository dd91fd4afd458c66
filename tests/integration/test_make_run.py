"""What ``make run`` starts: JupyterLab with the extension, its URL, and its end on Ctrl+C."""

from __future__ import annotations

import os
import re
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
def lab(start_process: StartProcess, tmp_path: Path) -> subprocess.Popen[str]:
    """Start what the recipe of ``make run`` starts, with a home of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    return start_process(
        sys.executable,
        ROOT / "tools" / "run_lab.py",
        "--IdentityProvider.token=tell-nobody",
        f"--EmbedenvApp.data_dir={tmp_path / 'data'}",
        cwd=tmp_path,
        env={**env, "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


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

    lab.send_signal(signal.SIGINT)
    rest = list(lines_of(lab))
    assert lab.wait(DEADLINE_S) == 0, "".join(printed + rest)
