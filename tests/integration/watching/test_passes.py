"""Browsers that come in by a join key: what their pass lets them do, on every route, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import websockets

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols import kernels as protocol
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import Api, KernelPeer
from tests.integration.watching.conftest import Browser, KeyFor, Open, Watch, rest_of

NewBrowser = Callable[..., Browser]


def kernel_socket(served: Served, browser: Browser, room: dict[str, Any]) -> websockets.connect:
    url = f"ws://{served.host}{served.base_url}embedenv/rooms/{room['id']}/api/kernels/{room['kernel']['id']}/channels"
    return websockets.connect(
        url, subprotocols=[websockets.Subprotocol(protocol.V1)], additional_headers=browser.headers
    )


async def test_a_pass_is_a_cookie_that_no_script_and_no_other_site_sees(
    served: Served, browser: NewBrowser, open_room: Open
) -> None:
    room, guest = await open_room(name="lesson"), browser()
    joined = await guest.join(room["join"])
    assert (joined["id"], joined["role"], joined["name"]) == (room["id"], "edit", "lesson")
    assert guest.last is not None
    (cookie,) = [line for line in guest.last.headers.get_list("Set-Cookie") if "embedenv-pass" in line]
    name, _, rest = cookie.partition("=")
    assert name == f"embedenv-pass-{room['id']}"
    assert "HttpOnly" in rest and "SameSite=Strict" in rest and f"Path={served.base_url}embedenv/" in rest
    assert "Secure" not in rest, "this server speaks http"
    assert room["join"] not in cookie and len(guest.cookies[name]) >= 43


async def test_who_came_in_by_a_key_is_what_it_says_although_the_login_would_make_them_owner(
    api: Api, browser: NewBrowser, open_room: Open, key_for: KeyFor, watch: Watch
) -> None:
    room = await open_room()
    both = browser(api.authorization)
    assert (await both("GET", f"api/rooms/{room['id']}")).body["role"] == "own"
    await both.join(await key_for(room, "view"))
    assert (await both("GET", f"api/rooms/{room['id']}")).body["role"] == "view"
    (listed,) = (await both("GET", "api/rooms")).body
    assert listed["role"] == "view"
    for method, path, body in [
        ("DELETE", f"api/rooms/{room['id']}", None), ("GET", f"api/rooms/{room['id']}/keys", None),
        ("GET", f"api/rooms/{room['id']}/snapshot", None), ("POST", f"api/rooms/{room['id']}/pause", {}),
        ("POST", f"api/rooms/{room['id']}/fork", {}), ("PATCH", f"api/rooms/{room['id']}", {"name": "x"}),
        ("POST", f"rooms/{room['id']}/api/kernels", {}),
    ]:  # fmt: skip
        answer = await both(method, path, body)
        assert (answer.status, answer.body["reason"]) == (403, "RoleError"), path
    events = await watch(f"rooms/{room['id']}/events", both)
    assert (await events.hello())["member"]["role"] == "view"
    assert (await both("DELETE", f"api/join/{room['id']}")).status == 204
    assert (await both("GET", f"api/rooms/{room['id']}")).body["role"] == "own"


async def test_a_viewers_pass_runs_no_cells_through_the_channels_of_a_kernel(
    served: Served, browser: NewBrowser, open_room: Open, key_for: KeyFor, api: Api
) -> None:
    room = await open_room(kernel=True)
    guest = browser(api.authorization)
    await guest.join(await key_for(room, "view"), user="Bob")
    async with kernel_socket(served, guest, room) as socket:
        peer = KernelPeer(socket)
        id = await peer.execute("open('was-here', 'w')")
        (*_, reply) = await peer.until("execute_reply", id)
        assert (reply.content["status"], reply.content["ename"]) == ("error", "RoleError")
        member = (await api("GET", f"api/rooms/{room['id']}")).body["members"]
        assert [(found["user"], found["role"]) for found in member] == [("Bob", "view")]
    other = browser()
    await other.join(await key_for(room, "run"))
    async with kernel_socket(served, other, room) as socket:
        text, _, _ = await KernelPeer(socket).run("import os; print(os.path.exists('was-here'))")
        assert text == "False\n"


async def test_one_pass_is_one_member_wherever_it_comes_in(
    served: Served, browser: NewBrowser, open_room: Open, key_for: KeyFor, watch: Watch, api: Api
) -> None:
    room = await open_room(kernel=True)
    guest = browser()
    await guest.join(await key_for(room, "run"), user="Bob", color="#00ff00")
    events = await watch(f"rooms/{room['id']}/events", guest)
    member = (await events.hello(user="Bobby"))["member"]
    assert (member["user"], member["color"]) == ("Bobby", "#00ff00")
    async with kernel_socket(served, guest, room) as socket:
        await KernelPeer(socket).run("1")
        assert (await api("GET", f"api/rooms/{room['id']}")).body["members"] == [member]
        started = await events.until(event="run-started")
        assert (started["user"], started["member"], started["kind"]) == ("Bobby", member["id"], "cell")


async def test_a_revoked_key_puts_its_people_out_everywhere(
    served: Served, browser: NewBrowser, open_room: Open, key_for: KeyFor, watch: Watch, api: Api
) -> None:
    room = await open_room(kernel=True)
    key = await key_for(room, "edit")
    guest = browser()
    await guest.join(key)
    events, rooms = await watch(f"rooms/{room['id']}/events", guest), await watch("rooms/events", guest)
    await events.hello()
    assert [found["id"] for found in (await rooms.until(type="rooms"))["rooms"]] == [room["id"]]
    async with kernel_socket(served, guest, room) as socket:
        await KernelPeer(socket).run("1")
        assert (await api("DELETE", f"api/rooms/{room['id']}/keys/{key}")).status == 204
        await rest_of(socket)
        assert socket.close_code == CloseCode.REVOKED
    assert await events.parted() == (CloseCode.REVOKED, "your join key was revoked")
    while (await rooms.until(type="rooms"))["rooms"]:
        pass
    assert (await guest("GET", f"api/rooms/{room['id']}")).status == 401
    again = await watch(f"rooms/{room['id']}/events", guest)
    code, reason = await again.parted()
    assert code == CloseCode.REVOKED and "join key" in reason


async def test_an_expired_key_puts_its_people_out(
    browser: NewBrowser, open_room: Open, key_for: KeyFor, watch: Watch, api: Api
) -> None:
    room = await open_room()
    key = await key_for(room, "run", expires_s=2)
    guest = browser()
    await guest.join(key)
    assert guest.last is not None
    assert any("Max-Age=" in line for line in guest.last.headers.get_list("Set-Cookie"))
    events = await watch(f"rooms/{room['id']}/events", guest)
    await events.hello()
    assert await events.parted() == (CloseCode.REVOKED, "your join key has expired")
    assert (await guest("GET", f"api/rooms/{room['id']}")).status == 401
    assert key not in {found["join"] for found in (await api("GET", f"api/rooms/{room['id']}/keys")).body}


async def test_a_rotated_key_is_void_and_the_new_one_has_its_role(
    browser: NewBrowser, open_room: Open, key_for: KeyFor, api: Api
) -> None:
    room = await open_room()
    guest = browser()
    await guest.join(room["join"])
    answer = await api("POST", f"api/rooms/{room['id']}/keys/{room['join']}/rotate")
    assert (answer.status, answer.body["role"]) == (201, "edit")
    assert (await guest("GET", f"api/rooms/{room['id']}")).status == 401
    assert (await guest("POST", "api/join", {"join": room["join"]})).status == 401
    assert (await guest.join(answer.body["join"]))["role"] == "edit"
    missing = await api("POST", f"api/rooms/{room['id']}/keys/{room['join']}/rotate")
    assert (missing.status, missing.body["reason"]) == (404, "UnknownKey")


async def test_a_changed_role_counts_on_open_connections_and_for_the_pass(
    served: Served, browser: NewBrowser, open_room: Open, key_for: KeyFor, watch: Watch, api: Api
) -> None:
    room = await open_room(kernel=True)
    guest = browser()
    await guest.join(await key_for(room, "run"), user="Bob")
    events = await watch(f"rooms/{room['id']}/events", guest)
    member = (await events.hello())["member"]
    path = f"api/rooms/{room['id']}/members/{member['id']}"
    async with kernel_socket(served, guest, room) as socket:
        peer = KernelPeer(socket)
        assert (await peer.run("print(1)"))[0] == "1\n"
        answer = await api("PATCH", path, {"role": "view"})
        assert (answer.status, answer.body["role"]) == (200, "view")
        told = await events.until(event="role")
        assert (told["member"], told["role"], told["user"]) == (member["id"], "view", "Bob")
        id = await peer.execute("print(2)")
        (*_, reply) = await peer.until("execute_reply", id)
        assert reply.content["ename"] == "RoleError"
    assert (await guest("POST", f"rooms/{room['id']}/api/kernels", {})).status == 403
    assert (await guest("PATCH", path, {"role": "edit"})).body["reason"] == "RoleError"
    assert (await api("PATCH", path, {"role": "own"})).status == 400
    assert (await api("PATCH", f"api/rooms/{room['id']}/members/00", {"role": "run"})).status == 404
    owner = await watch(f"rooms/{room['id']}/events")
    own = (await owner.hello())["member"]
    refused = await api("PATCH", f"api/rooms/{room['id']}/members/{own['id']}", {"role": "view"})
    assert (refused.status, refused.body["reason"]) == (409, "OwnerRole")


async def test_who_leaves_gives_the_pass_back_and_is_put_out(
    browser: NewBrowser, open_room: Open, watch: Watch
) -> None:
    room, guest = await open_room(), browser()
    await guest.join(room["join"])
    secret = guest.cookies[f"embedenv-pass-{room['id']}"]
    events = await watch(f"rooms/{room['id']}/events", guest)
    await events.hello()
    assert (await guest("DELETE", f"api/join/{room['id']}")).status == 204
    assert await events.parted() == (CloseCode.REVOKED, "you have left the room")
    assert f"embedenv-pass-{room['id']}" not in guest.cookies
    guest.cookies[f"embedenv-pass-{room['id']}"] = secret
    assert (await guest("GET", f"api/rooms/{room['id']}")).status == 401


async def test_a_page_of_another_origin_gains_nothing_by_the_pass(
    served: Served, browser: NewBrowser, open_room: Open, watch: Watch
) -> None:
    room, guest = await open_room(), browser()
    evil = {"Origin": "http://evil.example"}
    answer = await guest("POST", "api/join", {"join": room["join"]}, **evil)
    assert answer.status == 404 and not guest.cookies
    await guest.join(room["join"])
    no_proof = {**guest.headers, "X-XSRFToken": ""}
    assert (await guest("POST", f"api/rooms/{room['id']}/keep", {"seconds": 1}, **no_proof)).status == 403
    assert (await guest("POST", f"api/rooms/{room['id']}/keep", {"seconds": 1}, **evil)).status in (403, 404)
    assert (await guest("POST", f"api/rooms/{room['id']}/keep", {"seconds": 1})).status == 200
    for path in (f"rooms/{room['id']}/events", "rooms/events"):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await watch(path, guest, origin="http://evil.example")
        assert refused.value.response.status_code == 403


async def test_a_pass_of_one_room_opens_no_other(browser: NewBrowser, open_room: Open, watch: Watch) -> None:
    one, other, guest = await open_room(), await open_room(), browser()
    await guest.join(one["join"])
    guest.cookies[f"embedenv-pass-{other['id']}"] = guest.cookies[f"embedenv-pass-{one['id']}"]
    assert (await guest("GET", f"api/rooms/{other['id']}")).status == 401
    assert [found["id"] for found in (await guest("GET", "api/rooms")).body] == [one["id"]]
    assert (await (await watch(f"rooms/{other['id']}/events", guest)).parted())[0] == CloseCode.REVOKED
    assert (await browser()("GET", "api/rooms")).status == 401
    assert (await (await watch("rooms/events", browser())).parted())[0] == CloseCode.REVOKED


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"join": ""},
        {"join": 1},
        {"join": "x", "user": ""},
        {"join": "x", "color": "red"},
        {"jion": "x"},
        [],
    ],
)
async def test_a_bad_join_is_refused_with_what_is_wrong(
    browser: NewBrowser, served: Served, body: Any
) -> None:
    answer = await browser()("POST", "api/join", body)
    assert (answer.status, answer.body["reason"]) == (400, "BadRequest")
    assert json.dumps(answer.body["message"])


async def test_who_watches_a_room_that_nobody_knows_is_told_so_for_good(watch: Watch) -> None:
    events = await watch("rooms/0123456789abcdef/events")
    code, reason = await events.parted()
    assert code == CloseCode.ROOM_ENDED and "no open room '0123456789abcdef'" in reason
