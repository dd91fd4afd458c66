"""``tools/find-python``: which interpreter the environment is built with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FIND_PYTHON = Path(__file__).parents[3] / "tools" / "find-python"


@pytest.fixture
def find_python(tmp_path: Path) -> FindPython:
    return FindPython(tmp_path)


class FindPython:
    """Calls the script with a ``PATH`` of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add_python(self, name: str, *, is_enough: bool) -> Path:
        """Put an interpreter on the path that passes or fails the check of its version."""
        script = self.folder / name
        answer = f'exec "{sys.executable}" "$@"' if is_enough else "exit 1"
        script.write_text(f"#!/bin/sh\n{answer}\n")
        script.chmod(0o755)
        return script

    def __call__(self, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", FIND_PYTHON],
            env={"PATH": str(self.folder), **env},
            capture_output=True,
            text=True,
            check=False,
        )


def test_the_interpreter_that_the_caller_names_wins(find_python: FindPython) -> None:
    mine = find_python.add_python("mine", is_enough=True)
    answer = find_python(PYTHON=str(mine))
    assert (answer.returncode, answer.stdout.strip()) == (0, sys.executable)


def test_a_named_interpreter_that_is_too_old_is_not_replaced_in_silence(find_python: FindPython) -> None:
    old = find_python.add_python("old", is_enough=False)
    answer = find_python(PYTHON=str(old))
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert f"PYTHON={old} is no Python 3.11 or newer" in answer.stderr


def test_a_name_that_does_not_exist_is_named(find_python: FindPython) -> None:
    answer = find_python(PYTHON="/nowhere/python3")
    assert answer.returncode == 1
    assert "PYTHON=/nowhere/python3" in answer.stderr


def test_without_a_name_there_is_an_interpreter_or_a_way_to_one(find_python: FindPython) -> None:
    answer = find_python()
    if answer.returncode:
        assert "Python 3.11 or newer is needed" in answer.stderr
    else:
        assert Path(answer.stdout.strip()).is_absolute()
