"""Ctrl+C reaches what runs, whatever that is, and what will not listen is ended in steps."""

from __future__ import annotations

import asyncio
import shlex
from typing import Any

import pytest

from embedenv_jupyter.rooms import runs
from tests.integration.conftest import Dial, Peer, text_of
from tests.integration.spaces.peers import Asking, events_of, output_of

END = {"type": "terminal-data-end"}


@pytest.fixture
def press_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a press count as the next step however soon it comes."""
    monkeypatch.setattr(runs, "PRESS_AGAIN_S", (0.0, 60.0))


# Each says itself that it is ready: an INT between fork and exec is lost, in any shell.
SLEEPS = """python3 -c 'import time; print("ready", flush=True); time.sleep(1000)'"""
COMPUTES = """python3 -c 'print("ready", flush=True); [0 for _ in iter(int, 1)]'"""
HIDES = """python3 -c 'import os, time; os.setpgid(0, 0); print("ready", flush=True); time.sleep(1000)'"""

RUNNING = {
    "a shell that loops": "echo ready; while :; do :; done",
    "a shell that reads": "echo ready; read line",
    "a program that computes": COMPUTES,
    "a program that sleeps": f"{SLEEPS}; true",
    "a pipeline": f"yes | {SLEEPS} | cat",
    "a group of its own": f"timeout 900 {SLEEPS}; true",
    "groups below groups": f"timeout 900 bash -c {shlex.quote(f'{HIDES}; true')}; true",
}


async def test_one_press_ends_what_runs(member: Asking) -> None:
    for name, line in RUNNING.items():
        await member.shell(line)
        await member.until(type="terminal-data", data="ready")
        await member.shell("Ctrl+C")
        frames = await member.until(type="exit")
        assert [event["step"] for event in events_of(frames, "stop")] == ["INT"], name
        assert (await member.run("ps -A -o args= | grep -c '[s]leep(1000)'"))[0] == "0\n", name


async def test_a_program_that_takes_it_goes_on(member: Asking) -> None:
    program = """
import time
while True:
    try:
        print("sleeping", flush=True)
        time.sleep(1000)
    except KeyboardInterrupt:
        if input("really? ") == "yes":
            break
"""
    await member.command("write", path="p.py", content=program)
    await member.shell("python3 p.py")
    steps = []
    for answer in ("no", "no", "no", "yes"):
        await member.until(type="terminal-data", data="sleeping")
        await member.shell("Ctrl+C")
        steps += events_of(await member.until(event="prompt", text="really? "), "stop")
        await member.command("stdin", data=f"{answer}\n")
    assert (await member.until(type="exit"))[-1]["code"] == 0
    assert [step["step"] for step in steps] == ["INT"] * 4, "it asked in between, so each is a first one"


@pytest.mark.usefixtures("press_at_once")
@pytest.mark.parametrize(
    ("line", "steps", "signal"),
    [
        ("trap '' INT; echo ready; while :; do sleep 0.01; done", ["INT", "TERM"], "SIGTERM"),
        ("trap '' INT TERM; echo ready; while :; do sleep 0.01; done", ["INT", "TERM", "KILL"], "SIGKILL"),
        (
            "trap '' INT TERM; echo ready; while :; do echo noise; sleep 0.001; done",
            ["INT", "TERM", "KILL"],
            "SIGKILL",
        ),
        (
            f"trap '' INT TERM; {HIDES}; true",
            ["INT", "TERM", "KILL"],
            "SIGKILL",
        ),
    ],
    ids=["ignores INT", "ignores both", "is noisy about it", "hides in a group"],
)
async def test_what_ignores_it_is_ended_in_steps(
    member: Asking, line: str, steps: list[str], signal: str
) -> None:
    await member.shell(line)
    await member.until(type="terminal-data", data="ready")
    seen = []
    for step in steps:
        await member.shell("Ctrl+C")
        seen += await member.until(event="stop", step=step)
    ended = (await member.until(type="exit"))[-1]
    assert [event["step"] for event in events_of(seen, "stop")] == steps
    assert (ended["code"], ended["signal"]) == (None, signal)
    async with asyncio.timeout(10):
        while (await member.run("ps -A -o args= | grep -c '[w]hile :\\|[s]leep(1000)'"))[0] != "0\n":
            pass


async def test_without_anything_to_interrupt_only_who_pressed_is_told(host: Any, dial: Dial) -> None:
    guest = await dial()
    await guest.send(type="join", join=host.join_key, user="b", color="#fff")
    await guest.receive()
    await guest.shell("Ctrl+C")
    assert await guest.receive() == END
    await guest.shell("echo done")
    assert text_of(await host.until("terminal-data-end")) == "done\n"


async def test_two_who_press_at_once_press_once(host: Any, dial: Dial) -> None:
    guest = await dial()
    await guest.send(type="join", join=host.join_key, user="b", color="#fff")
    await guest.receive()
    program = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: print("INT", flush=True))
signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""
    await host.command("write", path="p.py", content=program)
    await host.shell("exec python3 p.py")
    peers: list[Peer] = [host, guest]
    for peer in peers:
        assert (await peer.until("terminal-newline"))[0]["data"] == "ready"
    await asyncio.gather(*(peer.shell("Ctrl+C") for peer in peers))
    assert text_of(await host.until("terminal-newline")) == "INT\n"
    asking = await Asking.join(dial, host.join_key)
    assert "TERM" not in output_of(await asking.until(event="stop", step="INT"))
    await asking.command("signal", {"signal": "KILL"})
    ends = await asking.until(type="exit")
    assert {event["step"] for event in events_of(ends, "stop")} <= {"INT"}
    assert "TERM" not in output_of(ends)


async def test_a_press_is_not_behind_an_endless_download(host: Any) -> None:
    server = """
import http.server
class Endless(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 65536)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("", 3000), Endless)
print("serving", flush=True)
server.serve_forever()
"""
    await host.command("write", path="server.py", content=server)
    await host.shell("python3 server.py")
    await host.until("terminal-newline")
    await host.command("curl", method="GET", url="http://localhost:3000/", headers={}, data="")
    await host.until("chunk")
    await host.shell("Ctrl+C")
    frames = await host.until("terminal-data-end", "end")
    # The server is gone, and the download with it; which of the two is told first is open.
    frames += await host.until(*{"terminal-data-end", "end"} - {frames[-1]["type"]})
    download = [frame["type"] for frame in frames if frame["type"] in ("chunk", "error", "end")]
    assert download[-2:] in (["chunk", "end"], ["error", "end"])
    assert await host.output("echo alive") == "alive\n"
