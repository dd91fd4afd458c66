"""What members type, and how the gateway knows that somebody waits for it."""

from __future__ import annotations

import shutil
from typing import Any

from tests.integration.conftest import Peer, text_of
from tests.integration.spaces.peers import Asking, Frame, events_of, output_of

NEWLINE = {"type": "terminal-newline", "data": ""}
END = {"type": "terminal-data-end"}

WAITS_FOR_GO = """
import os, sys, time
print("asleep", flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
"""


def data(text: str) -> Frame:
    return {"type": "terminal-data", "data": text}


PROMPTS = {
    "python3": 'print("<" + input("name? ") + ">")',
    "python3 -u": 'import sys; print("name? ", end=""); print("<" + sys.stdin.readline().strip() + ">")',
    "python3 -X dev": 'import getpass; print("<" + getpass.getpass("name? ") + ">")',
    "python3 -I": """
import threading
threading.Thread(target=lambda: print("<" + input("name? ") + ">")).start()
""",
    "bash": "read -p 'name? ' name; echo \"<$name>\"",
    "bash --posix": "TERM=dumb; read -e -p 'name? ' name; echo \"<$name>\"",
    "perl": '$| = 1; print "name? "; $a = <STDIN>; chomp $a; print "<$a>\\n"',
    "node": """
const {stdin: input, stdout: output} = process
const io = require("readline").createInterface({input, output, terminal: false})
io.question("name? ", name => { console.log(`<${name}>`); io.close() })
""",
}
"""Programs that ask in all the ways there are to wait: read, select, a hidden line, in a thread, epoll."""


async def test_a_prompt_is_shown_as_a_line_while_the_program_waits(host: Peer) -> None:
    for interpreter, program in PROMPTS.items():
        if shutil.which(interpreter.split()[0]) is None:
            continue
        await host.command("write", path="program", content=program)
        await host.shell(f"{interpreter} program")
        assert text_of(await host.until("terminal-newline")) == "name? \n", interpreter
        await host.shell("Ada")
        rest = await host.until("terminal-data-end")
        assert "<Ada>\n" in text_of(rest), interpreter
        assert rest[-1] == END


PROGRESS = {
    "python3": 'import time; print("Loading... ", end="", flush=True); time.sleep(0.4); print("done")',
    "python3 -u": """
import asyncio
print("Loading... ", end="")
asyncio.run(asyncio.sleep(0.4))
print("done")
""",
    "python3 -I": """
import os, select
print("Loading... ", end="", flush=True)
poll = select.poll()
poll.register(os.pipe()[0])
poll.poll(400)
select.select([os.pipe()[0]], [], [], 0.1)
print("done")
""",
    "bash": "printf 'Loading... '; sleep 0.4; echo done",
    "node": 'process.stdout.write("Loading... "); setTimeout(() => console.log("done"), 400)',
}
"""Programs that wait in the same ways, for something else."""


async def test_progress_is_shown_and_not_torn(host: Peer) -> None:
    for interpreter, program in PROGRESS.items():
        if shutil.which(interpreter.split()[0]) is None:
            continue
        await host.command("write", path="program", content=program)
        await host.shell(f"{interpreter} program")
        frames = await host.until("terminal-data-end")
        assert frames == [data("Loading... "), data("done"), NEWLINE, END], interpreter


