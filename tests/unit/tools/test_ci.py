"""``.ci/run``: pytest's exit code and pytest's last line, whatever make would add."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CI_RUN = Path(__file__).parents[3] / ".ci" / "run"

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def run_ci(tmp_path: Path, recipe: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a checkout whose ``make test`` is ``recipe``."""
    script = tmp_path / ".ci" / "run"
    script.parent.mkdir()
    shutil.copy(CI_RUN, script)
    (tmp_path / "Makefile").write_text(f"test:\n\t@{recipe}\n")
    return subprocess.run([script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.mark.parametrize("code", [0, 1, 5])
def test_the_exit_code_is_the_one_of_pytest(tmp_path: Path, code: int) -> None:
    ended = run_ci(tmp_path, f'echo "== the summary =="; echo {code} > "$$EXIT_CODE_FILE"')
    assert ended.returncode == code
    assert ended.stdout.splitlines()[-1] == "== the summary =="


def test_nothing_may_be_missing(tmp_path: Path) -> None:
    ended = run_ci(tmp_path, 'echo 0 > "$$EXIT_CODE_FILE"; echo "strict: $$EMBEDENV_STRICT"')
    assert ended.stdout.splitlines()[-1] == "strict: 1"


def test_a_run_that_never_came_to_pytest_fails(tmp_path: Path) -> None:
    assert run_ci(tmp_path, "exit 1").returncode != 0
    (tmp_path / "Makefile").write_text("test:\n\t@true\n")
    silent = subprocess.run([tmp_path / ".ci" / "run"], capture_output=True, check=False)
    assert silent.returncode != 0
