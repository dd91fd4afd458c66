"""The connection below the kernel: where it leads, when it is given up, and when it is asked for life."""

from __future__ import annotations

import http
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from embedenv_jupyter.client.backoff import Retry
from embedenv_jupyter.forwarder import engine_client
from embedenv_jupyter.forwarder.engine_client import (
    EngineClient,
    GatewayRefusedError,
    Settings,
    UnreachableError,
)
from tests.integration.forwarder.engine.conftest import API_KEY
from tests.integration.forwarder.engine_peer import EnginePeer

QUICK = Retry(base_s=0.01, cap_s=0.05, give_up_s=0.2, first_s=0.2)


def client_of(url: str, said: list[str] | None = None, **settings: Any) -> EngineClient:
    environment = {"EMBEDENV_URL": url, "EMBEDENV_API_KEY": API_KEY, **settings}
    say = (said if said is not None else []).append
    return EngineClient(Settings.from_environment(environment), say, retry=QUICK)


async def test_nobody_at_the_address_is_said_once_and_given_up(peer: EnginePeer) -> None:
    await peer.vanish()
    said: list[str] = []
    with pytest.raises(UnreachableError, match=r"/ws cannot be reached .*Check EMBEDENV_URL"):
        await client_of(peer.url, said).execute("python", "1")
    assert [text for text in said if "is not there" in text] == said and len(said) == 1


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [(401, GatewayRefusedError, "set EMBEDENV_API_KEY"), (404, UnreachableError, "Check EMBEDENV_URL")],
)
async def test_a_server_that_takes_no_socket_is_no_engine(
    status: int, error: type[Exception], told: str
) -> None:
    def refuse(socket: ServerConnection, _request: Request) -> Response:
        return socket.respond(http.HTTPStatus(status), "no\n")

    async def never(_socket: ServerConnection) -> None:
        raise AssertionError

    async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(error, match=told):
            await client_of(url).execute("python", "1")


async def test_an_idle_connection_is_asked_for_life_before_a_cell_is_sent(
    peer: EnginePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_client, "_IDLE_S", 0.0)
    client = client_of(peer.url)
    for number in range(3):
        assert (await client.execute("python", f"print({number})")).stdout == f"{number}\n"
    assert peer.connections == 1
    await client.aclose()
    await client.aclose()


async def test_a_connection_that_no_longer_responds_is_replaced_before_a_cell_is_sent(
    peer: EnginePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(peer.url)
    await client.execute("bash", "true")
    monkeypatch.setattr(engine_client, "_IDLE_S", 0.0)
    monkeypatch.setattr(engine_client, "_IDLE_PONG_S", 0.1)
    (old,) = list(peer.sockets)
    old.transport.pause_reading()
    assert (await client.execute("bash", "echo $((1+1))")).stdout == "2\n"
    assert peer.connections == 2 and len(peer.requests) == 2
    await client.aclose()


async def test_a_silent_peer_that_does_not_respond_is_given_up_long_before_the_deadline(
    peer: EnginePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_client, "_PING_EVERY_S", 0.1)
    monkeypatch.setattr(engine_client, "_PONG_S", 0.1)

    async def freeze(socket: ServerConnection, _request: dict[str, Any]) -> None:
        socket.transport.pause_reading()
        await socket.wait_closed()

    peer.conduct = freeze
    with pytest.raises(engine_client.ConnectionCutError, match="does not respond any more"):
        await client_of(peer.url).execute("bash", "true")


async def test_a_slow_cell_outlives_the_pings(peer: EnginePeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_client, "_PING_EVERY_S", 0.05)
    client = client_of(peer.url)
    assert (await client.execute("bash", "sleep 0.5; echo done")).stdout == "done\n"
    await client.aclose()


def test_the_settings_show_no_key() -> None:
    settings = Settings.from_environment({"EMBEDENV_URL": "host.example", "EMBEDENV_API_KEY": API_KEY})
    assert API_KEY not in repr(settings) and settings.endpoint.url == "wss://host.example/ws"
