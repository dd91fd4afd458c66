"""What comes before a room: HTTP servers that are none, greetings that fail, sockets that go silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from embedenv_jupyter.client import (
    Buffering,
    Event,
    Heartbeat,
    RefusedError,
    Retry,
    State,
    StateChange,
    UnreachableError,
    open_room,
)
from embedenv_jupyter.client.dialling import MAX_FRAME_BYTES
from embedenv_jupyter.errors import ConnectionLostError, RemoteProtocolError

NOWHERE: dict[str, str] = {}
WELCOME = json.dumps({"type": "join", "join": "K", "room": "r", "role": "own", "member": "M", "n": 0})
PATIENT = Retry(base_s=0.001, cap_s=0.01, first_s=30)
QUICK = Retry(base_s=0.001, cap_s=0.01, give_up_s=20)


@contextlib.asynccontextmanager
async def http_server(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer one connection after the other with fixed bytes; the last answer is for all that follow."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[min(len(requests), len(answers)) - 1])
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def websocket_server(serve_one: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async with serve(serve_one, "127.0.0.1", 0, ping_interval=None) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


def status(code: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Because", "Content-Length: 0", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("code", [200, 401, 403, 404, 410])
async def test_an_http_server_that_says_no_is_final(code: int) -> None:
    async with http_server(status(code)) as (port, requests):
        with pytest.raises(RefusedError, match=f"HTTP status {code}"):
            await open_room(
                f"http://127.0.0.1:{port}/", join="K", retry=Retry(first_s=30), environment=NOWHERE
            )
        assert len(requests) == 1


@pytest.mark.parametrize("code", [424, 429, 500, 502, 503])
async def test_an_http_server_that_says_later_is_asked_again(code: int) -> None:
    async with http_server(status(code), status(code), status(404)) as (port, requests):
        with pytest.raises(RefusedError, match="404"):
            await open_room(
                f"http://127.0.0.1:{port}/",
                join="K",
                retry=PATIENT,
                environment=NOWHERE,
            )
        assert len(requests) == 3


async def test_without_patience_later_is_an_error() -> None:
    async with http_server(status(503)) as (port, _):
        with pytest.raises(UnreachableError, match="503"):
            await open_room(f"http://127.0.0.1:{port}/", join="K", environment=NOWHERE)


async def test_what_is_no_http_is_unreachable() -> None:
    async with http_server(b"SSH-2.0-OpenSSH\r\n") as (port, _):
        with pytest.raises(UnreachableError):
            await open_room(f"http://127.0.0.1:{port}/", join="K", environment=NOWHERE)


async def test_a_redirect_to_another_server_gets_no_keys() -> None:
    async with (
        http_server(status(200)) as (elsewhere, requests),
        http_server(status(307, f"Location: ws://127.0.0.1:{elsewhere}/ws/spaces/defoult/")) as (port, _),
    ):
        with pytest.raises(RefusedError, match=f"redirects to 127.0.0.1:{elsewhere}"):
            await open_room(f"http://127.0.0.1:{port}/", join="K", environment=NOWHERE)
        assert requests == []


async def test_a_redirect_within_the_server_is_followed() -> None:
    async with http_server(status(307, "Location: /base/ws/spaces/defoult/"), status(404)) as (
        port,
        requests,
    ):
        with pytest.raises(RefusedError, match="404"):
            await open_room(f"http://127.0.0.1:{port}/", join="K", environment=NOWHERE)
        assert requests[1].startswith(b"GET /base/ws/spaces/defoult/ ")


async def test_headers_go_with_the_request() -> None:
    async with http_server(status(404)) as (port, requests):
        with pytest.raises(RefusedError):
            await open_room(
                f"http://127.0.0.1:{port}/",
                join="K",
                headers={"Authorization": "token hush"},
                environment=NOWHERE,
            )
        assert b"Authorization: token hush" in requests[0]


async def test_an_init_that_was_cut_is_not_repeated() -> None:
    greetings: list[str | bytes] = []

    async def cut(socket: ServerConnection) -> None:
        greetings.append(await socket.recv())
        socket.transport.abort()

    async with websocket_server(cut) as url:
        with pytest.raises(UnreachableError, match="a room may have been made"):
            await open_room(url, public_key="p", secret_key="s", retry=PATIENT, environment=NOWHERE)
    assert len(greetings) == 1


async def test_a_join_that_was_cut_is_repeated() -> None:
    greetings: list[str | bytes] = []

    async def cut_twice(socket: ServerConnection) -> None:
        greetings.append(await socket.recv())
        if len(greetings) < 3:
            socket.transport.abort()
            return
        await socket.send(WELCOME)
        await socket.wait_closed()

    async with websocket_server(cut_twice) as url:
        room = await open_room(url, join="K", retry=PATIENT, environment=NOWHERE)
        await room.close()
    assert len(greetings) == 3


@pytest.mark.parametrize("code", [4000, 4001, 1008])
async def test_a_join_that_is_closed_for_good_is_not_repeated(code: int) -> None:
    greetings: list[str | bytes] = []

    async def close(socket: ServerConnection) -> None:
        greetings.append(await socket.recv())
        await socket.close(code, "no more")

    async with websocket_server(close) as url:
        with pytest.raises(Exception, match="no more"):
            await open_room(url, join="K", retry=PATIENT, environment=NOWHERE)
    assert len(greetings) == 1


async def test_noise_in_the_place_of_frames_ends_the_room_with_a_reason() -> None:
    async def noise(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(WELCOME)
        await socket.send("\x00 this is no frame")
        await socket.wait_closed()

    async with websocket_server(noise) as url:
        room = await open_room(url, join="K", environment=NOWHERE)
        events = room.events()
        change = await anext(events)
        assert isinstance(change, StateChange)
        assert change.state is State.CLOSED
        assert "no JSON" in change.reason
        await room.close()


async def changed(events: AsyncIterator[Event], state: State) -> None:
    async for event in events:
        if isinstance(event, StateChange) and event.state is state:
            return
    raise AssertionError("the events ended")


class Silence:
    """A server that welcomes, and then neither sends, answers pings, nor closes, until ``speak`` is set."""

    def __init__(self) -> None:
        self.connections = 0
        self.pongs = 0
        self.speak = asyncio.Event()

    async def serve_one(self, socket: ServerConnection) -> None:
        self.connections += 1
        await socket.recv()
        await socket.send(WELCOME)
        if self.connections == 1:
            # Nothing is read any more, so no pong goes out either.
            socket.transport.pause_reading()
            await self.speak.wait()
            socket.transport.resume_reading()
        await socket.wait_closed()


async def test_a_socket_without_a_sign_of_life_is_given_up() -> None:
    silence = Silence()
    async with websocket_server(silence.serve_one) as url:
        room = await open_room(
            url, join="K", retry=QUICK, heartbeat=Heartbeat(every_s=0.05, deadline_s=0.1), environment=NOWHERE
        )
        events = room.events()
        async with asyncio.timeout(10):
            await changed(events, State.RECONNECTING)
            await changed(events, State.CONNECTED)
        assert silence.connections == 2
        silence.speak.set()
        await room.close()


async def test_a_socket_that_answers_pings_is_kept() -> None:
    pings = 0
    enough = asyncio.Event()

    async def count(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(WELCOME)
        original = socket.protocol.receive_data

        def watch(data: bytes | bytearray) -> None:
            nonlocal pings
            pings += data[0] & 0x0F == 0x9
            if pings == 5:
                enough.set()
            original(data)

        socket.protocol.receive_data = watch  # type: ignore[method-assign]
        await socket.wait_closed()

    async with websocket_server(count) as url:
        room = await open_room(
            url, join="K", heartbeat=Heartbeat(every_s=0.01, deadline_s=5), environment=NOWHERE
        )
        async with asyncio.timeout(10):
            await enough.wait()
        assert room.state is State.CONNECTED
        await room.close()


async def test_a_server_that_never_answers_a_greeting_loses_its_client() -> None:
    async def mute(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with websocket_server(mute) as url:
        with pytest.raises(UnreachableError, match="no answer to the greeting"):
            await open_room(url, public_key="p", secret_key="s", answer_s=0.1, environment=NOWHERE)


async def test_while_nobody_reads_pongs_go_out_unasked() -> None:
    """The server's pings are behind output that is not read; see embedenv_jupyter/client/link.py."""
    pongs = 0
    enough = asyncio.Event()

    async def flood(socket: ServerConnection) -> None:
        nonlocal pongs
        original = socket.protocol.receive_data

        def watch(data: bytes | bytearray) -> None:
            nonlocal pongs
            pongs += data[0] & 0x0F == 0xA
            if pongs == 3:
                enough.set()
            original(data)

        await socket.recv()
        socket.protocol.receive_data = watch  # type: ignore[method-assign]
        await socket.send(WELCOME)
        await socket.send(
            json.dumps({"type": "event", "event": "run", "run": "r1", "command": "yes", "n": 1})
        )
        request = json.loads(await socket.recv())
        await socket.send(json.dumps({"type": "done", "id": request["id"], "run": "r1"}))
        for n in range(2, 2_000):
            await socket.send(
                json.dumps({"type": "terminal-data", "data": "y" * 10_000, "run": "r1", "n": n})
            )
        await socket.wait_closed()

    async with websocket_server(flood) as url:
        buffering = Buffering(soft_bytes=1000, hard_bytes=2000)
        heartbeat = Heartbeat(every_s=0.02, deadline_s=0.02)
        room = await open_room(
            url, join="K", buffering=buffering, heartbeat=heartbeat, answer_s=5, environment=NOWHERE
        )
        with room.watch() as runs:
            run = await anext(runs)
            asking = asyncio.create_task(room.files.write("a", "b"))
            async with asyncio.timeout(10):
                await enough.wait()
            assert room.state is State.CONNECTED
            run.discard()
            await asking
        await room.close()


