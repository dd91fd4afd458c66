"""Large pastes, endless output, slow readers: nothing typed is lost, nobody waits for somebody else."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest

from tests.integration.conftest import Served
from tests.integration.terminals.conftest import PROMPT, DialTerminal, TerminalPeer, TerminalRoom

PASTE = "".join(f"line {number} of the paste, and a word: Grüße\n" for number in range(125_000))
"""5 MB, whose lines are as a terminal takes them."""


async def test_large_paste_arrives_whole(peer: TerminalPeer, served: Served, room: TerminalRoom) -> None:
    assert len(PASTE.encode()) > 5_000_000
    await peer.type("stty -echo; echo rea''dy; cat > pasted; stty echo; sha256sum < pasted\r")
    await peer.until("ready\r\n")  # what comes before the echo is off would be shown
    await peer.type(PASTE)
    await peer.type("\x04")
    assert hashlib.sha256(PASTE.encode()).hexdigest() in await peer.until(" -")
    assert (await room.api("GET", "health")).status == 200


@pytest.mark.parametrize("size", [6_000, 20_000, len(PASTE)])
async def test_paste_that_no_program_takes_holds_nobody(
    peer: TerminalPeer, dial_terminal: DialTerminal, room: TerminalRoom, size: int
) -> None:
    # It says itself that it runs: an INT between fork and exec is lost, in any shell.
    await peer.type("sh -c 'echo run''ning; exec sleep 1000'; echo interr''upted\r")
    await peer.until("running")
    await peer.type(PASTE[:size])
    other = await dial_terminal(await room.open())
    began_s = time.monotonic()
    await other.type("echo oth''er\r")
    await other.until("other")
    assert time.monotonic() - began_s < 10
    await peer.type("\x03")
    await peer.until(PROMPT)
    await peer.type("echo rea''dy\r")
    seen = await peer.until("ready")
    assert "of the paste" not in seen, "Ctrl+C drops what waited, as the kernel does"


async def test_somebody_types_while_somebody_else_pastes(
    peer: TerminalPeer, dial_terminal: DialTerminal
) -> None:
    other = await dial_terminal("1")
    await peer.type("stty -echo; echo rea''dy; cat > both; stty echo; ")
    await peer.type("grep -c paste both; grep -n meanwhile both\r")
    await peer.until("ready\r\n")  # as above
    await peer.type(PASTE)
    await other.type("typed meanwhile\n")
    await peer.type("\x04")
    seen = await peer.until(PROMPT)
    count, place, *_ = seen.replace("\x1b[?2004l\r", "").split("\r\n")
    assert count == "125000"
    assert place.endswith(":typed meanwhile") and int(place.partition(":")[0]) < 125_000


async def test_slow_reader_slows_nobody_and_is_told_what_it_missed(
    peer: TerminalPeer, dial_terminal: DialTerminal, served: Served, room: TerminalRoom
) -> None:
    slow = await dial_terminal("1", max_queue=1)
    await slow.until(PROMPT)
    await peer.type("echo; seq 2000000; echo al''l\r")
    seen = await peer.until("all")
    numbers = [int(line) for line in seen.split("\r\n") if line.isdecimal()]
    assert numbers == list(range(1, 2000001)), "whoever reads gets everything"
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    past = served.gateway.terminals.of(found).get_terminal("1")._past
    assert past.end - past.start < 1.1 * (1 << 20)
    seen = await slow.until("all")
    assert "bytes are left out here" in seen
    assert "2000000\r\n" in seen


async def test_only_reader_holds_the_program_and_interrupts_it(peer: TerminalPeer) -> None:
    await peer.type("yes | cat -n; echo en''ded\r")
    await peer.until("100000\ty")
    await peer.type("\x03")
    began_s = time.monotonic()
    after = await peer.until(PROMPT)
    assert time.monotonic() - began_s < 20
    assert len(after) < 32 << 20, "what was on its way when the key came, and not more"


async def test_output_without_anybody_goes_on(
    peer: TerminalPeer, dial_terminal: DialTerminal, served: Served, room: TerminalRoom
) -> None:
    await peer.type("seq 400000; touch fin''ished\r")
    await peer.socket.close()
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    async with asyncio.timeout(60):
        while "finished" not in {entry.name for entry in await found.sandbox.files.list()}:
            await asyncio.sleep(0.05)
    again = await dial_terminal("1")
    await again.until("400000\r\n")
