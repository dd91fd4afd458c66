"""Work that a shell line leaves behind lives on, and what it says still arrives."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.conftest import Served, text_of
from tests.integration.spaces.peers import Asking, events_of, output_of


async def test_late_output_arrives_behind_the_end(served: Served, member: Asking) -> None:
    room, _ = served.gateway.rooms.redeem(member.join_key)
    line = "(until [ -e go ]; do sleep 0.01; done; echo late; printf 'and later') & echo started"
    await member.shell(line)
    frames = await member.until(type="exit")
    assert output_of(frames) == "started\n"
    assert (frames[-1]["code"], room.running, room.is_busy) == (0, 1, True)
    assert (await member.run("echo between"))[0] == "between\n"
    await member.command("write", path="go", content="")
    late = await member.until(type="terminal-data", data="and later")
    assert output_of(late) == "late\nand later"
    assert {frame["run"] for frame in late if frame["type"].startswith("terminal")} == {frames[-1]["run"]}
    async with asyncio.timeout(10):
        while room.running:
            await asyncio.sleep(0.01)


async def test_a_partial_line_of_the_background_is_shown_when_it_pauses(member: Asking) -> None:
    await member.shell("(until [ -e go ]; do sleep 0.01; done; printf 50%%; sleep 1000) &")
    await member.until(type="exit")
    await member.command("write", path="go", content="")
    await member.until(type="terminal-data", data="50%")


async def test_a_server_in_the_background_serves_and_outlives_ctrl_c(host: Any) -> None:
    await host.shell("cd project 2>/dev/null; python3 -m http.server 3000 >/dev/null 2>&1 & echo $!")
    assert text_of(await host.until("terminal-data-end")).strip().isdigit()
    await host.shell("until curl -s localhost:3000 >/dev/null; do sleep 0.01; done; echo up")
    assert text_of(await host.until("terminal-data-end")) == "up\n"
    await host.shell("sleep 1000; true")
    await host.shell("Ctrl+C")
    await host.until("terminal-data-end")
    await host.command("curl", method="GET", url="http://localhost:3000/", headers={}, data="")
    frames = await host.until("end")
    assert "Directory listing" in "".join(frame.get("content", "") for frame in frames)


async def test_the_background_takes_signals_by_its_run_and_no_input(member: Asking) -> None:
    await member.shell("sleep 1000 & echo started")
    frames = await member.until(type="exit")
    (run,) = (event["run"] for event in events_of(frames, "run"))
    answer = await member.ask("stdin", {"data": "x"}, run=run)
    assert answer["type"] == "error" and "takes no input" in answer["message"]
    assert (await member.ask("signal", {"signal": "TERM"}, run=run))["type"] == "done"
    async with asyncio.timeout(10):
        while (await member.ask("signal", {"signal": "TERM"}, run=run))["type"] == "done":
            pass
    assert (await member.run("ps -A -o args= | grep -c '[s]leep 1000'"))[0] == "0\n"


async def test_a_hundred_jobs_at_once_lose_no_line(member: Asking) -> None:
    output, _ = await member.run(
        "for n in $(seq 60); do (for m in $(seq 50); do echo $n.$m; done) & done; wait"
    )
    lines = output.split()
    assert sorted(lines) == sorted(f"{n}.{m}" for n in range(1, 61) for m in range(1, 51))
    for n in range(1, 61):
        own = [line for line in lines if line.startswith(f"{n}.")]
        assert own == [f"{n}.{m}" for m in range(1, 51)]