async def test_a_message_beyond_all_bounds_ends_the_room_with_a_reason() -> None:
    async def boast(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(WELCOME)
        await socket.send("x" * (MAX_FRAME_BYTES + 1))
        await socket.wait_closed()

    async with websocket_server(boast) as url:
        room = await open_room(url, join="K", environment=NOWHERE)
        with pytest.raises(RemoteProtocolError, match="cannot be taken"):
            await room.files.list()
        await room.close()


async def test_connections_that_bring_nothing_forward_do_not_go_on_for_ever() -> None:
    connections = 0

    async def hang_up(socket: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await socket.recv()
        await socket.send(WELCOME)
        await socket.send(json.dumps({"type": "error", "message": "overloaded"}))
        await socket.close(1013, "later")

    async with websocket_server(hang_up) as url:
        retry = Retry(base_s=0.01, cap_s=0.05, give_up_s=0.5)
        room = await open_room(url, join="K", retry=retry, environment=NOWHERE)
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionLostError, match="1013"):
                await room.files.list()
        await room.close()
    assert connections < 60


async def test_a_command_that_is_too_big_fails_and_the_room_goes_on() -> None:
    async def small(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(WELCOME)
        async for message in socket:
            await socket.send(json.dumps({"type": "done", "id": json.loads(message)["id"]}))

    async with serve(small, "127.0.0.1", 0, max_size=10_000) as server:
        url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        room = await open_room(url, join="K", retry=QUICK, environment=NOWHERE)
        with pytest.raises(RefusedError, match="1009"):
            await room.files.write("big", "x" * 20_000)
        await room.files.write("small", "x")
        await room.close()
