"""Programs that do harm: a named result each, what they printed is kept, and neighbours notice nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.snippets.conftest import Dial, EnginePeer

SMALL = {"memory_mib": 96, "pids": 24, "disk_mib": 8}
"""Bombs get their limits first."""

BOMBS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "endless loop": ("python", "print('on', flush=True)\nwhile True: pass", {"timeout": 0.7}, {"ended_by": "time"}),
    "endless output": ("python", "while True: print('x' * 1000)", {"timeout": 1}, {"ended_by": "time"}),
    "memory": ("python", "print('on', flush=True)\nx = []\nwhile True: x.append(bytearray(1 << 20))", {},
               {"ended_by": "oom"}),
    "processes": ("python", "import subprocess\nprint('on', flush=True)\nkept = []\n"
                  "while True: kept.append(subprocess.Popen(['sleep', '60']))", {"timeout": 5}, {"ended_by": "pids"}),
    "threads": ("python", "import threading, time\nprint('on', flush=True)\n"
                "while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", {"timeout": 5},
                {"ended_by": "pids"}),
    "disk": ("python", "print('on', flush=True)\nwith open('big', 'wb') as f:\n    while True: f.write(bytes(1 << 16))",
             {}, {"ended_by": "disk"}),
    "a compiler without end": ("c", "#define A B B B B B B B B\n#define B C C C C C C C C\n#define C D D D D D D D D\n"
                               "#define D E E E E E E E E\n#define E F F F F F F F F\n#define F G G G G G G G G\n"
                               "#define G int x;\nA A A A A A A A\n", {}, {"exit_code": "failed"}),
    "a compiler that fills the disk": ("c", "#include <stdint.h>\nstatic uint8_t big[1 << 30] = {1};\n"
                                       "int main(void) { return big[5]; }", {}, {"exit_code": "failed"}),
    "its own group": ("bash", "echo on; kill -9 0", {}, {"signal": "SIGKILL"}),
    "everybody": ("bash", "echo on; kill -9 -1", {}, {"signal": "SIGKILL"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
async def test_bombs_are_named_and_hurt_nobody_else(dial_engine: Dial, name: str) -> None:
    language, code, options, expected = BOMBS[name]
    neighbour, peer = await dial_engine(), await dial_engine()
    await neighbour.ask("x = 1")
    bomb = asyncio.create_task(peer.ask(code, language, fresh=True, limits=SMALL, **options))
    while not bomb.done():
        assert (await neighbour.ask("print(x)"))["stdout"] == "1\n"
    answer = await bomb
    assert answer["exit_code"] != 0, answer
    for field, value in expected.items():
        assert value == "failed" or answer[field] == value, answer
    if "on" in code and language == "python":
        assert answer["stdout"].startswith("on")
    again = await peer.ask("print('alive')", fresh=True, limits=SMALL)
    assert again["stdout"] == "alive\n", (answer, again)


async def test_more_output_than_an_answer_holds_is_counted(peer: EnginePeer) -> None:
    answer = await peer.ask("print('x' * 3_000_000)", fresh=True)
    assert len(answer["stdout"]) + answer["omitted_bytes"] == 3_000_001


SOURCES: dict[str, tuple[str, dict[str, Any], str]] = {
    "ten megabytes": ("x = 1\n" * 1_700_000, {}, "code"),
    "NUL": ("print(1)\0", {}, "NUL"),
    "half a character": ("print('\ud800')", {}, "surrogate"),
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
    code = "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'ok\\n' * 100)\n    except OSError: pass\nos._exit(9)"
    answer = await peer.ask(code, fresh=True)
    assert answer["exit_code"] == 9
    assert (await peer.ask("print('next')"))["stdout"] == "next\n"
