"""Several users of one server run cells of one notebook: the room knows who it was, whatever they say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

import pytest
import websockets
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.kernels.authors import Login
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.rooms.events import RunStarted
from embedenv_jupyter.rooms.members import Role
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import DEADLINE_S, Api, KernelPeer

Fetch = Callable[..., Awaitable[Any]]

REFUSED = ("error", "To use a kernel needs the role 'run'; yours is 'view'.")


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


@pytest.fixture
def api(served: Served, jp_serverapp: Any) -> Api:
    return Api(served, f"token {jp_serverapp.identity_provider.token}")


@dataclass
class User:
    """A browser in which somebody has logged in to the Jupyter server."""

    served: Served
    cookies: str
    username: str
    name: str
    stack: AsyncExitStack

    async def kernel(self, id: str) -> KernelPeer:
        """Open the server's own socket to a kernel."""
        return KernelPeer(await self.socket(id, protocol.V1))

    async def socket(self, id: str, subprotocol: str | None) -> websockets.ClientConnection:
        url = f"ws://{self.served.host}{self.served.base_url}api/kernels/{id}/channels"
        return await self._dial(url, None if subprotocol is None else [websockets.Subprotocol(subprotocol)])

    async def enter(self, room: str, user: str) -> dict[str, Any]:
        """Come into a room as a member; returns who that is."""
        url = f"ws://{self.served.host}{self.served.base_url}embedenv/rooms/{room}/events"
        socket = await self._dial(url, None)
        await socket.send(json.dumps({"type": "hello", "user": user, "color": "#e11d48"}))
        member: dict[str, Any] = json.loads(await socket.recv())["member"]
        return member

    async def _dial(self, url: str, subprotocols: Any) -> websockets.ClientConnection:
        origin = websockets.Origin(f"http://{self.served.host}")
        connection = websockets.connect(
            url, subprotocols=subprotocols, max_size=None, origin=origin,
            additional_headers={"Cookie": self.cookies},
        )  # fmt: skip
        return await self.stack.enter_async_context(connection)


LogIn = Callable[[], Awaitable[User]]


@pytest.fixture
async def log_in(served: Served, jp_serverapp: Any) -> AsyncIterator[LogIn]:
    async with AsyncExitStack() as stack:

        async def made() -> User:
            token = jp_serverapp.identity_provider.token
            answer = await AsyncHTTPClient().fetch(HTTPRequest(f"{served.http_url}api/me?token={token}"))
            cookies = SimpleCookie()
            for header in answer.headers.get_list("Set-Cookie"):
                cookies.load(header)
            identity = json.loads(answer.body)["identity"]
            sent = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
            return User(served, sent, identity["username"], identity["display_name"], stack)

        yield made


async def started(jp_fetch: Fetch, room: str) -> str:
    body = json.dumps({"name": f"embedenv-room-{room}"})
    return str(json.loads((await jp_fetch("api", "kernels", method="POST", body=body)).body)["id"])


async def test_the_room_knows_who_ran_a_cell_whatever_they_say(
    served: Served, jp_fetch: Fetch, api: Api, log_in: LogIn
) -> None:
    room = (await api("POST", "api/rooms", {"name": "lesson"})).body["id"]
    kernel = await started(jp_fetch, room)
    ada, eve = await log_in(), await log_in()
    assert ada.username != eve.username
    member = await ada.enter(room, "Ada")
    hers, theirs = await ada.kernel(kernel), await eve.kernel(kernel)

    await hers.run("1", cell="cell-1")
    await hers.run("2", cell="cell-2")
    # Eve says that she is Ada, in each way that a message has.
    theirs.session, theirs.username = hers.session, "Ada"
    await theirs.run("3", cell="cell-2")

    answer = await api("GET", f"rooms/{room}/api/kernels/{kernel}/authors")
    assert answer.status == 200
    shown = {each["cell"]: (each["user"], each["member"], each["color"]) for each in answer.body}
    assert shown["cell-1"] == ("Ada", member["id"], "#e11d48")
    assert shown["cell-2"][:2] == (eve.name, "")

    log = served.gateway.rooms.find(room).log  # type: ignore[union-attr]  # it is there
    async with log.watch(0) as watcher:
        events = [record.event for record in await watcher.read()]  # type: ignore[union-attr]  # no gap
    runs = [event for event in events if isinstance(event, RunStarted)]
    assert [(run.user, run.kernel, run.cell) for run in runs] == [
        ("Ada", kernel, "cell-1"), ("Ada", kernel, "cell-2"), (eve.name, kernel, "cell-2"),
    ]  # fmt: skip
    await jp_fetch("api", "kernels", kernel, method="DELETE")
    assert not served.gateway.senders.watches(kernel)


