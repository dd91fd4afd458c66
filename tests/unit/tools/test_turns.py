"""Who of several test processes runs when."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartProcess

ROOT = Path(__file__).parents[3]
DEADLINE_S = 20.0

TURN = """
import sys
from pathlib import Path
from tests.turns import turn

print("waits", flush=True)
with turn(Path(sys.argv[1]), is_alone=sys.argv[2] == "alone"):
    print("runs", flush=True)
    sys.stdin.readline()
print("over", flush=True)
"""

Begin = Callable[[str], "Worker"]


class Worker:
    """A process that waits for one turn."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._process = process
        assert self._hear(DEADLINE_S) == "waits"

    def _hear(self, for_s: float) -> str | None:
        """Return what it says next; ``None`` where it says nothing for so long."""
        assert self._process.stdout is not None
        is_heard = bool(select.select([self._process.stdout], [], [], for_s)[0])
        return self._process.stdout.readline().decode().strip() if is_heard else None

    @property
    def is_waiting(self) -> bool:
        return self._hear(0.3) is None

    def runs(self) -> None:
        assert self._hear(DEADLINE_S) == "runs"

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        assert self._hear(DEADLINE_S) == "over"


@pytest.fixture
def begin(start_process: StartProcess, tmp_path: Path) -> Begin:
    """Start a process that wants its turn, ``"alone"`` or beside others."""

    def begin_one(how: str) -> Worker:
        argv = (sys.executable, "-c", TURN, tmp_path, how)
        # Without a buffer of ours, what waits to be read can be waited for.
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        return Worker(start_process(*argv, cwd=ROOT, **pipes))

    return begin_one


def test_tests_run_side_by_side(begin: Begin) -> None:
    one, other = begin("beside others"), begin("beside others")
    one.runs()
    other.runs()
    one.end()
    other.end()


def test_who_has_to_be_alone_is_and_lets_nobody_by(begin: Begin) -> None:
    one = begin("beside others")
    one.runs()
    alone = begin("alone")
    assert alone.is_waiting
    late = begin("beside others")
    assert late.is_waiting, "it passed one that waited longer"
    one.end()
    alone.runs()
    assert late.is_waiting
    alone.end()
    late.runs()
    late.end()
