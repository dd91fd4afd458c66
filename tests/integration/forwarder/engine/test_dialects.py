"""Which dialect a gateway speaks, asked of real servers."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from embedenv_jupyter.errors import ConnectionLostError
from embedenv_jupyter.forwarder import dialects
from embedenv_jupyter.forwarder.dialects import dialect_of
from tests.integration.conftest import Served
from tests.integration.forwarder.engine_peer import EnginePeer


async def test_a_gateway_of_ours_has_rooms(served: Served) -> None:
    assert await dialect_of(served.http_url) == "rooms"
    assert await dialect_of(f"ws://{served.host}{served.base_url}ws") == "rooms"
    assert await dialect_of(f"{served.http_url}lab?token=secret") == "rooms"


async def test_an_engine_peer_speaks_engine(peer: EnginePeer) -> None:
    assert await dialect_of(peer.url) == "engine"
    assert peer.connections == 0


@contextlib.contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """Serve one answer to everything; yields the address and what was asked."""
    asked: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, dict(self.headers)))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/base/", asked
        finally:
            server.shutdown()
            thread.join()


OURS = json.dumps({"status": "ok", "version": "1", "tier": "ns"}).encode()
FULL = json.dumps({"status": "unavailable", "reason": "no tier works"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "dialect"),
    [
        (200, OURS, "rooms"),
        (503, FULL, "rooms"),
        (200, b'{"status": "healthy"}', "engine"),
        (200, b'{"status": "ok"}', "engine"),
        (200, b"<html>all is well</html>", "engine"),
        (200, b"[" * 100_000, "engine"),
        (200, b"\xff\xfe", "engine"),
        (404, b"", "engine"),
        (500, b"", "engine"),
        (302, b"", "engine"),
    ],
)
async def test_only_our_own_health_page_means_rooms(status: int, body: bytes, dialect: str) -> None:
    with answering(status, body, Location="http://127.0.0.1:1/") as (url, asked):
        assert await dialect_of(url + "?token=secret") == dialect
    ((path, headers),) = asked
    assert path == "/base/embedenv/health"
    assert not {name.lower() for name in headers} & {"authorization", "cookie"}


@pytest.mark.parametrize("status", [424, 429, 502, 503, 504])
async def test_an_answer_that_says_later_decides_nothing(status: int) -> None:
    with answering(status, b"starting") as (url, _), pytest.raises(ConnectionLostError, match=str(status)):
        await dialect_of(url)


async def test_nobody_decides_nothing(peer: EnginePeer) -> None:
    await peer.vanish()
    with pytest.raises(ConnectionLostError, match="cannot be reached"):
        await dialect_of(peer.url)


async def test_somebody_who_never_answers_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "TIMEOUT_S", 0.2)
    left = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        with pytest.raises(ConnectionLostError):
            await dialect_of(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(10):
            await left.wait()
