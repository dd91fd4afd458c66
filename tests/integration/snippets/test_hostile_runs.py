"""Programs that do harm: a named result each, what they printed is kept, and neighbours notice nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.snippets.conftest import Dial, EnginePeer

SMALL = {"memory_mib": 96, "pids": 24, "disk_mib": 8}
"""Bombs get their limits first."""

NO_FILTER = {"code_filter": "off"}


@dataclass(frozen=True)
class Bomb:
    """What does harm, and how its end is named."""

    code: str
    ended_by: str = ""
    language: str = "python"
    timeout_s: float = 20


CHILDREN = """
import subprocess
print('on', flush=True)
kept = []
while True:
    kept.append(subprocess.Popen(['sleep', '60']))
"""
THREADS = """
import threading, time
print('on', flush=True)
while True:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""
FULL_DISK = """
print('on', flush=True)
with open('big', 'wb') as file:
    while True:
        file.write(bytes(1 << 16))
"""
ENDLESS_MACRO = """
#define A B B B B B B B B
#define B C C C C C C C C
#define C D D D D D D D D
#define D E E E E E E E E
#define E F F F F F F F F
#define F G G G G G G G G
#define G int x;
A A A A A A A A
"""
LARGE_PROGRAM = """
char big[1 << 30] = {1};
int main(int count, char **words) { return big[count]; }
"""
BOMBS = {
    "endless loop": Bomb("print('on', flush=True)\nwhile True: pass", "time", timeout_s=0.7),
    "endless output": Bomb("while True: print('on' * 1000)", "time", timeout_s=1),
    "memory": Bomb("print('on', flush=True)\nx = []\nwhile True: x.append(bytearray(1 << 20))", "oom"),
    "processes": Bomb(CHILDREN, "pids"),
    "threads": Bomb(THREADS, "pids"),
    "disk": Bomb(FULL_DISK, "disk"),
    "a compiler without end": Bomb(ENDLESS_MACRO, language="c"),
    "a program that is too large": Bomb(LARGE_PROGRAM, language="c"),
    "its own group": Bomb("echo on; kill -9 0", language="bash"),
    "everybody": Bomb("echo on; kill -9 -1", language="bash"),
}


@pytest.mark.parametrize("embedenv_config", [NO_FILTER])
@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_named_and_hurt_nobody_else(dial_engine: Dial, name: str) -> None:
    bomb = BOMBS[name]
    neighbour, peer = await dial_engine(), await dial_engine()
    await neighbour.ask("x = 1")
    harm = asyncio.create_task(
        peer.ask(bomb.code, bomb.language, fresh=True, limits=SMALL, timeout=bomb.timeout_s)
    )
    while not harm.done():
        assert (await neighbour.ask("print(x)"))["stdout"] == "1\n"
    answer = await harm
    assert answer["exit_code"] != 0, answer
    assert bomb.ended_by in ("", answer.get("ended_by")), answer
    assert bomb.language == "c" or answer["stdout"].startswith("on"), answer
    again = await peer.ask("print('alive')", fresh=True, limits=SMALL)
    assert again["stdout"] == "alive\n", (answer, again)


async def test_more_output_than_an_answer_holds_is_counted(peer: EnginePeer) -> None:
    answer = await peer.ask("print('x' * 3_000_000)", fresh=True)
    assert len(answer["stdout"]) + answer["omitted_bytes"] == 3_000_001


FORGER = """
import os
for fd in range(3, 64):
    try:
        os.write(fd, b'ok\\n' * 100)
    except OSError:
        pass
os._exit(9)
"""
SOURCES: dict[str, tuple[str, dict[str, Any], str]] = {
    "ten megabytes": ("x = 1\n" * 1_700_000, {}, "code"),
    "NUL": ("print(1)\0", {}, "NUL"),
    "a name with NUL": ("1", {"files": {"a\0b": ""}}, "path"),
    "a path upwards": ("1", {"files": {"a/../../b": ""}}, "relative"),
    "an absolute path": ("1", {"files": {"/etc/passwd": ""}}, "relative"),
    "a file below a file": ("1", {"files": {"a": "", "a/b": ""}}, "which is a file"),
    "the file of the code": ("1", {"files": {"main.py": "2"}}, "main.py"),
    "an argument with NUL": ("1", {"args": ["\0"]}, "NUL"),
    "a variable that loads code": ("1", {"env": {"LD_PRELOAD": "x.so"}}, "may not be set"),
    "a variable with a bad name": ("1", {"env": {"A=B": "x"}}, "env"),
}


@pytest.mark.parametrize("name", SOURCES)
async def test_sources_that_are_none_are_named_and_cost_nothing(peer: EnginePeer, name: str) -> None:
    code, options, says = SOURCES[name]
    answer = await peer.ask(code, fresh=True, **options)
    assert answer["type"] == "error", answer
    assert says in answer["message"]
    assert (await peer.ask("print(1)", fresh=True))["stdout"] == "1\n"


async def test_output_that_is_no_utf8_arrives_with_marks(peer: EnginePeer) -> None:
    code = "import sys\nsys.stdout.buffer.write(bytes(range(256)))"
    answer = await peer.ask(code, fresh=True)
    assert answer["stdout"] == bytes(range(256)).decode("utf-8", "replace")


async def test_a_program_cannot_forge_the_end_of_another_ones_run(peer: EnginePeer) -> None:
    """What drivers say is not trusted: exit code and limits come from outside of the program."""
    answer = await peer.ask(FORGER, fresh=True)
    assert answer["exit_code"] == 9
    assert (await peer.ask("print('next')"))["stdout"] == "next\n"
