"""``embedenv run`` with real programs: input, 100 MB, a crash, Ctrl+C, limits."""

from __future__ import annotations

import hashlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartProcess
from tests.integration.own_gateway import OwnGateway, ServeGateway
from tests.lacking import lacking

EMBEDENV = str(Path(sys.executable).with_name("embedenv"))
DEADLINE_S = 100.0

Finish = Callable[..., subprocess.CompletedProcess[bytes]]

ASKS = "name = input('Your name: ')\nprint('Hello', name)\nprint(open('/dev/null').read(), end='')\n"
LOOPS = "print('looping', flush=True)\nwhile True:\n    pass\n"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
    "while True:\n    time.sleep(0.01)\n"
)
CRASHES = '#include <stdio.h>\nint main(void) { puts("before"); fflush(stdout); *(volatile int *)0 = 1; }\n'
BIG = """
import sys
line = ("x" * 99 + "\\n") * 1000
for _ in range(int(sys.argv[1])):
    sys.stdout.write(line)
"""


@pytest.fixture(scope="module")
def gcc() -> None:
    if shutil.which("gcc") is None:
        lacking("gcc", "gcc libc6-dev")


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.fixture(params=["here", "gateway"])
def place(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that sends the run to this process, or to a gateway by URL."""
    if request.param == "here":
        return {}
    serve: ServeGateway = request.getfixturevalue("serve_gateway")
    return on(serve())


def on(gateway: OwnGateway) -> dict[str, str]:
    """Return the environment that sends a run to a gateway."""
    return {
        "EMBEDENV_URL": f"http://127.0.0.1:{gateway.port}/",
        "EMBEDENV_PUBLIC_KEY": gateway.public_key,
        "EMBEDENV_SECRET_KEY": gateway.secret_key,
    }


def await_rooms(gateway: OwnGateway, count: int) -> None:
    """Ask the gateway until so many rooms are open; one that is told to end takes a moment."""
    deadline_s = time.monotonic() + DEADLINE_S
    while f"\nembedenv_rooms {count:.1f}\n" not in gateway.get("metrics"):
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.02)


def finish(*arguments: str, env: dict[str, str], feed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [EMBEDENV, "run", *arguments],
        input=feed, capture_output=True, check=False, timeout=DEADLINE_S, env={**os.environ, **env},
    )  # fmt: skip


def test_a_program_that_asks(program: Callable[[str, str], str], place: dict[str, str]) -> None:
    done = finish(program("asks.py", ASKS), env=place, feed=b"Ann\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"Your name: Hello Ann\n"


def test_input_arrives_byte_for_byte(program: Callable[[str, str], str], place: dict[str, str]) -> None:
    """3 MB without a line end, with every byte and with characters that straddle the pieces."""
    given = bytes(range(256)) * 4000 + "a\u00e4\u20ac".encode() * 300_000 + b"x" * 5000 + b"\nno end"
    counts = "import hashlib, sys\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())\n"
    done = finish(program("hash.py", counts), env=place, feed=given)
    assert done.stdout.decode() == hashlib.sha256(given).hexdigest() + "\n", done.stderr
    assert done.returncode == 0


def test_input_is_passed_on_as_it_comes(
    program: Callable[[str, str], str], place: dict[str, str], start_process: StartProcess
) -> None:
    echo = "import sys\nfor line in sys.stdin:\n    print('got', line, end='', flush=True)\n"
    process = start_process(
        EMBEDENV, "run", program("echo.py", echo),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **place},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    for line in (b"one\n", b"x" * 5000 + b"\n", b"\x03\x04 no keys\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == b"got " + line
    process.stdin.close()
    assert process.wait(DEADLINE_S) == 0


def test_a_program_that_leaves_its_input_ends(
    program: Callable[[str, str], str], place: dict[str, str]
) -> None:
    done = finish(program("head.py", "print(input())\n"), env=place, feed=b"first\n" + b"rest\n" * 1_000_000)
    assert (done.returncode, done.stdout) == (0, b"first\n"), done.stderr


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_leaves_no_room(
    program: Callable[[str, str], str], serve_gateway: ServeGateway, start_process: StartProcess, signum: int
) -> None:
    gateway = serve_gateway()
    process = start_process(
        EMBEDENV, "run", program("asks.py", "print('here', flush=True)\ninput()\n"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **on(gateway)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    await_rooms(gateway, 1)
    process.send_signal(signum)
    assert process.wait(DEADLINE_S) == 128 + signum
    await_rooms(gateway, 0)


def test_arguments_and_the_exit_code(program: Callable[[str, str], str], place: dict[str, str]) -> None:
    path = program("code.py", "import sys\nprint(sys.argv[1:])\nsys.exit(int(sys.argv[1]))\n")
    done = finish(path, "7", "a b", "$HOME", env=place)
    assert (done.returncode, done.stdout) == (7, b"['7', 'a b', '$HOME']\n")


@pytest.mark.parametrize(("place", "pieces"), [("here", 1000), ("gateway", 100)], indirect=["place"])
def test_much_output_arrives(program: Callable[[str, str], str], place: dict[str, str], pieces: int) -> None:
    """100 MB from a room of this process; through a gateway, where every line is two frames, 10 MB show it.

    (100 MB take 17 s there, on two cores.)
    """
    done = finish(program("big.py", BIG), str(pieces), env=place)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == pieces * 100_000
    assert done.stdout == (b"x" * 99 + b"\n") * (pieces * 1000)


@pytest.mark.usefixtures("gcc")
def test_a_crash_is_named(program: Callable[[str, str], str], place: dict[str, str]) -> None:
    done = finish(program("crash.c", CRASHES), env=place)
    assert done.returncode == 128 + signal.SIGSEGV
    assert done.stdout.splitlines()[0] == b"before"
    assert b"SIGSEGV" in done.stderr


@pytest.mark.usefixtures("gcc")
def test_a_compiler_error_ends_it(program: Callable[[str, str], str], place: dict[str, str]) -> None:
    done = finish(program("broken.c", "int main(void) { return nothing; }\n"), env=place)
    assert done.returncode == 1
    assert b"nothing" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize(("text", "presses", "code"), [(LOOPS, 1, 130), (STUBBORN, 2, 143)])
def test_ctrl_c(
    program: Callable[[str, str], str], place: dict[str, str], start_process: StartProcess,
    text: str, presses: int, code: int,
) -> None:  # fmt: skip
    process = start_process(
        EMBEDENV, "run", program("loop.py", text),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, env={**os.environ, **place},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() in (b"looping\n", b"deaf\n")
    for press in range(presses):
        process.send_signal(signal.SIGINT)
        if press + 1 < presses:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
    assert process.wait(DEADLINE_S) == code


def test_a_person_at_a_terminal(program: Callable[[str, str], str], start_process: StartProcess) -> None:
    master, slave = pty.openpty()
    asks = program("asks.py", ASKS)
    process = start_process(EMBEDENV, "run", asks, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    while b"Your name: " not in seen:
        seen += os.read(master, 1000)
    os.write(master, b"Ann\r")
    while b"Hello Ann" not in seen:
        seen += os.read(master, 1000)
    assert process.wait(DEADLINE_S) == 0
    os.close(master)


def test_limits_are_named(program: Callable[[str, str], str]) -> None:
    hungry = program("hungry.py", "block = []\nwhile True:\n    block.append(bytearray(10_000_000))\n")
    done = finish(hungry, "--memory", "64", env={})
    assert done.returncode == 128 + signal.SIGKILL or b"MemoryError" in done.stderr
    assert b"oom" in done.stderr or b"MemoryError" in done.stderr
    # A shell: Python that is interrupted while it starts up, which may take so long, exits with 1.
    done = finish(program("loop.sh", "while :; do :; done\n"), "--timeout", "0.5", env={})
    assert b"time is up after 0.5 s" in done.stderr
    assert done.returncode == 130


def test_what_cannot_be_run_is_named(program: Callable[[str, str], str]) -> None:
    done = finish(program("notes.xyz", ""), env={})
    assert done.returncode == 1
    assert b"'.xyz' is no language known here; known are: python," in done.stderr


def test_a_reader_that_leaves_ends_the_program(program: Callable[[str, str], str]) -> None:
    forever = program("yes.sh", "yes\n")
    with subprocess.Popen(
        [EMBEDENV, "run", forever],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"y\ny\n"
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 128 + signal.SIGPIPE