def only_look(served: Served, room: str, member: dict[str, Any]) -> None:
    found = served.gateway.rooms.find(room)
    assert found is not None
    mine = found.members.find(member["id"])
    assert mine is not None
    found.people.set_role(mine, Role.VIEW, "Bob")


async def test_who_may_only_look_runs_nothing_by_the_servers_own_socket(
    served: Served, jp_fetch: Fetch, api: Api, log_in: LogIn
) -> None:
    room = (await api("POST", "api/rooms", {"name": "lesson"})).body["id"]
    kernel = await started(jp_fetch, room)
    ada = await log_in()
    member = await ada.enter(room, "Ada")
    peer = await ada.kernel(kernel)
    _, reply, _ = await peer.run("x = 6 * 7")
    assert reply["status"] == "ok"
    only_look(served, room, member)
    _, reply, _ = await peer.run("print(x)")
    assert (reply["status"], reply["evalue"]) == REFUSED
    await jp_fetch("api", "kernels", kernel, method="DELETE")


@pytest.mark.parametrize("subprotocol", [protocol.V1, None])
async def test_no_trick_of_a_message_hides_who_sent_it(
    served: Served, jp_fetch: Fetch, api: Api, log_in: LogIn, subprotocol: str | None
) -> None:
    room = (await api("POST", "api/rooms", {"name": "lesson"})).body["id"]
    kernel = await started(jp_fetch, room)
    ada, eve = await log_in(), await log_in()
    hers = await ada.kernel(kernel)
    assert (await hers.run("stolen = False"))[1]["status"] == "ok"
    only_look(served, room, await eve.enter(room, "Eve"))
    socket = await eve.socket(kernel, subprotocol)
    # The same id twice, an empty one, and content that not every reader of JSON takes.
    for msg_id, extra in (("twice", ""), ("twice", ""), ("", ""), ("strange", r', "x": "\udc80"')):
        await socket.send(request_frame(msg_id, "stolen = True", extra, subprotocol))
    await refusals(socket, 4)
    assert (await hers.run("print(stolen)"))[0] == "False\n"
    await jp_fetch("api", "kernels", kernel, method="DELETE")


def request_frame(msg_id: str, code: str, extra: str, subprotocol: str | None) -> str | bytes:
    """Make an ``execute_request`` in one of Jupyter's two protocols, by hand where one has to be odd."""
    header = json.dumps(
        {
            "msg_id": msg_id, "msg_type": "execute_request", "session": "s", "username": "Ada",
            "date": "2026-01-01T00:00:00Z", "version": "5.4",
        }
    )  # fmt: skip
    content = f'{{"code": {json.dumps(code)}{extra}}}'
    if subprotocol is None:
        return (
            f'{{"channel": "shell", "header": {header}, "parent_header": {{}}, "metadata": {{}},'
            f' "content": {content}, "buffers": []}}'
        )
    parts = tuple(part.encode() for part in (header, "{}", "{}", content))
    return protocol.encode(protocol.Message("shell", parts))


async def refusals(socket: websockets.ClientConnection, count: int) -> None:
    """Wait until everybody was told of so many requests that they were refused for the role."""
    async with asyncio.timeout(DEADLINE_S):
        while count:
            frame = await socket.recv()
            text = frame if isinstance(frame, str) else frame.decode("latin-1")
            count -= "iopub" in text and REFUSED[1] in text


async def test_an_id_that_somebody_else_waits_with_is_not_taken(
    served: Served, jp_fetch: Fetch, api: Api, log_in: LogIn
) -> None:
    room = (await api("POST", "api/rooms", {"name": "lesson"})).body["id"]
    kernel = await started(jp_fetch, room)
    eve = await log_in()
    served.gateway.senders.sent(kernel, "hers", Login("ada", "Ada", "#e11d48"))
    socket = await eve.socket(kernel, protocol.V1)
    await socket.send(request_frame("hers", "print(1)", "", protocol.V1))
    async with asyncio.timeout(DEADLINE_S):
        await socket.wait_closed()
    assert socket.close_code == CloseCode.POLICY_VIOLATION
    assert "'hers'" in (socket.close_reason or "")
    await jp_fetch("api", "kernels", kernel, method="DELETE")
