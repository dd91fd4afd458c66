"""How a failed lint shows in what pytest prints and returns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

RUN = """
import sys, pytest
from tools.run_tests import LintVerdict
sys.exit(pytest.main(sys.argv[1:], plugins=[LintVerdict()]))
"""


def run_after_a_failed_lint(tmp_path: Path, test: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_it.py").write_text(test)
    options = [f"--rootdir={tmp_path}", "-p", "no:cacheprovider", str(tmp_path)]
    return subprocess.run(
        [sys.executable, "-c", RUN, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_failed_lint_fails_a_run_whose_tests_pass(tmp_path: Path) -> None:
    ended = run_after_a_failed_lint(tmp_path, "def test_it(): pass")
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    assert "the linters have findings" in ended.stdout
    assert "1 passed" in ended.stdout.splitlines()[-1]


def test_a_failed_lint_leaves_other_codes_of_pytest_alone(tmp_path: Path) -> None:
    ended = run_after_a_failed_lint(tmp_path, "no_test = 1")
    assert ended.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
