"""Much output, much input, and clients that read at very different paces."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from embedenv_jupyter.errors import CloseCode
from tests.integration.conftest import Dial, Served
from tests.integration.spaces.conftest import JoinRaw
from tests.integration.spaces.peers import Asking, Frame, Raw

MIB = 1 << 20
LINES = 200_000
WIDE_LINES = 100_000
WIDE = f"""
line = "x" * 990
for number in range({WIDE_LINES}):
    print(f"{{number:08}} {{line}}")
"""


def rss_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


async def until_end(raw: Raw) -> AsyncIterator[Frame]:
    """Yield the frames of one run's output."""
    async for frames in raw.batches():
        for frame in frames:
            yield frame
            if frame["type"] == "terminal-data-end":
                return


async def test_ten_megabytes_go_in_and_out(member: Asking) -> None:
    content = random.Random(1).randbytes(3 * MIB).hex() + "äß\u2028\0\n" * 500_000
    assert len(content.encode()) > 10_000_000
    digest = hashlib.md5(content.encode()).hexdigest()
    assert (await member.ask("write", path="big", content=content))["type"] == "done"
    assert (await member.run("cat big | md5sum"))[0] == f"{digest}  -\n"
    id = await member.command("read", path="big")
    pieces = []
    while (frame := await member.peer.receive())["type"] != "end":
        if frame.get("id") == id:
            assert len(frame["content"]) <= 16 << 10
            pieces.append(frame["content"])
    assert "".join(pieces) == content


async def test_two_hundred_thousand_lines_reach_everybody_in_order(member: Asking, join_raw: JoinRaw) -> None:
    plain, asking = await join_raw(member.join_key), await join_raw(member.join_key, resume=0)
    await member.peer.socket.close()

    async def watch_plain() -> None:
        expected = 1
        newlines = 0
        async for frame in until_end(plain):
            if frame["type"] == "terminal-data":
                assert frame == {"type": "terminal-data", "data": str(expected)}
                assert newlines == expected - 1
                expected += 1
            elif frame["type"] == "terminal-newline":
                newlines += 1
        assert expected == newlines + 1 == LINES + 1

    async def watch_asking() -> None:
        n = expected = 0
        async for frame in until_end(asking):
            if "n" in frame:
                assert frame["n"] == n + 1
                n = frame["n"]
            if frame["type"] == "terminal-data":
                expected += 1
                assert frame["data"] == str(expected)
        assert expected == LINES

    async with asyncio.TaskGroup() as group:
        group.create_task(watch_plain())
        group.create_task(watch_asking())
        plain.send(type="cmd", command={"type": "shell", "command": f"seq {LINES}"})


async def test_lines_without_end_and_bytes_that_are_no_text_arrive_whole(
    member: Asking, join_raw: JoinRaw
) -> None:
    raw = await join_raw(member.join_key)

    async def seen(command: str) -> list[Frame]:
        raw.send(type="cmd", command={"type": "shell", "command": command})
        return [frame async for frame in until_end(raw)]

    frames = await seen("head -c 5000000 /dev/zero | tr '\\0' x; echo")
    assert [frame["type"] for frame in frames].count("terminal-newline") == 1
    assert "".join(frame.get("data", "") for frame in frames) == "x" * 5_000_000

    frames = await seen(r"printf 'a\377b\xc3(c\n\0\n'")
    assert [frame.get("data") for frame in frames] == ["a\ufffdb\ufffd(c", "", "\0", "", None]

    text = "äöü€😀" * 2000
    split = (
        "import os, sys, time\nfor byte in sys.argv[1].encode():\n os.write(1, bytes([byte]))\n"
        "os.write(1, b'\\n\\xf0\\x9f')"
    )
    await member.command("write", path="split.py", content=split)
    frames = await seen(f"python3 split.py {text}")
    assert (
        "".join("\n" if f["type"] == "terminal-newline" else f.get("data", "") for f in frames)
        == f"{text}\n\ufffd"
    )


async def test_a_frozen_watcher_slows_nobody_and_misses_nothing(member: Asking, join_raw: JoinRaw) -> None:
    await member.command("write", path="wide.py", content=WIDE)
    frozen, quick = await join_raw(member.join_key), await join_raw(member.join_key)
    await member.peer.socket.close()
    before = rss_bytes()
    quick.send(type="cmd", command={"type": "shell", "command": "python3 wide.py"})

    async def count(raw: Raw) -> int:
        expected = grown = 0
        async for frame in until_end(raw):
            if frame["type"] == "terminal-data":
                assert int(frame["data"][:8]) == expected and len(frame["data"]) == 999
                expected += 1
                if expected % 1000 == 0:
                    grown = max(grown, rss_bytes() - before)
        assert expected == WIDE_LINES
        return grown

    grown = await count(quick)  # the other one does not read a single byte meanwhile
    grown = max(grown, await count(frozen))
    assert grown < 64 * MIB, f"{grown / MIB:.0f} MiB"


