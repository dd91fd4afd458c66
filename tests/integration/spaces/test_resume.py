"""Lost connections: who comes back gets every number once, and no command runs twice."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.handlers import base
from tests.integration.conftest import Dial, Served
from tests.integration.spaces.conftest import JoinRaw
from tests.integration.spaces.peers import Asking, Frame

CUTS = 100

WORK = """
import sys
number = 0
for line in sys.stdin:
    print("got", line, end="")
    for _ in range(300):
        print(number)
        number += 1
"""


class Returning:
    """A client that is cut at random points, comes back, and sends again what was not answered."""

    def __init__(self, member: Asking, dial: Dial, seed: int) -> None:
        self.frames: list[Frame] = []
        self.answers: dict[str, list[Frame]] = {}
        self.n = 0
        self.cuts = 0
        self._member = member
        self._dial = dial
        self._random = random.Random(seed)
        self._unanswered: dict[str, dict[str, Any]] = {}

    async def send(self, id: str, kind: str, /, **fields: Any) -> None:
        self._unanswered[id] = {"kind": kind, "fields": fields}
        try:
            await self._member.command(kind, id=id, **fields)
        except ConnectionClosed:
            await self._return()

    async def _return(self) -> None:
        self._member = await self._member.again(self._dial, self.n)
        for id, command in list(self._unanswered.items()):
            await self._member.command(command["kind"], id=id, **command["fields"])

    async def receive(self) -> Frame:
        """Receive the next frame, over as many connections as it takes."""
        while True:
            try:
                if self.cuts < CUTS and self._random.random() < 0.004:
                    self.cuts += 1
                    self._member.peer.socket.transport.abort()
                frame = await self._member.peer.receive()
            except ConnectionClosed:
                await self._return()
                continue
            self._take(frame)
            return frame

    def _take(self, frame: Frame) -> None:
        if "n" in frame:
            assert frame["n"] == self.n + 1, (frame, self.n)
            self.n = frame["n"]
            self.frames.append(frame)
        if (id := frame.get("id")) is not None:
            self.answers.setdefault(id, []).append(frame)
            self._unanswered.pop(id, None)


async def test_a_hundred_cuts_lose_and_repeat_nothing(member: Asking, dial: Dial) -> None:
    await member.command("write", path="work.py", content=WORK)
    client = Returning(member, dial, seed=7)
    await client.send("start", "shell")  # refused for its own faults, so the id is free
    assert (await until(client, id="start"))["type"] == "error"
    await member.shell("python3 work.py")
    commands = 0
    while client.cuts < CUTS:
        commands += 1
        await client.send(f"in{commands}", "stdin", data=f"{commands}\n")
        await client.send(f"w{commands}", "write", path=f"f{commands}", content="x")
        await until(client, type="terminal-data", data=str(300 * commands - 1))
    await client.send("end", "eof")
    await until(client, type="exit")
    printed = [frame["data"] for frame in client.frames if frame["type"] == "terminal-data"]
    numbers = [int(text) for text in printed if text.isdigit()]
    assert numbers == list(range(300 * commands))
    typed = range(1, commands + 1)
    assert [text for text in printed if text.startswith("got")] == [f"got {number}" for number in typed]
    assert {frame["type"] for number in typed for frame in client.answers[f"in{number}"]} == {"done"}
    written = [frame["paths"][0] for frame in client.frames if frame.get("event") == "files"]
    assert written == ["work.py", *(f"f{number}" for number in typed)]


async def until(client: Returning, **wanted: Any) -> Frame:
    while True:
        frame = await client.receive()
        if wanted.items() <= frame.items():
            return frame


async def test_every_number_can_be_resumed_from(member: Asking, dial: Dial) -> None:
    await member.shell("echo one; echo; printf 'two\nthr'; read; echo ee")
    await member.until(event="prompt")
    await member.command("stdin", data="\n")
    await member.until(type="exit")
    whole = await Asking.join(dial, member.join_key, resume=0)
    frames = [frame for frame in await whole.until(type="exit") if "n" in frame]
    assert [frame["n"] for frame in frames] == list(range(1, len(frames) + 1))
    # The join of each who comes adds events behind; what was there before stays as it was.
    for start in range(len(frames)):
        peer = await member.again(dial, start)
        got = [await peer.peer.receive() for _ in frames[start:]]
        assert got == frames[start:], start
        await peer.peer.socket.close()


@pytest.mark.parametrize("embedenv_config", [{"log_disk_mib": 1}])
async def test_what_the_log_no_longer_has_is_a_gap_with_exact_numbers(member: Asking, dial: Dial) -> None:
    _, ended = await member.run("seq -f %01000.0f 1 20000")
    last = ended["n"]
    peer = await member.again(dial, 3)
    n, lost, kept, gaps = 3, 0, 0, 0
    while n < last:
        frame = await peer.peer.receive()
        if frame["type"] == "gap":  # more than one, where the log is still being cut while it is read
            assert (frame["from"], frame["n"], frame["events"]) == (n + 1, frame["to"], frame["to"] - n)
            lost, gaps = lost + frame["bytes"], gaps + 1
        else:
            assert frame["n"] == n + 1
            kept += len(frame["data"]) + 1 if frame["type"] == "terminal-data" else 0
        n = frame["n"]
    assert gaps
    assert lost + kept == 20_000 * 1001


async def test_numbers_of_another_room_are_refused(served: Served, member: Asking, dial: Dial) -> None:
    peer = await dial()
    await peer.send(type="join", join=member.join_key, member=member.token, resume=10_000)
    answer = await peer.receive()
    assert answer["type"] == "error"
    assert "10000" in answer["message"]
    assert await peer.closed() == CloseCode.POLICY_VIOLATION
    room, _ = served.gateway.rooms.redeem(member.join_key)
    assert len(room.members.present) == 1


async def test_a_foreign_token_makes_a_new_member(served: Served, member: Asking, dial: Dial) -> None:
    other = await Asking.init(served, dial)
    for token in ("invented", other.token):
        peer = await Asking.join(dial, member.join_key, member=token)
        assert peer.token not in (token, member.token)
        assert peer.role == "edit"


async def test_a_command_sent_again_is_answered_again_and_not_run_again(member: Asking, dial: Dial) -> None:
    line = "echo x >> log"
    first, _ = await member.ended(await member.shell(line, id="a"))
    await member.shell(line, id="a")
    assert await member.peer.receive() == first
    again = await member.again(dial, 0)
    assert await again.answer(await again.shell(line, id="a")) == first
    assert (await again.run("cat log"))[0] == "x\n"


async def test_a_command_cut_before_its_answer_runs_once(member: Asking, dial: Dial) -> None:
    for number in range(30):
        line, id = f"echo {number} >> log", f"cut{number}"
        await member.shell(line, id=id)
        member.peer.socket.transport.abort()
        member = await member.again(dial, member.newest)
        answer, _ = await member.ended(await member.shell(line, id=id))
        assert answer["type"] == "done"
    assert (await member.run("cat log"))[0].split() == [str(number) for number in range(30)]


@pytest.fixture
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PING_INTERVAL_S", 0.1)
    monkeypatch.setattr(base, "SILENCE_S", 0.6)


@pytest.mark.usefixtures("quick_pings")
async def test_who_shows_no_sign_of_life_is_cut_and_who_reads_slowly_is_not(
    member: Asking, join_raw: JoinRaw
) -> None:
    slow, silent = await join_raw(member.join_key), await join_raw(member.join_key)
    await member.peer.socket.close()
    slow.send(type="cmd", command={"type": "shell", "command": "head -c 30000000 /dev/zero | tr '\\0' x"})
    seen = 0
    async for frames in slow.batches():  # its answers to pings wait behind megabytes
        seen += sum(len(frame.get("data", "")) for frame in frames)
        if frames and frames[-1]["type"] == "terminal-data-end":
            break
        await asyncio.sleep(0.005)
    assert seen == 30_000_000
    assert await silent.close_code() == CloseCode.TOO_SLOW
