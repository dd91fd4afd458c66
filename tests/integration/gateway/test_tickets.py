"""Tickets, as a page of JupyterLab gets them and says them to the published protocols."""

from __future__ import annotations

import json
from typing import Any

import pytest
import websockets
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from embedenv_jupyter.snippets import conversation
from tests.integration.conftest import DEADLINE_S, Peer, Served

HELLO = {"action": "execute", "language": "python", "code": "print('hi')"}


async def post(served: Served, path: str, body: Any = None, **headers: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        f"{served.http_url}{path}", method="POST", body=json.dumps(body or {}),
        headers=headers, raise_error=False, request_timeout=DEADLINE_S,
    )  # fmt: skip


@pytest.fixture
def login(jp_serverapp: Any) -> str:
    return f"token {jp_serverapp.identity_provider.token}"


@pytest.fixture
async def ticket(served: Served, login: str) -> str:
    answer = await post(served, "embedenv/api/tickets", Authorization=login)
    assert (answer.code, answer.headers["Cache-Control"]) == (201, "no-store")
    return str(json.loads(answer.body)["ticket"])


async def test_a_ticket_lets_one_engine_connection_in_for_all_it_runs(served: Served, ticket: str) -> None:
    url = f"ws://{served.host}{served.base_url}ws"
    async with websockets.connect(url) as socket, websockets.connect(url) as other:
        first, second = Peer(socket), Peer(other)
        await first.send(action="auth", api_key=ticket)
        assert await first.receive() == {"type": "authenticated"}
        for _ in range(2):
            await first.send(**HELLO, api_key=ticket)
            assert (await first.receive())["stdout"] == "hi\n"
        await second.send(action="auth", api_key=ticket)
        assert (await second.receive())["error"] == "unauthorized"
    assert (await served.gateway.accounts.balance(LOCAL_ACCOUNT.id)).total is None


async def test_a_connection_outlives_the_moment_in_which_its_ticket_was_looked_up(
    served: Served, ticket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "RECHECK_S", 0.0)
    async with websockets.connect(f"ws://{served.host}{served.base_url}ws") as socket:
        peer = Peer(socket)
        await peer.send(action="auth", api_key=ticket)
        assert await peer.receive() == {"type": "authenticated"}
        await peer.send(**HELLO, api_key=ticket)
        assert (await peer.receive())["stdout"] == "hi\n"


async def test_a_ticket_opens_one_space(served: Served, ticket: str) -> None:
    hello = {"type": "init", "public_key": "ticket", "secret_key": ticket}
    async with (
        websockets.connect(served.spaces_url) as socket,
        websockets.connect(served.spaces_url) as other,
    ):
        first, second = Peer(socket), Peer(other)
        await first.send(**hello)
        assert (await first.receive())["type"] == "init"
        (room,) = served.gateway.rooms
        assert room.account == LOCAL_ACCOUNT.id
        await second.send(**hello)
        assert (await second.receive())["type"] == "error"


async def test_a_ticket_pays_one_request_of_rest(served: Served, ticket: str) -> None:
    answers = [
        await post(served, "api/v1/execute", {**HELLO}, Authorization=f"Bearer {ticket}") for _ in range(2)
    ]
    assert [answer.code for answer in answers] == [200, 401]


async def test_a_ticket_is_no_key_of_our_own_routes(served: Served, ticket: str) -> None:
    answer = await post(served, "embedenv/api/rooms", Authorization=f"Bearer {ticket}")
    assert answer.code == 401


async def test_only_a_login_gets_a_ticket(served: Served) -> None:
    key = (await served.gateway.accounts.create_key("Ada", credits=5)).api_key
    nobody = await post(served, "embedenv/api/tickets")
    with_key = await post(served, "embedenv/api/tickets", Authorization=f"Bearer {key}")
    assert (nobody.code, with_key.code) == (403, 403)


async def test_a_foreign_page_gets_no_ticket(served: Served, jp_serverapp: Any) -> None:
    """A browser sends cookies along for whoever asks; without the XSRF token they do not count."""
    token = jp_serverapp.identity_provider.token
    page = await AsyncHTTPClient().fetch(
        f"{served.http_url}api/status?token={token}", raise_error=False, follow_redirects=False
    )
    cookies = "; ".join(cookie.partition(";")[0] for cookie in page.headers.get_list("Set-Cookie"))
    assert cookies, "the login left a cookie"
    answer = await post(served, "embedenv/api/tickets", Cookie=cookies)
    assert answer.code == 403
