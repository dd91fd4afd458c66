"""The client against the real gateway: real sandboxes, real programs, and the same cuts."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from embedenv_jupyter.client import (
    ExitStatus,
    RefusedError,
    Retry,
    Room,
    RoomEvent,
    State,
    StateChange,
    connect,
    connect_sync,
    open_room,
)
from embedenv_jupyter.errors import BusyError, RoomClosedError
from tests.integration.client.cutting_proxy import CuttingProxy
from tests.integration.conftest import Served

NOWHERE: dict[str, str] = {}
QUICK = Retry(base_s=0.005, cap_s=0.05, give_up_s=30, first_s=30)

ASKING = """
name = input("name? ")
print("hello", name)
raise SystemExit(7)
"""

COUNTING = """
import sys
for number in range(int(sys.argv[1])):
    print(number)
"""


@pytest.fixture
async def room(served: Served) -> AsyncIterator[Room]:
    async with asyncio.timeout(90):
        async with connect(
            served.http_url,
            public_key=served.public_key,
            secret_key=served.secret_key,
            retry=QUICK,
            environment=NOWHERE,
        ) as room:
            yield room


async def test_a_room_is_made_and_says_what_it_is(room: Room) -> None:
    assert not room.is_plain
    assert room.role == "own"
    assert room.id
    assert room.join_key
    assert room.remaining_credits == 999


async def test_wrong_keys_are_refused(served: Served) -> None:
    with pytest.raises(RefusedError):
        await open_room(
            served.http_url, public_key=served.public_key, secret_key="wrong", environment=NOWHERE
        )
    with pytest.raises(RefusedError):
        await open_room(served.http_url, join="wrong", environment=NOWHERE)


async def test_files_go_there_and_back(room: Room, tmp_path: Path) -> None:
    project = tmp_path / "local"
    (project / "pkg").mkdir(parents=True)
    (project / "main.py").write_text("print('ä')")
    (project / "pkg" / "logo.png").write_bytes(bytes(range(256)))
    await room.files.deploy(project)
    assert await room.files.read_text("main.py") == "print('ä')"
    assert await room.files.read("pkg/logo.png") == bytes(range(256))
    await room.files.make_dir("empty")
    await room.files.write("deep/er/a.txt", "a")
    await room.files.rename("deep/er/a.txt", "b.txt")
    assert [entry.name for entry in await room.files.list("deep/er")] == ["b.txt"]
    assert {entry.name: entry.type for entry in await room.files.list()} == {
        "deep": "folder", "empty": "folder", "main.py": "file", "pkg": "folder",
    }  # fmt: skip
    await room.files.delete("deep")
    with pytest.raises(RefusedError, match="no such file"):
        await room.files.read("deep/er/b.txt")
    await (await room.shell("echo above > notes.txt")).wait()
    assert await room.files.read_text("/notes.txt") == "above\n"


async def test_a_large_file_goes_there_and_back(room: Room) -> None:
    content = random.Random(1).randbytes(3 << 20)
    await room.files.write("big", content)
    assert await room.files.read("big") == content


async def test_a_program_is_asked_and_answered(room: Room) -> None:
    await room.files.deploy({"main.py": ASKING})
    run = await room.shell("cd project && python3 -u main.py")
    assert await anext(run) == "name? "
    await run.send("ada")
    assert await run.text() == "hello ada\n"
    assert await run.wait() == ExitStatus(7)


async def test_input_ends_and_signals_arrive(room: Room) -> None:
    run = await room.shell("cat; echo ended")
    await run.send("a line")
    await run.send_eof()
    assert await run.text() == "a line\nended\n"
    sleeping = await room.shell("echo up; exec sleep 1000")
    assert await anext(sleeping) == "up"
    await sleeping.signal("TERM")
    assert await sleeping.wait() == ExitStatus(None, "SIGTERM")


async def test_an_endless_loop_is_interrupted(room: Room) -> None:
    run = await room.shell("echo up; exec python3 -c 'while True: pass'")
    assert await anext(run) == "up"
    with pytest.raises(BusyError):
        await room.shell("echo me too")
    # Python takes a moment until it can be interrupted as we expect; before that, INT simply ends it.
    await run.interrupt()
    status = await run.wait()
    assert status in (ExitStatus(None, "SIGINT"), ExitStatus(130), ExitStatus(1))
    assert await (await room.shell("echo after")).text() == "after\n"


async def test_a_crash_is_told_by_its_signal(room: Room) -> None:
    run = await room.shell("exec python3 -c 'import os; os.kill(os.getpid(), 11)'")
    assert await run.wait() == ExitStatus(None, "SIGSEGV")


async def test_much_output_comes_whole(room: Room) -> None:
    await room.files.deploy({"count.py": COUNTING})
    run = await room.shell("python3 project/count.py 200000")
    count = 0
    async for line in run:
        assert line == str(count)
        count += 1
    assert count == 200_000
    assert run.gaps == []
    assert await run.wait() == ExitStatus(0)


async def test_a_web_server_in_the_room_is_reached(room: Room) -> None:
    await room.files.deploy({"index.html": "<html>here</html>", "big.txt": "0123456789" * 50_000})
    run = await room.shell("cd project && exec python3 -u -m http.server 3000")
    assert (await anext(run)).startswith("Serving HTTP")
    assert await room.fetch("GET", "http://localhost:3000/") == "<html>here</html>"
    assert await room.fetch("GET", "http://localhost:3000/big.txt") == "0123456789" * 50_000
    with pytest.raises(RefusedError):
        await room.fetch("GET", "http://localhost:3999/")
    run.discard()
    await run.interrupt()
    await run.wait()


async def test_others_see_the_same(served: Served, room: Room) -> None:
    events = room.events()
    async with connect(served.http_url, join=room.join_key, user="ada", environment=NOWHERE) as other:
        assert other.id == room.id
        with other.watch() as runs:
            await (await room.shell("echo for everybody")).wait()
            seen = await anext(runs)
            assert (seen.command, await seen.text()) == ("echo for everybody", "for everybody\n")
            assert await seen.wait() == ExitStatus(0)
    names = []
    async for event in events:
        if isinstance(event, RoomEvent):
            names.append((event.name, event.details.get("user")))
            if event.name == "member-left":
                break
    assert ("member-joined", "ada") in names


async def test_stopping_the_room_is_told_to_everybody(room: Room) -> None:
    run = await room.shell("exec sleep 1000")
    events = room.events()
    await room.stop()
    with contextlib.suppress(RoomClosedError):
        # The end of the run and the end of the room race each other here.
        assert (await run.wait()).signal is not None
    names = [event.name for event in [event async for event in events] if isinstance(event, RoomEvent)]
    assert names[-1] == "post-mortem"
    assert room.state is State.CLOSED


async def test_cuts_lose_nothing_of_a_real_program(served: Served) -> None:
    dice = random.Random(5)
    port = int(served.host.rpartition(":")[2])
    proxy = CuttingProxy(port, dice, cuts=40, up_to_bytes=60_000)
    async with asyncio.timeout(90), proxy.serving():
        room = await open_room(
            served.http_url, public_key=served.public_key, secret_key=served.secret_key, environment=NOWHERE
        )
        key = room.join_key
        await room.files.deploy({"count.py": COUNTING})
        async with connect(
            f"http://127.0.0.1:{proxy.port}{served.base_url}",
            join=key,
            retry=QUICK,
            environment=NOWHERE,
            dice=dice.random,
        ) as cut:
            changes = cut.events()
            run = await cut.shell("python3 project/count.py 50000")
            assert [line async for line in run] == [str(number) for number in range(50_000)]
            assert await run.wait() == ExitStatus(0)
            assert run.gaps == []
            for number in range(20):
                await cut.files.write("same", str(number))
            assert await cut.files.read_text("same") == "19"
        states = [event.state async for event in changes if isinstance(event, StateChange)]
        await room.close()
    assert proxy.cuts > 20
    assert states.count(State.RECONNECTING) == states.count(State.CONNECTED) > 10
    assert states[-1] is State.CLOSED


async def test_commands_are_carried_out_exactly_once_through_cuts(served: Served) -> None:
    dice = random.Random(9)
    proxy = CuttingProxy(int(served.host.rpartition(":")[2]), dice, cuts=100, up_to_bytes=3000)
    async with asyncio.timeout(90), proxy.serving():
        room = await open_room(
            served.http_url,
            public_key=served.public_key,
            secret_key=served.secret_key,
            environment=NOWHERE,
        )
        async with connect(
            f"http://127.0.0.1:{proxy.port}{served.base_url}",
            join=room.join_key,
            retry=QUICK,
            environment=NOWHERE,
            dice=dice.random,
        ) as cut:
            for batch in range(0, 400, 20):
                names = [str(batch + number) for number in range(20)]
                await asyncio.gather(*(cut.files.write(name, name) for name in names))
            for number in range(60):
                run = await cut.shell(f"echo {number} >> all.txt")
                assert await run.wait() == ExitStatus(0)
        lines = await (await room.shell("cat all.txt")).text()
        assert lines.splitlines() == [str(number) for number in range(60)]
        assert len(await room.files.list()) == 400
        await room.close()
    assert proxy.cuts > 50


async def test_the_blocking_face_works_here_too(served: Served) -> None:
    def use() -> str:
        with connect_sync(
            served.spaces_url, public_key=served.public_key, secret_key=served.secret_key, environment=NOWHERE
        ) as room:
            return room.shell("echo from a thread").text()

    assert await asyncio.to_thread(use) == "from a thread\n"
