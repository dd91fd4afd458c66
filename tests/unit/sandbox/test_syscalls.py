"""System calls whose kernel answers depend on what others do meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from embedenv_jupyter.sandbox import syscalls
from tests.conftest import StartProcess

RENAMES = """
import os, sys
print("renames", flush=True)
while True:
    os.rename("one", "two")
    os.rename("two", "one")
"""


def test_renames_elsewhere_keep_nobody_from_their_files(tmp_path: Path, start_process: StartProcess) -> None:
    """The kernel gives a path with ``..`` up when anything at all is renamed while it is looked up."""
    inside, elsewhere = tmp_path / "inside", tmp_path / "elsewhere"
    (inside / "folder").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "one").touch()
    (inside / "file").touch()
    process = start_process(sys.executable, "-c", RENAMES, cwd=elsewhere, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "renames\n"
    root = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    try:
        for _ in range(3000):
            os.close(syscalls.openat2(root, "folder/../file", os.O_RDONLY, resolve=syscalls.RESOLVE_BENEATH))
    finally:
        os.close(root)


def test_memory_is_the_same_in_threads_and_not_in_children(start_process: StartProcess) -> None:
    process = start_process("cat", stdin=subprocess.PIPE)
    threads = [int(name) for name in os.listdir("/proc/self/task")]
    assert all(syscalls.has_same_memory(os.getpid(), thread) for thread in threads)
    assert not syscalls.has_same_memory(os.getpid(), process.pid)


@pytest.mark.parametrize("pid", [2**22 + 1, -1])
def test_nobody_shares_memory_with_who_is_not_there(pid: int) -> None:
    assert not syscalls.has_same_memory(os.getpid(), pid)
