"""A Python program in a fork of the supervisor does what ``python3 main.py`` does, byte by byte."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import pytest

from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import ExitStatus
from embedenv_jupyter.sandbox.streams import ByteSource
from tests.integration.sandbox.programs import DEADLINE_S, read_until

PROGRAMS = {
    "hello": "print('hello')",
    "both streams": "import sys\nprint('out')\nprint('err', file=sys.stderr)",
    "arguments": "import sys, os\nprint(sys.argv, os.getcwd(), __name__, __file__, sys.path[0])",
    "environment": "import os\nprint(os.environ['COLOUR'], sorted(os.environ))",
    "input": "name = input('name> ')\nprint(f'hello {name}')\nimport sys\nprint(repr(sys.stdin.read()))",
    "end of the input": "input()\ninput()\ninput()",
    "exception": "def f(x):\n    return 1 / x\n\ntry:\n    f(0)\n"
    "except ZeroDivisionError as e:\n    raise ValueError('no') from e",
    "syntax error": "print('a')\nif True\n    pass\n",
    "indentation": "if True:\npass",
    "no utf-8": "# caf\udce9\nprint(1)",
    "own encoding": "# -*- coding: latin-1 -*-\nprint('caf\udce9')",
    "exit code": "import sys\nsys.exit(3)",
    "large exit code": "raise SystemExit(259)",
    "exit with a text": "import sys\nsys.exit('no more')",
    "exit with nothing": "raise SystemExit",
    "os._exit": "import os, sys\nsys.stdout.write('not lost')\nos._exit(7)",
    "interrupted": "raise KeyboardInterrupt('now')",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "abort": "import os\nos.abort()",
    "thread outlives main": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('last'))).start()\nprint('first')",
    "exit functions": "import atexit\natexit.register(print, 'bye')\n"
    "atexit.register(print, 'before that')\nprint('x')",
    "own hook": "import sys\nsys.excepthook = lambda *e: print('caught', e[0].__name__)\n1 / 0",
    "failing hook": "import sys\nsys.excepthook = lambda *e: 1 / 0\n[][0]",
    "fork": "import os\npid = os.fork()\nprint('child' if pid == 0 else f'parent {os.waitpid(pid, 0)[1]}')",
    "subprocess": "import subprocess\nsubprocess.run(['echo', 'from below'])\nprint('above')",
    "pool": "import multiprocessing as m\nif __name__ == '__main__':\n"
    "    with m.Pool(2) as pool:\n        print(pool.map(abs, [-1, -2]))",
    "spawned process": "import multiprocessing as m\ndef f(q):\n    q.put(__name__)\n"
    "if __name__ == '__main__':\n"
    "    c = m.get_context('spawn')\n    q = c.Queue()\n    p = c.Process(target=f, args=(q,))\n"
    "    p.start()\n    print(q.get(), p.join(), p.exitcode)",
    "asyncio": "import asyncio\nasync def main():\n"
    "    await asyncio.sleep(0)\n    return 5\nprint(asyncio.run(main()))",
    "pickle of main": "import pickle\nclass A:\n    x = 4\nprint(pickle.loads(pickle.dumps(A())).x)",
    "module beside it": "import beside\nprint(beside.VALUE)",
    "dataclass": "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    "@dataclass\nclass P:\n    x: int\nprint(P(3))",
    "not from the future": "def f(x: undefined): ...",
    "half characters": "print('\\udce9|')",
    "no newline": "print('a', end='')",
    "much": "for n in range(20000):\n    print(n)",
    "signals": "import signal\nprint([signal.getsignal(s) for s in (2, 15, 13, 10)])",
    "recursion": "def f():\n    f()\ntry:\n    f()\nexcept RecursionError:\n    print('deep')",
    "logging": "import logging\nlogging.warning('careful')",
    "warning": "import warnings\nwarnings.warn('old')",
    "inspect": "import inspect\ndef f():\n    return 1\nprint(inspect.getsource(f))",
}  # fmt: skip


LIST_DESCRIPTORS = b"""
import os
folder = "/proc/self/fd"
print(sorted(os.readlink(f"{folder}/{n}") for n in os.listdir(folder) if os.path.exists(f"{folder}/{n}")))
"""


async def outcome(process: Process, stdin: bytes) -> tuple[ExitStatus, bytes, bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None

    async def all_of(source: ByteSource) -> bytes:
        seen = bytearray()
        while data := await source.read():
            seen += data
        return bytes(seen)

    async with asyncio.timeout(DEADLINE_S):
        with suppress(BrokenPipeError):  # it has ended, or takes no input
            await process.stdin.write(stdin)
        process.stdin.close()
        streams = await asyncio.gather(all_of(process.stdout), all_of(process.stderr))
        status = await process.wait()
    process.close()
    return status, *streams


@pytest.fixture
def tier_name() -> str:
    """The tier whose supervisor is a fork itself, with kernels imported: the furthest from an interpreter."""
    return "ns without cgroups"


async def test_programs_do_as_with_an_interpreter_of_their_own(sandbox: Sandbox) -> None:
    env = {"COLOUR": "red"}
    await sandbox.files.write("p/beside.py", b"VALUE = 6\n")
    differences: list[tuple[object, ...]] = []
    for name, source in PROGRAMS.items():
        await sandbox.files.write("p/main.py", source.encode("utf-8", "surrogateescape"))
        own = await sandbox.spawn([sys.executable, "main.py", "a b", "-c"], cwd="p", env=env)
        expected = await outcome(own, b"Ana\nx\xc3\xa9\n")
        forked = await sandbox.fork_script("main.py", ["a b", "-c"], cwd="p", env=env)
        seen = await outcome(forked, b"Ana\nx\xc3\xa9\n")
        if seen != expected:
            differences.append((name, expected, seen))
    assert not differences, "\n".join(map(str, differences))


async def test_a_prompt_is_there_before_its_answer(sandbox: Sandbox) -> None:
    await sandbox.files.write("main.py", b"print('hello ' + input('name> '))\n")
    process = await sandbox.fork_script("main.py")
    assert process.stdin is not None
    assert await read_until(process, b"> ") == b"name> "
    await process.stdin.write(b"Ana\n")
    assert await read_until(process, b"\n") == b"hello Ana\n"
    process.close()


async def test_an_interrupt_ends_it_as_an_interpreter(sandbox: Sandbox) -> None:
    await sandbox.files.write("main.py", b"print('on')\nwhile True: pass\n")
    process = await sandbox.fork_script("main.py")
    await read_until(process, b"on\n")
    await process.signal(2)
    async with asyncio.timeout(DEADLINE_S):
        assert await process.wait() == ExitStatus(signal=2)
    process.close()


async def test_a_program_that_is_not_there_is_named(sandbox: Sandbox) -> None:
    process = await sandbox.fork_script("none.py")
    status, _, err = await outcome(process, b"")
    assert (status.shell_code, b"none.py" in err) == (2, True)


async def test_a_program_finds_no_way_to_the_gateway(sandbox: Sandbox) -> None:
    """What a fork inherits of the supervisor is streams, and nothing that leads out of the room."""
    await sandbox.files.write("main.py", LIST_DESCRIPTORS)
    status, out, _ = await outcome(await sandbox.fork_script("main.py"), b"")
    assert status == ExitStatus(code=0)
    assert b"socket" not in out, out


async def test_the_supervisor_serves_on_when_its_fork_does_harm(sandbox: Sandbox) -> None:
    await sandbox.files.write(
        "main.py", b"import os, signal\nos.kill(os.getppid(), 9)\nos.closerange(0, 100)\n"
    )
    process = await sandbox.fork_script("main.py")
    async with asyncio.timeout(DEADLINE_S):
        await process.wait()
    process.close()
    assert sandbox.is_alive
    await sandbox.files.make_dir("still")
