"""The blocking face: the same room without asyncio, and Ctrl+C."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedenv_jupyter.client import ExitStatus, RefusedError, RoomEvent, State, UnreachableError, connect_sync
from embedenv_jupyter.client.sync import Background, SyncRoom, SyncRun
from embedenv_jupyter.errors import BusyError, LocalProtocolError
from tests.integration.client.numbered_server import KEY, PUBLIC, SECRET, NumberedServer

NOWHERE: dict[str, str] = {}


@pytest.fixture
def server() -> Iterator[NumberedServer]:
    """A server on a loop in a thread of its own, because these tests block theirs."""
    background = Background()
    ended = background.call(_event())
    serving: threading.Event = threading.Event()
    server = background.call(_make())

    async def hold() -> None:
        async with server.serving():
            serving.set()
            await ended.wait()

    holding = background.submit(hold())
    assert serving.wait(10)
    yield server
    background.call(_set(ended))
    holding.result(10)
    background.close()
    assert server.complaints == []


async def _event() -> asyncio.Event:
    return asyncio.Event()


async def _make() -> NumberedServer:
    return NumberedServer()


async def _set(event: asyncio.Event) -> None:
    event.set()


@pytest.fixture
def room(server: NumberedServer) -> Iterator[SyncRoom]:
    with connect_sync(server.url, public_key=PUBLIC, secret_key=SECRET, environment=NOWHERE) as room:
        yield room


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "embedenv client"]


def test_a_room_without_asyncio(room: SyncRoom, tmp_path: Path) -> None:
    assert (room.id, room.role, room.remaining_credits, room.join_key) == ("room-1", "own", 999, KEY)
    assert (room.state, room.last_n, repr(room)) == (State.CONNECTED, 0, "<sync <Room room-1 connected>>")
    (tmp_path / "main.py").write_text("main")
    room.files.deploy(tmp_path)
    room.files.write("a.txt", "a")
    assert room.files.read("a.txt") == b"a"
    assert room.files.read_text("main.py") == "main"
    assert [entry.name for entry in room.files.list()] == ["a.txt", "main.py"]
    room.files.make_dir("d")
    room.files.rename("a.txt", "b.txt")
    room.files.delete("b.txt")
    assert room.shell("echo hello").text() == "hello\n"
    assert list(room.shell("count 3")) == ["0", "1", "2"]
    assert list(room.shell("count 2").pieces()) == ["0", "\n", "1", "\n"]
    assert room.shell("exit 4").wait() == ExitStatus(4)
    room.keep(60)
    body = room.fetch("GET", "http://localhost:3000/")
    assert "".join(room.curl("GET", "http://localhost:3000/", headers={})) == body


def test_input_and_signals(room: SyncRoom) -> None:
    run = room.shell("ask")
    assert next(iter(run)) == "name?"
    run.send("ada")
    assert run.text() == "hello 'ada\\n'\n"
    cat = room.shell("cat")
    with pytest.raises(BusyError):
        room.shell("echo x")
    cat.send_eof()
    cat.wait()
    waiting = room.shell("wait").discard()
    waiting.signal("TERM")
    assert waiting.wait() == ExitStatus(None, "SIGTERM")
    assert not waiting.is_running
    assert waiting.command == "wait"


def test_events(room: SyncRoom) -> None:
    events = room.events()
    room.shell("exit 0").wait()
    event = next(events)
    assert isinstance(event, RoomEvent)
    assert (event.name, event.details["command"]) == ("run", "exit 0")
    room.stop()
    assert [type(event).__name__ for event in events] == ["RoomEvent", "StateChange", "StateChange"]


def press_ctrl_c_soon() -> threading.Timer:
    """Interrupt the main thread in a moment, when it will be waiting."""
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    return timer


@pytest.mark.parametrize("how", [list, lambda run: list(run.pieces()), SyncRun.text, SyncRun.wait])
def test_ctrl_c_interrupts_the_program_and_then_us(room: SyncRoom, how: Callable[[SyncRun], object]) -> None:
    run = room.shell("wait")
    assert next(iter(run)) == "waiting"
    timer = press_ctrl_c_soon()
    with pytest.raises(KeyboardInterrupt):
        how(run)
    timer.join()
    assert run.wait() == ExitStatus(None, "SIGINT")
    assert list(run) == []
    assert room.shell("echo still usable").text() == "still usable\n"


def test_ctrl_c_during_an_answer_cancels_it(room: SyncRoom, server: NumberedServer) -> None:
    events = room.events()
    timer = press_ctrl_c_soon()
    with pytest.raises(KeyboardInterrupt):
        next(events)
    timer.join()
    assert room.shell("exit 0").wait() == ExitStatus(0)
    event = next(events)
    assert isinstance(event, RoomEvent)
    assert event.name == "run"


def test_close_is_idempotent_and_ends_the_thread(server: NumberedServer) -> None:
    before = len(threads())
    room = connect_sync(server.url, join=KEY, environment=NOWHERE)
    run = room.shell("wait")
    assert len(threads()) == before + 1
    room.close()
    room.close()
    assert len(threads()) == before
    assert room.state is State.CLOSED
    with pytest.raises(LocalProtocolError):
        run.wait()


def test_a_failed_connection_leaves_no_thread(server: NumberedServer) -> None:
    before = len(threads())
    with pytest.raises(RefusedError):
        connect_sync(server.url, join="wrong", environment=NOWHERE)
    with pytest.raises(UnreachableError):
        connect_sync("http://127.0.0.1:9/", join="wrong", environment=NOWHERE)
    assert len(threads()) == before


def test_a_room_can_be_used_from_many_threads(room: SyncRoom, server: NumberedServer) -> None:
    def write(number: int) -> None:
        for step in range(10):
            room.files.write(f"{number}/{step}", f"{number}{step}")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(20)
    assert len(server.files) == 80
