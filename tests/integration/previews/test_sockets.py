"""WebSockets through a preview."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets

from tests.integration.previews.conftest import PORT, Shown


async def test_both_ways_with_a_subprotocol(shown: Shown) -> None:
    options = {"subprotocols": ["other", "chat"], "origin": "null", "max_size": None}
    async with asyncio.timeout(60), websockets.connect(shown.socket_url, **options) as socket:  # type: ignore[arg-type]
        assert socket.subprotocol == "chat"
        for message in ("text ü", b"\x00\xff", "", b"x" * (3 << 20)):
            await socket.send(message)
            assert await socket.recv() == message


async def test_nothing_of_the_visitor_reaches_the_program(shown: Shown) -> None:
    sent = {"Cookie": "jupyter=secret", "Authorization": "token secret", "X-Custom": "kept"}
    url = shown.socket_url + "?token=secret"
    async with asyncio.timeout(60), websockets.connect(url, additional_headers=sent, origin="null") as socket:  # type: ignore[arg-type]
        await socket.send("headers")
        text = await socket.recv()
    assert isinstance(text, str) and "secret" not in text
    headers = dict(json.loads(text))
    assert headers["Host"] == f"localhost:{PORT}" and headers["X-Custom"] == "kept"
    assert headers["Origin"] == f"http://localhost:{PORT}"


async def test_close_of_the_program_comes_through(shown: Shown) -> None:
    async with asyncio.timeout(60), websockets.connect(shown.socket_url) as socket:
        await socket.send("close")
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (4321, "as asked")


async def test_slow_browser_gets_everything(shown: Shown) -> None:
    async with asyncio.timeout(60), websockets.connect(shown.socket_url, max_queue=1) as socket:
        await socket.send("flood")
        for _ in range(400):
            assert len(await socket.recv()) == 65536
        await socket.send("still here")
        assert await socket.recv() == "still here"


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [("api/x", "null", 200), ("nowhere", "null", 404), ("ws", "http://evil", 403)],
)
async def test_refusal_of_the_program_is_passed_on(shown: Shown, path: str, origin: str, status: int) -> None:
    url = shown.socket_url.removesuffix("ws") + path
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url, origin=origin)  # type: ignore[arg-type]
    assert refused.value.response.status_code == (502 if status == 200 else status)


async def test_nothing_listens(shown: Shown) -> None:
    shown.path = await shown.make(port=5999)
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(shown.socket_url)
    assert refused.value.response.status_code == 502


async def test_end_of_the_preview_closes(shown: Shown) -> None:
    async with asyncio.timeout(60), websockets.connect(shown.socket_url) as socket:
        await shown.api("DELETE", f"{shown.rest}/previews/{shown.previews[0]['capability']}")
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1001


async def test_broken_handshake_leaves_nothing_open(shown: Shown) -> None:
    head = f"GET {shown.path}ws HTTP/1.1\r\nHost: {shown.served.host}\r\nUpgrade: websocket\r\n"
    answer = await shown.raw(f"{head}Connection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400")
    async with asyncio.timeout(60):
        while any(task.get_name() == "leave a preview" for task in asyncio.all_tasks()):
            await asyncio.sleep(0.02)
    script = "print(sum(line.split()[3] == '01' for line in open('/proc/net/tcp').readlines()[1:]))"
    process = await shown.room.sandbox.spawn(["python3", "-c", script])
    assert process.stdout is not None
    assert (await process.stdout.read()).strip() == b"0", "no connection of the room is established"
    process.close()
