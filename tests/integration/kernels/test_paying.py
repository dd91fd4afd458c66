"""What cells cost the account that opened the room, and what comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.integration.conftest import Served
from tests.integration.kernels.conftest import Api, KernelPeer, OpenRoom
from tests.integration.kernels.peers import socket_to


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


Paid = tuple[OpenRoom, Callable[[], Awaitable[int]]]


@pytest.fixture
async def open_paid(served: Served, api: Api) -> Callable[[int], Awaitable[Paid]]:
    """Open a room for an account with so many credits left after it, and a way to ask how many are."""

    async def open(credits: int) -> Paid:
        accounts = served.gateway.accounts
        keys = await accounts.create_key("payer", credits=credits + 1)
        payer = api.with_key(keys.api_key)
        answer = await payer("POST", "api/rooms", {"kernel": True})
        assert answer.status == 201, answer
        account = await accounts.authenticate_api_key(keys.api_key)
        room = OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], payer)

        async def left() -> int:
            return (await accounts.balance(account.id)).total or 0

        assert await left() == credits
        return room, left

    return open


async def test_cells_cost_what_the_price_list_says(open_paid: Callable[[int], Awaitable[Paid]]) -> None:
    room, left = await open_paid(20)
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        for code, cost in (
            ("1", 1),
            ("", 0),
            ("!pip install --version", 5),
            ("!echo hi", 1),
            ("%%bash\ntrue", 1),
        ):
            before = await left()
            _, _, seen = await peer.run(code)
            (receipt,) = (m.metadata["embedenv"] for m in seen if m.type == "execute_reply")
            assert (before - await left(), receipt["cost"]) == (cost, cost), code


async def test_a_cell_is_refused_when_nothing_is_left(open_paid: Callable[[int], Awaitable[Paid]]) -> None:
    room, left = await open_paid(1)
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        await peer.run("x = 1")
        text, reply, seen = await peer.run("x = 2; print('never')")
        assert (text, reply["status"], reply["ename"]) == ("", "error", "InsufficientCreditsError")
        assert "costs 1 credits and 0 are left" in reply["evalue"]
        assert any(message.type == "error" for message in seen)
        await peer.send("shell", "complete_request", {"code": "x", "cursor_pos": 1})
        await peer.until("complete_reply")
        assert await left() == 0


async def test_cells_that_an_error_dropped_cost_nothing(open_paid: Callable[[int], Awaitable[Paid]]) -> None:
    room, left = await open_paid(20)
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        ids = [await peer.execute(code) for code in ("import time; time.sleep(1); 1 / 0", "2", "3")]
        for id, status in zip(ids, ("error", "aborted", "aborted"), strict=True):
            (*_, reply) = await peer.until("execute_reply", id)
            assert reply.content["status"] == status
            assert reply.metadata["embedenv"]["cost"] == (1 if status == "error" else 0)
        _, last, _ = await peer.run("4")
        while last["status"] == "aborted":  # a kernel aborts what comes within a tenth of a second
            _, last, _ = await peer.run("4")
        assert await left() == 18


async def test_cells_that_a_restart_dropped_cost_nothing(open_paid: Callable[[int], Awaitable[Paid]]) -> None:
    room, left = await open_paid(20)
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        first = await peer.execute("print('on', flush=True); import time; time.sleep(600)")
        await peer.until("stream", first)
        ids = [await peer.execute("2"), await peer.execute("3")]
        await peer.taken()
        path = f"{room.path}/kernels/{room.kernel}/restart"
        assert (await room.api("POST", path, {})).status == 200
        for id in ids:
            await peer.until("execute_reply", id)
        assert await left() == 19
