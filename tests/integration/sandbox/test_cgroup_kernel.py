"""Version 2 groups in the real kernel, as far as it has them without controllers: freeze, count, remove."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedenv_jupyter.sandbox import cgroups
from embedenv_jupyter.sandbox.cgroup_claim import sweep
from embedenv_jupyter.sandbox.cgroups import GroupV2
from embedenv_jupyter.sandbox.spec import Limits
from tests.conftest import StartProcess
from tests.integration.sandbox.programs import DEADLINE_S


@pytest.fixture
def folder() -> Iterator[Path]:
    """A group of our own beside where we are."""
    own = cgroups.current_places().v2
    if own is None:
        pytest.skip("no cgroup version 2 is mounted")
    made = Path(own, f"embedenv-test-{os.getpid()}")
    try:
        made.mkdir()
    except OSError as exc:
        pytest.skip(f"no group can be made in {own}: {exc.strerror}")
    yield made
    cgroups.remove_below(str(made))
    assert not made.exists()


def wait_for(path: Path, line: str) -> None:
    """Wait until a file of the kernel's has a line."""
    deadline_s = time.monotonic() + DEADLINE_S
    while line not in path.read_text().splitlines():
        assert time.monotonic() < deadline_s, path.read_text()
        os.sched_yield()


def spinning(start_process: StartProcess, group: GroupV2) -> subprocess.Popen[bytes]:
    process = start_process("sh", "-c", "while :; do :; done")
    cgroups.write(f"{group.folder}/cgroup.procs", str(process.pid))
    return process


def test_group_is_frozen_and_thawed(folder: Path, start_process: StartProcess) -> None:
    group = GroupV2((str(folder),), frozenset())
    group.limit(Limits())  # without controllers there is nothing to write
    spinning(start_process, group)
    assert group.freeze(True)
    wait_for(folder / "cgroup.events", "frozen 1")
    frozen_s = group.counters().cpu_s
    assert frozen_s is not None
    assert group.counters().cpu_s == frozen_s
    assert group.freeze(False)
    wait_for(folder / "cgroup.events", "frozen 0")


def test_group_with_processes_is_not_removed(folder: Path, start_process: StartProcess) -> None:
    group = GroupV2((str(folder),), frozenset())
    process = spinning(start_process, group)
    with pytest.raises(OSError, match="busy"):
        group.remove()
    process.kill()
    process.wait()
    group.remove()
    group.remove()
    assert not folder.exists()


def test_what_is_left_frozen_by_a_dead_gateway_is_ended_and_removed(
    folder: Path, start_process: StartProcess
) -> None:
    room = folder / "room-1"
    room.mkdir()
    group = GroupV2((str(room),), frozenset())
    process = spinning(start_process, group)
    group.freeze(True)
    wait_for(room / "cgroup.events", "frozen 1")
    sweep(str(folder.parent))  # nobody holds its lock
    assert process.wait(timeout=DEADLINE_S) == -9
    sweep(str(folder.parent))
    assert not folder.exists()
