"""The client against a server of the published frames: everything that they can say, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from embedenv_jupyter.client import (
    ExitStatus,
    Gap,
    Notice,
    PlainServerError,
    RefusedError,
    Retry,
    Room,
    State,
    StateChange,
    connect,
    open_room,
)
from embedenv_jupyter.errors import BusyError, ConnectionLostError
from tests.integration.client.plain_server import KEY, PlainServer

QUICK = Retry(base_s=0.001, cap_s=0.01, give_up_s=20)
NOWHERE: dict[str, str] = {}


@pytest.fixture
async def server() -> AsyncIterator[PlainServer]:
    async with PlainServer().serving() as server:
        yield server
        assert server.complaints == []


@pytest.fixture
async def room(server: PlainServer) -> AsyncIterator[Room]:
    async with asyncio.timeout(60):
        async with connect(
            server.url, public_key="public", secret_key="secret", retry=QUICK, environment=NOWHERE
        ) as room:
            yield room


async def test_a_plain_room_says_what_it_knows(room: Room) -> None:
    assert (room.join_key, room.remaining_credits, room.is_plain) == (KEY, 998, True)
    assert (room.id, room.role, room.last_n) == (None, None, 0)


async def test_the_published_steps(room: Room, server: PlainServer) -> None:
    await room.files.deploy({"main.py": "print('Root File Loaded Successfully')"})
    await room.files.write("utils.py", "def test_node():\n    return 'Utility Active'")
    await room.files.rename("utils.py", "core_utils.py")
    await room.files.delete("core_utils.py")
    await room.files.make_dir("folder")
    run = await room.shell("cd project && python -u main.py")
    assert [line async for line in run] == ["ran cd project && python -u main.py"]
    assert await run.wait() == ExitStatus()
    asking = await room.shell("ask")
    assert await anext(asking) == "name?"
    await asking.send("ada")
    assert await asking.text() == "got ada\n"
    serving = await room.shell("serve")
    assert await anext(serving) == "Serving HTTP on 0.0.0.0 port 3000"
    assert await room.fetch("GET", "http://localhost:3000") == '<!DOCTYPE html><html lang="en"></html>'
    await serving.interrupt()
    assert await serving.text() == ""
    assert [frame["command"]["type"] for frame in server.commands] == [
        "project", "write", "rename", "delete", "create", "shell", "shell", "shell", "shell", "curl", "shell",
    ]  # fmt: skip


async def test_lines_without_newline_frames_are_lines(room: Room) -> None:
    run = await room.shell("ls -la")
    assert await run.text() == "total 8\nmain.py\nutils.py"


async def test_several_lines_of_input_go_one_by_one(room: Room) -> None:
    run = await room.shell("serve")
    await run.send("a\nb")
    await run.interrupt()
    assert await run.text() == "Serving HTTP on 0.0.0.0 port 3000\ngot a\ngot b\n"


async def test_errors_belong_to_what_caused_them(room: Room) -> None:
    with pytest.raises(RefusedError, match="broken"):
        await room.files.deploy({"a": "broken"})
    for _ in range(2):
        with pytest.raises(RefusedError, match="Connection refused"):
            await room.fetch("GET", "http://localhost:1/refused")
    run = await room.shell("broke")
    with pytest.raises(RefusedError, match="No credits"):
        await run.text()
    assert await (await room.shell("still there")).text() == "ran still there\n"
    assert (await room.fetch("GET", "http://localhost:3000")).endswith("</html>")


async def test_an_error_of_nothing_in_particular_is_a_notice(room: Room) -> None:
    events = room.events()
    await room.files.write("full", "x")
    assert await anext(events) == Notice("The disk is full.", is_error=True)


async def test_a_curl_that_is_left_does_not_answer_the_next(room: Room) -> None:
    pieces = room.curl("GET", "http://localhost:3000")
    assert await anext(pieces) == "<!DOCTYPE html>"
    await pieces.aclose()
    assert await room.fetch("GET", "http://localhost:3000") == '<!DOCTYPE html><html lang="en"></html>'


async def test_one_program_at_a_time(room: Room) -> None:
    run = await room.shell("serve")
    with pytest.raises(BusyError, match="serve"):
        await room.shell("ls -la")
    await run.interrupt()
    await run.wait()
    with pytest.raises(BusyError, match="not running"):
        await run.send("x")


@pytest.mark.parametrize(
    "ask",
    [
        lambda room: room.files.read("a"),
        lambda room: room.files.list(),
        lambda room: room.files.write("a", b"\xff"),
        lambda room: room.files.deploy({"a": b"\xff"}),
        lambda room: room.keep(5),
        lambda room: room.stop(),
    ],
)
async def test_what_no_published_frame_can_say_is_refused_here(
    room: Room, server: PlainServer, ask: Callable[[Room], Coroutine[Any, Any, object]]
) -> None:
    with pytest.raises(PlainServerError, match="only the published frames"):
        await ask(room)
    assert server.commands == []


async def test_what_no_published_frame_can_say_to_a_program_is_refused_here(room: Room) -> None:
    run = await room.shell("serve")
    for ask in (run.send_eof(), run.signal("TERM"), run.send("x", end=""), run.send("Ctrl+C")):
        with pytest.raises(PlainServerError):
            await ask
    with pytest.raises(PlainServerError):
        room.watch()
    await run.signal("INT")
    assert await run.wait() == ExitStatus()


async def test_output_of_others_is_not_taken_for_ours(room: Room, server: PlainServer) -> None:
    events = room.events()
    await server.say("somebody else's")
    assert await anext(events) == Notice("said")
    assert await (await room.shell("mine")).text() == "ran mine\n"


async def test_after_a_cut_what_was_under_way_fails_and_the_rest_goes_on(
    room: Room, server: PlainServer
) -> None:
    events = room.events()
    run = await room.shell("serve")
    assert await anext(run) == "Serving HTTP on 0.0.0.0 port 3000"
    server.cut()
    with pytest.raises(ConnectionLostError, match="cannot resume"):
        await run.wait()
    seen = [await anext(events) for _ in range(3)]
    assert isinstance(seen[0], StateChange)
    assert isinstance(seen[1], Gap)
    assert seen[1].events is None
    assert seen[2] == StateChange(State.CONNECTED)
    server._program = None
    assert await (await room.shell("again")).text() == "ran again\n"


async def test_a_wrong_key_is_refused(server: PlainServer) -> None:
    with pytest.raises(RefusedError, match="Invalid keys"):
        await open_room(server.url, public_key="public", secret_key="wrong", environment=NOWHERE)
    with pytest.raises(RefusedError, match="Invalid keys"):
        await open_room(server.url, join="wrong", retry=Retry(first_s=30), environment=NOWHERE)


async def test_a_join_without_an_answer_is_accepted() -> None:
    async with PlainServer(quiet_joins=True).serving() as server:
        room = await open_room(server.url, join=KEY, answer_s=0.2, environment=NOWHERE)
        assert room.is_plain
        assert await (await room.shell("x")).text() == "ran x\n"
        await room.close()


async def test_a_join_may_be_answered_by_output() -> None:
    async with PlainServer(quiet_joins=True).serving() as server:
        async with asyncio.TaskGroup() as group:
            joining = group.create_task(open_room(server.url, join=KEY, environment=NOWHERE))
            async with asyncio.timeout(10):
                while not joining.done():
                    await server.say("hello")
                    await asyncio.sleep(0.01)
        await joining.result().close()