async def test_a_line_may_be_as_long_as_a_terminal_takes(member: Asking) -> None:
    await member.shell("cat | wc -c")
    for size in (4096, 5000, 70_000 // 2):
        answer = await member.answer(await member.shell("x" * size))
        assert answer["type"] == "error"
        assert "4095" in answer["message"] and str(size) in answer["message"]
        assert "xxx" not in answer["message"], "it may be a password"
    assert (await member.ask("stdin", {"data": "ä" * 2048}))["type"] == "error", "bytes count, not characters"
    assert (await member.answer(await member.shell("x" * 4095)))["type"] == "done"
    assert (await member.ask("stdin", {"data": "y" * 3000}))["type"] == "done"
    assert (await member.ask("stdin", {"data": "y" * 2000}))["type"] == "error", "the line is open, and full"
    assert (await member.ask("stdin", {"data": "y" * 1095}))["type"] == "done"
    await member.command("eof")
    frames = await member.until(type="exit")
    assert output_of(frames) == f"{4096 + 4095}\n"


async def test_in_raw_mode_a_line_has_no_limit(member: Asking) -> None:
    program = "import sys, tty; tty.setcbreak(0); print('raw', flush=True); print(len(sys.stdin.readline()))"
    await member.shell(f'python3 -c "{program}"')
    await member.until(type="terminal-data", data="raw")
    assert (await member.ask("stdin", {"data": "x" * 50_000 + "\n"}))["type"] == "done"
    assert output_of(await member.until(type="exit")).split() == ["50001"]


async def test_a_thousand_lines_wait_for_a_program_that_sleeps(member: Asking) -> None:
    program = WAITS_FOR_GO + "for line in sys.stdin: print(line, end='')"
    await member.command("write", path="p.py", content=program)
    await member.shell("python3 p.py")
    await member.until(type="terminal-data", data="asleep")
    lines = [f"line {number} " + "." * (number % 300) for number in range(1000)]
    for line in lines[:500]:
        await member.shell(line)
    await member.command("stdin", {"data": "".join(f"{line}\n" for line in lines[500:])})
    await member.command("eof")
    # Nobody waits for the program: the connection goes on at once.
    assert (await member.ask("write", path="go", content=""))["type"] == "done"
    assert output_of(await member.until(type="exit")).strip() == "\n".join(lines)


async def test_input_that_nobody_reads_is_bounded_and_holds_up_nothing(member: Asking) -> None:
    await member.shell("echo asleep; sleep 1000")
    await member.until(type="terminal-data", data="asleep")
    answers = [await member.ask("stdin", {"data": "x\n" * 200_000}) for _ in range(4)]
    assert [answer["type"] for answer in answers] == ["done", "done", "error", "error"]
    assert "does not read" in answers[-1]["message"]
    assert (await member.ask("list", path="."))["type"] == "listing"
    await member.shell("Ctrl+C")
    await member.until(type="exit")
    assert (await member.run("echo alive"))[0] == "alive\n"


async def test_what_looks_like_a_command_is_input_while_a_program_runs(host: Peer) -> None:
    await host.shell('echo ready; read a; read b; echo "<$a|$b>"')
    await host.until("terminal-newline")
    await host.shell("rm -rf project && echo gone")
    await host.shell("exit 3")
    assert text_of(await host.until("terminal-data-end")) == "<rm -rf project && echo gone|exit 3>\n"


async def test_end_of_input_is_seen_behind_an_open_line_too(member: Asking) -> None:
    for typed, counted in (("", "0"), ("ab\n", "3"), ("ab\ncd", "5")):
        await member.shell("echo ready; wc -c")
        await member.until(type="terminal-data", data="ready")
        if typed:
            await member.command("stdin", {"data": typed})
        await member.command("eof")
        assert output_of(await member.until(type="exit")).split() == [counted]


async def test_signals_by_name(member: Asking) -> None:
    for name in ("USR1", "SIGTERM", "kill"):
        await member.shell("echo ready; exec sleep 1000")
        await member.until(type="terminal-data", data="ready")
        assert (await member.ask("signal", {"signal": name}))["type"] == "done"
        ended = (await member.until(type="exit"))[-1]
        assert ended["signal"] == f"SIG{name.upper().removeprefix('SIG')}"
    answer = await member.ask("signal", {"signal": "NONE"})
    assert "allowed: " in answer["message"] and "TERM" in answer["message"]


async def test_input_goes_to_the_run_it_is_meant_for_or_nowhere(member: Asking) -> None:
    for kind, fields in (("stdin", {"data": "x"}), ("eof", {}), ("signal", {"signal": "TERM"})):
        assert "Nothing runs" in (await member.ask(kind, fields))["message"]
    first, _ = await member.ended(await member.shell("true"))
    await member.shell('read line; echo "<$line>"')
    (second,) = events_of(await member.until(event="run"), "run")
    for kind, fields in (("stdin", {"data": "x"}), ("eof", {}), ("signal", {"signal": "KILL"})):
        answer = await member.ask(kind, fields, run=first["run"])
        assert answer["type"] == "error" and first["run"] in answer["message"]
    assert (await member.ask("stdin", {"data": "here\n"}, run=second["run"]))["type"] == "done"
    assert output_of(await member.until(type="exit")) == "<here>\n"


async def test_a_program_that_ends_takes_waiting_input_with_it(member: Asking) -> None:
    await member.command("write", path="p.py", content=WAITS_FOR_GO + "print(input())")
    await member.shell("python3 p.py")
    await member.until(type="terminal-data", data="asleep")
    await member.command("stdin", {"data": "first\n" + "rm -rf /\n" * 50_000})
    await member.command("write", path="go", content="")
    frames = await member.until(type="exit")
    assert output_of(frames).split() == ["first"]
    assert (await member.run("echo alive"))[0] == "alive\n"


async def test_every_byte_that_is_text_goes_through(member: Asking) -> None:
    await member.shell("stty raw; echo ready; head -c 8 | od -An -tx1")
    await member.until(type="terminal-data", data="ready")
    await member.command("stdin", {"data": "\x00\x03\x04\x1a\x7f\r\té"[:7]})
    await member.command("stdin", {"data": "é"})
    output: Any = output_of(await member.until(type="exit")).split()
    assert output == ["00", "03", "04", "1a", "7f", "0d", "09", "c3"]