@pytest.mark.parametrize("embedenv_config", [{"log_disk_mib": 4}])
async def test_a_lone_slow_reader_paces_the_program(
    served: Served, member: Asking, join_raw: JoinRaw
) -> None:
    room, _ = served.gateway.rooms.redeem(member.join_key)
    await member.command("write", path="wide.py", content=WIDE)
    slow = await join_raw(member.join_key)
    await member.peer.socket.close()
    before = rss_bytes()
    slow.send(type="cmd", command={"type": "shell", "command": "python3 wide.py"})
    stands = await standstill(lambda: room.log.total_bytes)
    assert 0 < stands < 40 * MIB, f"{stands / MIB:.1f} MiB were taken though nobody read"
    assert rss_bytes() - before < 64 * MIB
    expected = 0
    async for frame in until_end(slow):
        if frame["type"] == "terminal-data":
            assert int(frame["data"][:8]) == expected
            expected += 1
    assert expected == WIDE_LINES


async def standstill(measure: Any) -> int:
    """Wait until a figure that grows has stopped growing for 0.4 s."""
    last, since = -1, 0
    async with asyncio.timeout(30):
        while since < 4:
            await asyncio.sleep(0.1)
            now = int(measure())
            last, since = (now, 0 if now != last else since + 1)
    return last


@pytest.mark.parametrize("embedenv_config", [{"log_disk_mib": 4}])
async def test_beside_a_quick_one_a_frozen_one_is_told_of_the_gap(member: Asking, join_raw: JoinRaw) -> None:
    await member.command("write", path="wide.py", content=WIDE)
    frozen, asking = await join_raw(member.join_key), await join_raw(member.join_key, resume=0)
    quick = await join_raw(member.join_key)
    await member.peer.socket.close()
    quick.send(type="cmd", command={"type": "shell", "command": "python3 wide.py"})
    assert len([frame async for frame in until_end(quick) if frame["type"] == "terminal-data"]) == WIDE_LINES

    lost = 0
    seen = 0
    async for frame in until_end(frozen):
        if frame["type"] == "error":
            assert "no longer kept" in frame["message"]
            lost += int(frame["message"].split()[0])
        elif frame["type"] != "terminal-data-end":
            seen += 1
    assert lost and seen
    assert lost + seen >= 2 * WIDE_LINES  # a gap counts the events that plain clients do not see as well

    n = 0
    async for frame in until_end(asking):
        if frame["type"] == "gap":
            assert frame["from"] == n + 1
            assert frame["events"] == frame["to"] - frame["from"] + 1
            n = frame["to"]
        elif "n" in frame:
            assert frame["n"] == n + 1
            n = frame["n"]


@pytest.mark.parametrize("embedenv_config", [{"send_timeout_s": 0.4, "log_disk_mib": 4}])
async def test_who_never_reads_is_cut_off_and_holds_nobody(
    served: Served, member: Asking, dial: Dial, join_raw: JoinRaw
) -> None:
    room, _ = served.gateway.rooms.redeem(member.join_key)
    await member.command("write", path="wide.py", content=WIDE)
    dead = await join_raw(member.join_key)
    await member.peer.socket.close()
    dead.send(type="cmd", command={"type": "shell", "command": "python3 wide.py; touch done"})
    run = await started(room)
    async with asyncio.timeout(30):
        await run.ended.wait()  # once it is cut off, nobody watches, and the program is free
    assert await dead.close_code() == CloseCode.TOO_SLOW
    again = await Asking.join(dial, member.join_key)
    frames = await again.until(type="exit")
    assert frames[-1]["code"] == 0
    assert [frame["type"] for frame in frames].count("gap") == 1


async def started(room: Any) -> Any:
    async with asyncio.timeout(10):
        while room.foreground is None:
            await asyncio.sleep(0.01)
    return room.foreground


async def test_a_flood_of_empty_lines_stays_small_in_memory(member: Asking, join_raw: JoinRaw) -> None:
    for _ in range(10):
        await join_raw(member.join_key, resume=0)  # these never read
    quick = await join_raw(member.join_key)
    await member.peer.socket.close()  # as everywhere here: it would keep all frames in this process
    before = rss_bytes()
    quick.send(type="cmd", command={"type": "shell", "command": "head -c 300000 /dev/zero | tr '\\0' '\\n'"})
    lines = grown = 0
    async for frame in until_end(quick):
        lines += frame["type"] == "terminal-newline"
        if lines % 10_000 == 0:
            grown = max(grown, rss_bytes() - before)
    assert lines == 300_000
    assert grown < 64 * MIB, f"{grown / MIB:.0f} MiB"
