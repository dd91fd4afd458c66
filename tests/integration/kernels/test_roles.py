"""Who may do what with a room's kernels, by the role of the key that they came with."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import websockets

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols import kernels as protocol
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import DEADLINE_S, KernelPeer, OpenRoom
from tests.integration.kernels.peers import closed, execute, key_of, request, socket_to

REQUESTS = [
    ("shell", "execute_request"), ("shell", "complete_request"), ("shell", "inspect_request"),
    ("shell", "history_request"), ("shell", "is_complete_request"), ("shell", "comm_info_request"),
    ("control", "interrupt_request"), ("control", "shutdown_request"), ("control", "debug_request"),
    ("control", "create_subshell_request"), ("shell", "no_such_request"),
]  # fmt: skip
SAYINGS = [("shell", "comm_open"), ("shell", "comm_msg"), ("stdin", "input_reply")]


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


async def test_a_viewer_sees_kernels_and_outputs(room: OpenRoom) -> None:
    key = await key_of(room, "view")
    viewer = room.api.with_key(key)
    for path in ("kernels", f"kernels/{room.kernel}", "kernelspecs", "sessions", "prompts"):
        assert (await viewer("GET", f"{room.path}/{path}")).status == 200
    async with socket_to(room, key=key) as looking, socket_to(room) as working:
        looker, worker = KernelPeer(looking), KernelPeer(working)
        await worker.run("print('shown')")
        (*_, printed) = await looker.until("stream")
        assert printed.content["text"] == "shown\n"
        await looker.send("shell", "kernel_info_request", {})
        (*_, info) = await looker.until("kernel_info_reply")
        assert info.content["language_info"]["name"] == "python"


async def test_a_viewer_is_refused_each_request_with_a_reply(room: OpenRoom) -> None:
    async with socket_to(room, key=await key_of(room, "view")) as socket, socket_to(room) as other:
        viewer, owner = KernelPeer(socket), KernelPeer(other)
        for channel, kind in REQUESTS:
            id = await viewer.send(channel, kind, {"code": "open('/tmp/was-here', 'w')", "silent": False})
            seen = await viewer.until(kind.replace("_request", "_reply"), id)
            assert seen[-1].content["status"] == "error"
            assert seen[-1].content["ename"] == "RoleError"
            assert "needs the role 'run'; yours is 'view'" in seen[-1].content["evalue"]
            await viewer.until_idle(id)
        for channel, kind in SAYINGS:
            id = await viewer.send(channel, kind, {"value": "x"})
            (*_, said) = await viewer.until("stream", id)
            assert "needs the role 'run'" in said.content["text"]
        text, _, seen = await owner.run("import os; print(os.path.exists('/tmp/was-here'))")
        assert text == "False\n"
        # What one client is refused is no business of the others.
        assert not any("RoleError" in json.dumps(message.content) for message in seen)


async def test_a_viewer_may_not_change_kernels_by_rest(room: OpenRoom) -> None:
    viewer = room.api.with_key(await key_of(room, "view"))
    kernel = f"{room.path}/kernels/{room.kernel}"
    attempts: list[tuple[str, str, Any]] = [
        ("POST", f"{room.path}/kernels", {}), ("DELETE", kernel, None), ("POST", f"{kernel}/interrupt", {}),
        ("POST", f"{kernel}/restart", {}), ("POST", f"{room.path}/sessions", {"path": "a.ipynb"}),
        ("POST", f"{room.path}/prompts/00", {"value": ""}), ("DELETE", f"api/rooms/{room.id}", None),
        ("GET", f"api/rooms/{room.id}/keys", None), ("POST", f"api/rooms/{room.id}/keys", {}),
    ]  # fmt: skip
    for method, path, body in attempts:
        answer = await viewer(method, path, body)
        assert (answer.status, answer.body["reason"]) == (403, "RoleError"), (method, path)


@pytest.mark.parametrize("role", ["run", "edit"])
async def test_who_may_run_runs_and_restarts(room: OpenRoom, role: str) -> None:
    key = await key_of(room, role)
    async with socket_to(room, key=key) as socket:
        peer = KernelPeer(socket)
        text, reply, _ = await peer.run("print(6 * 7)")
        assert (text, reply["status"]) == ("42\n", "ok")
        runner = room.api.with_key(key)
        assert (await runner("POST", f"{room.path}/kernels/{room.kernel}/restart", {})).status == 200
        assert (await runner("DELETE", f"api/rooms/{room.id}")).status == 403


async def refusal(room: OpenRoom, **options: Any) -> int:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with socket_to(room, **options):
            pass
    return caught.value.response.status_code


async def test_keys_that_open_nothing_are_401(room: OpenRoom) -> None:
    expired = await key_of(room, "run", expires_s=0.001)
    revoked = await key_of(room, "run")
    assert (await room.api("DELETE", f"api/rooms/{room.id}/keys/{revoked}")).status == 204
    for key in ("nonsense", expired, revoked, "a:b"):
        assert (await room.api.with_key(key)("GET", f"{room.path}/kernels")).status == 401
        assert await refusal(room, key=key) == 401


async def test_a_key_of_another_room_opens_nothing_here(room: OpenRoom) -> None:
    other = (await room.api("POST", "api/rooms", {})).body
    assert (await room.api.with_key(other["join"])("GET", f"{room.path}/kernels")).status == 401


@pytest.mark.parametrize("authorization", ["", "Bearer nonsense", "Bearer a:b"])
async def test_who_proves_nothing_does_not_learn_which_rooms_there_are(
    room: OpenRoom, authorization: str
) -> None:
    room.api.authorization = authorization
    missing = OpenRoom("0123456789abcdef", "", room.kernel, room.api)
    told: list[list[tuple[int, str]]] = []
    for asked in (room, missing):
        assert await refusal(asked) == 401
        own, kernel = f"api/rooms/{asked.id}", f"{asked.path}/kernels/{asked.kernel}"
        answers = [
            await asked.api(method, path, {} if method == "POST" else None)
            for method, path in (
                ("GET", own), ("DELETE", own), ("GET", f"{own}/keys"), ("POST", f"{own}/keys"),
                ("DELETE", f"{own}/keys/x"), ("GET", f"{asked.path}/kernels"), ("POST", f"{kernel}/restart"),
                ("GET", f"{asked.path}/sessions"), ("POST", f"{asked.path}/prompts/00"),
            )
        ]  # fmt: skip
        told.append([(answer.status, answer.body["message"]) for answer in answers])
    assert told[0] == told[1]
    assert {status for status, _ in told[0]} <= {401, 403}  # 403 is what Jupyter answers without a cookie


async def test_other_subprotocols_and_other_kernels_are_refused_before_the_upgrade(room: OpenRoom) -> None:
    assert await refusal(room, subprotocol="v2.kernel.websocket.jupyter.org") == 400
    room.kernel = "11111111-2222-3333-4444-555555555555"
    assert await refusal(room) == 404


async def test_who_came_with_a_revoked_key_is_put_out_at_once(served: Served, room: OpenRoom) -> None:
    """Also one who does not read, and does not answer the close."""
    key, kept = await key_of(room, "run"), await key_of(room, "run")
    async with (
        socket_to(room, key=key) as first,
        socket_to(room, protocol.RESUMABLE, key=key) as second,
        socket_to(room, key=kept) as other,
    ):
        await KernelPeer(first).run("x = 1")
        answer = await room.api("DELETE", f"api/rooms/{room.id}/keys/{key}")
        assert answer.status == 204
        for socket in (first, second):
            assert await closed(socket) == (CloseCode.REVOKED, "your join key was revoked")
        text, _, _ = await KernelPeer(other).run("print(x)")
        assert text == "1\n"
        found = served.gateway.rooms.find(room.id)
        assert found is not None
        async with asyncio.timeout(DEADLINE_S):
            while len(found.members.present) != 1:
                await asyncio.sleep(0.01)


async def test_what_is_sent_after_the_revocation_is_not_done(served: Served, room: OpenRoom) -> None:
    key = await key_of(room, "run")
    async with socket_to(room, key=key) as socket:
        await KernelPeer(socket).run("x = 1")
        found = served.gateway.rooms.find(room.id)
        assert found is not None
        found.people.revoke(key)
        await socket.send(protocol.encode(protocol.Message("shell", execute("x = 2"))))
        assert (await closed(socket))[0] == CloseCode.REVOKED
    async with socket_to(room) as socket:
        text, _, _ = await KernelPeer(socket).run("print(x)")
    assert text == "1\n"


async def test_a_session_id_is_not_enough_to_take_a_clients_place(room: OpenRoom) -> None:
    """It is in every message that others see."""
    async with socket_to(room, session_id="the-hosts") as socket:
        host = KernelPeer(socket)
        await host.run("1")
        async with socket_to(room, session_id="the-hosts", key=await key_of(room, "run")) as thief:
            code, reason = await closed(thief)
            assert code == CloseCode.POLICY_VIOLATION
            assert reason is not None and "in use by somebody else" in reason
        text, _, _ = await host.run("print('still here')")
        assert text == "still here\n"


async def test_members_come_and_go_with_their_connections(served: Served, room: OpenRoom) -> None:
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    async with socket_to(room, session_id="a") as first:
        await KernelPeer(first).run("1")
        async with socket_to(room, session_id="a") as second:
            assert (await closed(first))[0] == CloseCode.GOING_AWAY
            await KernelPeer(second).run("1")
            assert len(found.members.present) == 1
    async with asyncio.timeout(DEADLINE_S):
        while found.members.present:
            await asyncio.sleep(0.01)


async def test_places_of_those_who_left_are_bounded(
    served: Served, room: OpenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedenv_jupyter.kernels.places.MAX_AWAY", 3)
    kernel = served.gateway.kernels.of_id(room.id).find(room.kernel)
    for number in range(8):
        async with socket_to(room, session_id=f"s{number}") as socket:
            await socket.send(protocol.encode(protocol.Message("shell", request("kernel_info_request"))))
            await socket.recv()
    async with socket_to(room, session_id="last") as socket:
        await KernelPeer(socket).run("1")
        assert {"s7", "last"} <= set(kernel.sessions)
        assert len(kernel.sessions) <= 5
