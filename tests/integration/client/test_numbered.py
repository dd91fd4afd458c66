"""The client against a server with our additions: what each call does, also when the line is cut."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from embedenv_jupyter.client import (
    Buffering,
    Entry,
    Event,
    ExitStatus,
    Gap,
    OutputLostError,
    RefusedError,
    Retry,
    Room,
    RoomEvent,
    Run,
    State,
    StateChange,
    UnreachableError,
    connect,
    open_room,
)
from embedenv_jupyter.errors import (
    BusyError,
    ConnectionLostError,
    LocalProtocolError,
    RoomClosedError,
    WorkspaceError,
)
from tests.integration.client.numbered_server import KEY, PUBLIC, SECRET, NumberedServer

QUICK = Retry(base_s=0.001, cap_s=0.01, give_up_s=20)
NOWHERE: dict[str, str] = {}


@pytest.fixture
async def server() -> AsyncIterator[NumberedServer]:
    async with NumberedServer().serving() as server:
        yield server
        assert server.complaints == []


@pytest.fixture
async def room(server: NumberedServer) -> AsyncIterator[Room]:
    async with asyncio.timeout(60):
        async with connect(
            server.url, public_key=PUBLIC, secret_key=SECRET, retry=QUICK, environment=NOWHERE
        ) as room:
            yield room


async def joined(server: NumberedServer, **options: Any) -> Room:
    return await open_room(server.url, join=KEY, retry=QUICK, environment=NOWHERE, **options)


async def until(events: AsyncIterator[Event], kind: type[Event], **fields: Any) -> Event:
    async for event in events:
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
            return event
    raise AssertionError("the events ended")


async def test_a_room_says_what_it_is(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    assert (room.id, room.role, room.remaining_credits, room.join_key) == ("room-1", "own", 999, KEY)
    assert (room.state, room.is_plain, room.last_n) == (State.CONNECTED, False, 0)
    assert KEY not in repr(room)


async def test_secrets_reach_no_log(server: NumberedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RefusedError, match="not valid") as caught:
        await open_room(server.url, public_key=PUBLIC, secret_key="hush-hush", environment=NOWHERE)
    await (await joined(server)).close()
    ours = "\n".join(record.getMessage() for record in caplog.records if "server" not in record.name)
    assert "hush" not in f"{ours}{caught.value!r}"
    assert KEY not in ours


async def test_keys_and_address_come_from_the_environment(server: NumberedServer) -> None:
    environment = {
        "EMBEDENV_URL": server.url, "EMBEDENV_PUBLIC_KEY": PUBLIC, "EMBEDENV_SECRET_KEY": SECRET,
    }  # fmt: skip
    async with connect(environment=environment) as room:
        assert room.join_key == KEY


async def test_the_published_endpoint_is_an_address_too(server: NumberedServer) -> None:
    url = f"ws://127.0.0.1:{server.port}/ws/spaces/defoult/"
    async with connect(url, join=KEY, user="ada", color="#123456", environment=NOWHERE) as room:
        assert room.id == "room-1"
    assert server.greetings[0]["user"] == "ada"
    assert server.greetings[0]["color"] == "#123456"


# Files


async def test_files_are_written_read_listed_and_removed(room: Room, server: NumberedServer) -> None:
    await room.files.write("main.py", "print('ä')")
    await room.files.write("data/raw.bin", bytes(range(256)))
    await room.files.make_dir("empty")
    assert await room.files.read("data/raw.bin") == bytes(range(256))
    assert await room.files.read_text("project/main.py") == "print('ä')"
    await room.files.rename("main.py", "core.py")
    assert await room.files.list() == [
        Entry("core.py", "file", 11, 1.5),
        Entry("data/raw.bin", "file", 256, 1.5),
        Entry("empty/", "file", 0, 1.5),
    ]
    await room.files.delete("core.py")
    assert "project/core.py" not in server.files


async def test_a_refused_change_raises_what_the_server_said(room: Room) -> None:
    with pytest.raises(RefusedError, match="no such file"):
        await room.files.delete("missing")
    with pytest.raises(WorkspaceError):
        await room.files.write("../escape", "")


async def test_a_directory_is_deployed(room: Room, server: NumberedServer, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("main")
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "logo.png").write_bytes(b"\x89PNG\xff")
    await room.files.deploy(tmp_path)
    assert server.files == {"project/main.py": b"main", "project/pkg/logo.png": b"\x89PNG\xff"}


# Runs


async def test_a_run_gives_its_lines_and_its_end(room: Room) -> None:
    run = await room.shell("count 5")
    assert [line async for line in run] == ["0", "1", "2", "3", "4"]
    assert await run.wait() == ExitStatus(0)
    assert (run.number, run.status, run.is_running) == ("r1", ExitStatus(0), False)


async def test_runs_follow_one_another(room: Room) -> None:
    for code in (0, 7):
        run = await room.shell(f"exit {code}")
        assert await run.text() == ""
        assert (await run.wait()).code == code


async def test_a_program_gets_its_input(room: Room) -> None:
    run = await room.shell("ask")
    assert await anext(run) == "name?"
    await run.send("ada")
    assert await run.text() == "hello 'ada\\n'\n"


async def test_input_as_it_is_and_its_end(room: Room) -> None:
    run = await room.shell("cat")
    await run.send("a", end="")
    await run.send("b")
    await run.send("Ctrl+C")
    await run.send_eof()
    assert await run.text() == "ab\nCtrl+C\n"


@pytest.mark.parametrize(("name", "expected"), [("INT", "SIGINT"), ("SIGTERM", "SIGTERM")])
async def test_signals_end_a_program(room: Room, name: str, expected: str) -> None:
    run = await room.shell("wait")
    assert await anext(run) == "waiting"
    if name == "INT":
        await run.interrupt()
    else:
        await run.signal(name)
    assert await run.wait() == ExitStatus(None, expected)
    with pytest.raises(BusyError, match="not running"):
        await run.interrupt()


async def test_a_refused_line_raises(room: Room) -> None:
    with pytest.raises(RefusedError, match="5 credits"):
        await room.shell("forbidden")
    assert await (await room.shell("echo still here")).text() == "still here\n"


async def test_a_second_line_does_not_become_input_of_the_first(room: Room, server: NumberedServer) -> None:
    run = await room.shell("cat")
    with pytest.raises(BusyError, match="r1"):
        await room.shell("rm -rf project")
    await run.send_eof()
    assert await run.text() == ""


async def test_two_tasks_that_start_at_once_do_not_mix(room: Room) -> None:
    first, second = await asyncio.gather(room.shell("wait"), room.shell("echo never"), return_exceptions=True)
    assert isinstance(first, Run)
    assert isinstance(second, BusyError)
    assert await anext(first) == "waiting"
    await first.interrupt()


async def test_a_line_that_became_anothers_input_is_reported(server: NumberedServer, room: Room) -> None:
    # A program that is silent about its input, then one that is not.
    for program, answer_s in (("wait", 0.3), ("cat", 60)):
        run = await room.shell(program)
        other = await joined(server, answer_s=answer_s)
        with pytest.raises(BusyError, match="as its input"):
            await other.shell("echo hi")
        await other.close()
        await run.interrupt()
        await run.wait()


async def test_the_interrupt_is_no_command(room: Room) -> None:
    with pytest.raises(LocalProtocolError, match="interrupt"):
        await room.shell("Ctrl+C")


@pytest.mark.parametrize("names_runs", [True, False])
async def test_a_run_is_found_whether_or_not_the_server_names_it(names_runs: bool) -> None:
    async with NumberedServer(names_runs=names_runs).serving() as server:
        room = await open_room(server.url, public_key=PUBLIC, secret_key=SECRET, environment=NOWHERE)
        for word in ("a", "b"):
            assert await (await room.shell(f"echo {word}")).text() == f"{word}\n"
        await room.close()
        assert server.complaints == []


async def test_the_runs_of_others_can_be_watched(server: NumberedServer, room: Room) -> None:
    other = await joined(server)
    with other.watch() as runs:
        await (await room.shell("echo first")).wait()
        await (await room.shell("exit 3")).wait()
        first, second = await anext(runs), await anext(runs)
        assert (first.command, first.user, await first.text()) == ("echo first", "host", "first\n")
        assert await second.wait() == ExitStatus(3)
    await other.close()


async def test_history_is_for_those_who_ask(server: NumberedServer, room: Room) -> None:
    await (await room.shell("echo old")).wait()
    fresh, late = await joined(server), await joined(server, history=True)
    assert fresh.last_n == room.last_n
    events = late.events()
    await until(events, RoomEvent, name="run")
    await fresh.close()
    await late.close()


# curl


async def test_curl_yields_the_body_in_order(room: Room) -> None:
    body = "POST http://localhost:3000/ {'A': 'b'} data" * 20
    pieces = [
        piece async for piece in room.curl("post", "http://localhost:3000/", headers={"A": "b"}, data="data")
    ]
    assert "".join(pieces) == body
    assert len(pieces) > 1
    assert await room.fetch("POST", "http://localhost:3000/", headers={"A": "b"}, data="data") == body


async def test_a_curl_that_is_left_disturbs_no_other(room: Room) -> None:
    async for _ in room.curl("GET", "http://localhost:3000/"):
        break
    with pytest.raises(RefusedError, match="nothing listens"):
        await room.fetch("GET", "http://localhost:1/refused")
    assert (await room.fetch("GET", "http://localhost:3000/x")).startswith("GET http://localhost:3000/x")


# Connections


async def test_a_cut_is_visible_and_passes(room: Room, server: NumberedServer) -> None:
    events = room.events()
    run = await room.shell("cat")
    server.cut()
    await until(events, StateChange, state=State.RECONNECTING)
    await until(events, StateChange, state=State.CONNECTED)
    await run.send("still the same run")
    await run.send_eof()
    assert await run.text() == "still the same run\n"
    assert [greeting["type"] for greeting in server.greetings] == ["init", "join"]
    assert server.greetings[1]["member"] == "member-token"


async def test_what_is_asked_in_an_outage_is_answered_after_it(room: Room, server: NumberedServer) -> None:
    events = room.events()
    server.cut()
    await until(events, StateChange, state=State.RECONNECTING)
    await room.files.write("a", "b")
    assert server.files == {"project/a": b"b"}


@pytest.mark.parametrize(
    ("code", "failure"), [(4000, RoomClosedError), (4001, RefusedError), (1008, RefusedError)]
)
async def test_a_final_close_is_not_retried(
    room: Room, server: NumberedServer, code: int, failure: type[Exception]
) -> None:
    run = await room.shell("wait")
    for socket in list(server.connections):
        await socket.close(code, "because")
    with pytest.raises(failure, match="because"):
        await run.wait()
    with pytest.raises(failure, match="because"):
        await room.files.write("a", "b")
    assert room.state is State.CLOSED
    assert len(server.greetings) == 1
    assert [event async for event in room.events()] == []


async def test_the_end_of_a_room_is_told(room: Room) -> None:
    events = room.events()
    await room.keep(60)
    await room.stop()
    await until(events, RoomEvent, name="post-mortem", details={"reason": "stopped"})
    await until(events, StateChange, state=State.CLOSED, reason="This room has ended: stopped.")
    assert [event async for event in events] == []


async def test_giving_up_says_so() -> None:
    retry = Retry(base_s=0.001, cap_s=0.01, give_up_s=0.1)
    async with NumberedServer().serving() as short:
        room = await open_room(
            short.url, public_key=PUBLIC, secret_key=SECRET, retry=retry, environment=NOWHERE
        )
        run = await room.shell("echo x")
        await run.wait()
    assert await run.text() == "x\n"
    with pytest.raises(ConnectionLostError, match="could not be restored") as caught:
        await room.files.list()
    assert caught.value.last_n == room.last_n == 5
    await room.close()


async def test_nobody_there_is_an_error_at_once() -> None:
    async with NumberedServer().serving() as gone:
        pass
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{gone.port}"):
        await joined(gone)


async def test_a_gap_reaches_the_events_and_the_run() -> None:
    async with NumberedServer(keeps=20).serving() as server:
        room = await open_room(
            server.url, public_key=PUBLIC, secret_key=SECRET, retry=QUICK, environment=NOWHERE
        )
        run = await room.shell("cat")
        events = room.events()
        server.cut()
        await until(events, StateChange, state=State.RECONNECTING)
        for number in range(100):
            await server.print("r1", str(number))
        gap = await until(events, Gap)
        await run.send_eof()
        with pytest.raises(OutputLostError) as caught:
            await run.text()
        assert run.gaps == [gap]
        assert caught.value.text.endswith("98\n99\n")
        await room.close()
        assert server.complaints == []


async def test_a_slow_reader_slows_the_server_and_loses_nothing(server: NumberedServer) -> None:
    buffering = Buffering(soft_bytes=10_000, hard_bytes=100_000)
    room = await open_room(
        server.url, public_key=PUBLIC, secret_key=SECRET, buffering=buffering, environment=NOWHERE
    )
    run = await room.shell("count 60000")
    assert await anext(run) == "0"
    count = 1
    highest = 0
    async for line in run:
        assert line == str(count)
        count += 1
        highest = max(highest, room._gate.unread_bytes)
        if count % 5000 == 0:
            await asyncio.sleep(0.01)
    assert count == 60_000
    # Beyond the hard bound by what one read of the socket may hold, at most.
    assert highest < 2 * buffering.hard_bytes
    await room.close()


async def test_an_answer_is_read_from_behind_unread_output(server: NumberedServer) -> None:
    buffering = Buffering(soft_bytes=1000, hard_bytes=10 << 20)
    room = await open_room(
        server.url, public_key=PUBLIC, secret_key=SECRET, buffering=buffering, environment=NOWHERE
    )
    run = await room.shell("count 5000")
    await room.files.write("a", "b")
    assert await run.wait() == ExitStatus(0)
    assert len((await run.text()).splitlines()) == 5000
    await room.close()


# Ends


async def test_close_is_idempotent_and_ends_what_waits(server: NumberedServer) -> None:
    room = await joined(server)
    run = await room.shell("wait")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_closed_here(run.wait()))
        await asyncio.sleep(0)
        await asyncio.gather(room.close(), room.close())
        await room.close()
    assert waiting.result()
    assert room.state is State.CLOSED
    with pytest.raises(LocalProtocolError):
        await room.shell("echo")


async def _closed_here(waiting: Any) -> bool:
    with pytest.raises(LocalProtocolError, match="closed here"):
        await waiting
    return True


async def test_a_cancelled_block_leaves_nothing_behind(server: NumberedServer) -> None:
    entered = asyncio.Event()

    async def use() -> None:
        async with connect(server.url, join=KEY, environment=NOWHERE) as room:
            run = await room.shell("wait")
            entered.set()
            await run.text()

    task = asyncio.create_task(use())
    async with asyncio.timeout(10):
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.empty()


async def test_a_cancelled_call_is_forgotten(room: Room, server: NumberedServer) -> None:
    for _ in range(20):
        task = asyncio.create_task(room.files.write("a", "b"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await room.files.write("c", "d")
    assert room._session._in_flight == {}
