"""A session for compiled languages without an interpreter: replay.py LANGUAGE.

Each program is all cells that ended well so far, a mark, and the new cell; what it
writes before the mark is dropped. So a cell costs a compilation, and what earlier
cells do outside the program (files, time, input, chance) happens again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import BinaryIO

MARK = b"\x1e\n"

RUST = """#![allow(warnings)]
fn main() {{
{earlier}
print!("\\x1e\\n"); {{ use std::io::Write; std::io::stdout().flush().unwrap(); eprint!("\\x1e\\n"); }}
{cell}
}}
"""
D = """import std.stdio;
void main() {{
stdout.setvbuf(0, _IONBF);
{earlier}
stdout.write("\\x1e\\n"); stderr.write("\\x1e\\n");
{cell}
}}
"""
NIM = """setStdIoUnbuffered()
{earlier}
stdout.write("\\x1e\\n"); stderr.write("\\x1e\\n")
{cell}
"""
CRYSTAL = """STDOUT.sync = true
{earlier}
STDOUT.print "\\u{{1e}}\\n"; STDERR.print "\\u{{1e}}\\n"
{cell}
"""

LANGUAGES = {
    "rust": ("main.rs", ["rustc", "--edition", "2021", "-C", "debuginfo=0", "-o", "main", "main.rs"], RUST),
    "d": ("main.d", ["ldc2", "-wi", "-of=main", "main.d"], D),
    "nim": (
        "main.nim",
        [
            "nim",
            "c",
            "--hints:off",
            "--warnings:off",
            "--verbosity:0",
            "--nimcache:cache",
            "-o:main",
            "main.nim",
        ],
        NIM,
    ),
    "crystal": ("main.cr", ["crystal", "build", "--no-color", "-o", "main", "main.cr"], CRYSTAL),
}


def after_mark(source: BinaryIO, target: BinaryIO) -> None:
    """Copy what comes after the mark, as it comes."""
    waiting: bytes | None = b""
    while data := os.read(source.fileno(), 65536):
        if waiting is not None:
            waiting += data
            _, mark, data = waiting.partition(MARK)
            if not mark:
                continue
            waiting = None
        target.write(data)
        target.flush()


def is_good(folder: str, language: str, earlier: Sequence[str], cell: str) -> bool:
    name, compiler, template = LANGUAGES[language]
    with open(os.path.join(folder, name), "w") as file:
        file.write(template.format(earlier="\n".join(earlier), cell=cell))
    compiled = subprocess.run(
        compiler, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if compiled.returncode:
        sys.stderr.buffer.write(compiled.stderr + compiled.stdout)
        return False
    program = subprocess.Popen([f"{folder}/main"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stderr is not None
    streams = ((program.stdout, sys.stdout.buffer), (program.stderr, sys.stderr.buffer))
    copies = [threading.Thread(target=after_mark, args=pair) for pair in streams]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    return program.wait() == 0


def serve(language: str) -> None:
    signal.signal(signal.SIGINT, lambda *_: None)  # the program gets it, too, and ends
    folder = tempfile.mkdtemp(prefix="replay-")
    earlier: list[str] = []
    with open(os.environ["CELL_IN"]) as cells, open(os.environ["CELL_OUT"], "w", buffering=1) as answers:
        answers.write("ready\n")
        for path in iter(cells.readline, ""):
            with open(path.rstrip("\n"), encoding="utf-8") as file:
                cell = file.read()
            good = is_good(folder, language, earlier, cell)
            if good:
                earlier.append(cell)
            sys.stdout.flush()
            sys.stderr.flush()
            answers.write("ok\n" if good else "error\n")


serve(sys.argv[1])
