"""The watchdog against programs that hide their memory (in rooms a filter keeps them from some of it)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedenv_jupyter.sandbox.spec import MIB, Limits
from embedenv_jupyter.sandbox.watchdog import Watchdog
from tests.conftest import StartProcess

LIMIT = 40 * MIB
LOOKS = 60

ROOM = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
print("open", flush=True)
sys.stdin.readline()
subprocess.Popen(sys.argv[1:])
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""

STARTING = """
import os, sys
held = bytearray(int(sys.argv[1]))
os.mkfifo("gate")
waits = (os.POSIX_SPAWN_OPEN, 0, "gate", os.O_RDONLY, 0)
print("holds", flush=True)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[waits])  # vfork(2): it waits, and so do we
"""


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("hiding") / "hiding"
    subprocess.run(["cc", "-o", program, Path(__file__).with_name("hiding.c")], check=True)
    return str(program)


async def ended_by_the_watchdog(start_process: StartProcess, folder: Path, *argv: str) -> int:
    """Watch a program that takes too much until nothing of it is left; return how many were ended."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    room = start_process(sys.executable, "-c", ROOM, *argv, cwd=folder, **pipes)
    assert room.stdout is not None
    assert room.stdin is not None
    assert room.stdout.readline() == "open\n"
    watchdog = Watchdog(room.pid, Limits(memory_bytes=LIMIT))
    watchdog.look()
    room.stdin.write("\n")
    room.stdin.flush()
    assert room.stdout.readline() == "holds\n"
    for _ in range(LOOKS):
        await asyncio.to_thread(watchdog.look)
        if room.poll() is not None:
            break
        await asyncio.sleep(0.05)
    assert room.poll() is not None, f"alive after {LOOKS} looks, {watchdog.counters()}"
    return watchdog.counters().oom_kills


@pytest.mark.parametrize("way", ["relatives", "threads"])
async def test_handed_on_memory_is_found(
    start_process: StartProcess, tmp_path: Path, hiding: str, way: str
) -> None:
    assert await ended_by_the_watchdog(start_process, tmp_path, hiding, way, str(2 * LIMIT)) >= 1


async def test_who_starts_a_program_is_ended_with_it(start_process: StartProcess, tmp_path: Path) -> None:
    argv = (sys.executable, "-c", STARTING, str(2 * LIMIT))
    assert await ended_by_the_watchdog(start_process, tmp_path, *argv) >= 1
