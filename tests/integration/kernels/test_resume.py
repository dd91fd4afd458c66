"""Cuts at any place: numbered clients get everything once, stock clients what they had not been sent."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
import websockets

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.protocols import kernels as protocol
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import DEADLINE_S, KernelPeer, OpenRoom, text_of
from tests.integration.kernels.peers import NumberedPeer, closed, execute, request, socket_to

COUNT = 5_000
FLOOD = f"""
from IPython.display import display
for i in range({COUNT}):
    if i % 3:
        print(i, flush=True)
    else:
        display(i)
"""


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


def numbers_of(peer: NumberedPeer) -> list[int]:
    """Return the numbers in what a flood printed and displayed, in the order in which they came."""
    found: list[int] = []
    for message in peer.received:
        if message.type == "stream":
            found += map(int, message.content["text"].split())
        elif message.type == "display_data":
            found.append(int(message.content["data"]["text/plain"]))
    return found


async def test_random_cuts_during_a_flood_lose_and_double_nothing(room: OpenRoom) -> None:
    dice, cuts = random.Random(20_261_127), 0
    peer = NumberedPeer(room)
    async with peer.connected() as socket:
        await socket.send(peer.session.send(protocol.Message("shell", execute(FLOOD))))
    missing = {"execute_reply", "idle"}  # of two channels, in no order between them
    while missing:
        cuts += 1
        async with peer.connected() as socket:
            for _ in range(dice.randint(0, 120)):
                message = await peer.take(socket)
                if message is not None:
                    missing -= {message.type, message.state}
                if not missing:
                    break
            socket.transport.abort()
    assert cuts > 20
    assert numbers_of(peer) == list(range(COUNT))
    assert peer.gaps == []
    assert [message.type for message in peer.received].count("execute_input") == 1


async def test_cuts_while_the_client_sends_lose_and_double_nothing(room: OpenRoom) -> None:
    """Each cell counts: it is run once, in its order, however often it was sent."""
    dice, sent = random.Random(7), 0
    peer = NumberedPeer(room)
    while sent < 200:
        async with peer.connected() as socket:
            for _ in range(dice.randint(1, 20)):
                code = f"seen = globals().get('seen', []) + [{sent}]"
                await socket.send(peer.session.send(protocol.Message("shell", execute(code))))
                sent += 1
            for _ in range(dice.randint(0, 10)):
                await peer.take(socket)
            socket.transport.abort()
    async with peer.connected() as socket:
        done = execute("print('done', seen == list(range(len(seen))), len(seen))")
        await socket.send(peer.session.send(protocol.Message("shell", done)))
        printed = await peer.until(socket, "stream")
    assert printed.content["text"] == f"done True {sent}\n"


async def test_a_stock_client_that_comes_back_gets_what_it_missed(room: OpenRoom) -> None:
    async with socket_to(room, session_id="page") as socket:
        first = KernelPeer(socket)
        id = await first.execute("print('on', flush=True); input(); print('while away'); 'result'")
        await first.until("stream", id)
        await first.until("input_request", id)
    (prompt,) = (await room.api("GET", f"{room.path}/prompts")).body
    assert (await room.api("POST", f"{room.path}/prompts/{prompt['id']}", {"value": ""})).status == 204
    async with asyncio.timeout(DEADLINE_S):
        while (await room.api("GET", f"{room.path}/kernels/{room.kernel}")).body["execution_state"] != "idle":
            await asyncio.sleep(0.02)
    async with socket_to(room, session_id="page") as socket:
        again = KernelPeer(socket)
        assert text_of(await again.answers(id)) == "while away\n"
        text, _, _ = await again.run("print('now')")
        assert text == "now\n"


async def test_a_client_that_starts_with_a_number_reads_on_from_there(room: OpenRoom) -> None:
    """Also where the gateway has forgotten its place."""
    peer = NumberedPeer(room)
    async with peer.connected() as socket:
        await socket.send(peer.session.send(protocol.Message("shell", execute("print('one')"))))
        await peer.until(socket, "execute_reply")
        last = peer.session.last
    async with socket_to(room) as socket:
        await KernelPeer(socket).run("print('two')")
    async with socket_to(room, protocol.RESUMABLE, session_id="new", resume=last) as socket:
        hello = protocol.decode_notice(await socket.recv())
        assert isinstance(hello, protocol.Hello) and hello.received == 0 and hello.n > last
        data = await socket.recv()
        assert isinstance(data, bytes) and protocol.decode_numbered(data)[0] > last


@pytest.mark.parametrize(
    ("resume", "reason"),
    [
        ("1000000", "comes from another room"), ("-1", "resume is a number"), ("x", "resume is a number"),
        ("9" * 30, "resume is a number"), ("9" * 5000, "resume is a number"),
        ("%C2%B2", "resume is a number"),
    ],
)  # fmt: skip
async def test_a_number_that_is_none_or_from_the_future_is_refused(
    served: Served, room: OpenRoom, resume: str, reason: str
) -> None:
    async with socket_to(room, protocol.RESUMABLE, session_id="a", resume=resume) as socket:
        code, said = await closed(socket)
        assert code in (CloseCode.POLICY_VIOLATION, CloseCode.PROTOCOL_ERROR)
        assert said is not None and reason in said
    found = served.gateway.rooms.find(room.id)
    assert found is not None and found.members.present == []


async def test_a_gap_is_reported_when_the_log_has_gone_on_too_far(
    served: Served, room: OpenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = served.gateway.kernels.of_id(room.id).find(room.kernel)
    numbered = NumberedPeer(room, "numbered")
    async with numbered.connected() as socket:
        await socket.send(numbered.session.send(protocol.Message("shell", execute("1"))))
        await numbered.until(socket, "execute_reply")
        socket.transport.abort()
    async with socket_to(room, session_id="stock") as socket:
        await KernelPeer(socket).run("1")
    before = numbered.session.last
    for record in range(10):  # as if they had been written, and deleted with their segment
        kernel.stand_in.append("iopub", (b'{"msg_type":"x","msg_id":"%d"}' % record, b"{}", b"{}", b"{}"))
    kernel.log._history.clear()
    last = kernel.log.last
    async with numbered.connected() as socket:
        while not numbered.gaps:
            await numbered.take(socket)
        (gap,) = numbered.gaps
        assert (gap.first, gap.last) == (before + 1, last)
    async with socket_to(room, session_id="stock") as socket:
        (*_, said) = await KernelPeer(socket).until("stream")
        assert "messages" in said.content["text"] and "are no longer kept" in said.content["text"]


async def test_a_client_that_says_goodbye_is_not_remembered(served: Served, room: OpenRoom) -> None:
    kernel = served.gateway.kernels.of_id(room.id).find(room.kernel)
    async with socket_to(room, protocol.RESUMABLE, session_id="bye") as socket:
        await socket.recv()
        await socket.close(1000)
    async with socket_to(room, protocol.RESUMABLE, session_id="next") as socket:
        await socket.recv()
        async with asyncio.timeout(DEADLINE_S):
            while set(kernel.sessions) != {"next"}:
                await kernel.places.make_room()
                await asyncio.sleep(0.01)


async def test_a_number_that_was_left_out_ends_the_connection_and_nothing_else(room: OpenRoom) -> None:
    async with socket_to(room, protocol.RESUMABLE, session_id="a") as socket:
        await socket.recv()
        await socket.send(
            protocol.encode_numbered(2, protocol.Message("shell", request("kernel_info_request")))
        )
        code, reason = await closed(socket)
        assert code == CloseCode.POLICY_VIOLATION and reason is not None and "has the number 1" in reason
    async with socket_to(room, protocol.RESUMABLE, session_id="a") as socket:
        hello = json.loads(await socket.recv())
        assert hello["received"] == 0
        await socket.send(protocol.encode_numbered(1, protocol.Message("shell", execute("1"))))
        async with asyncio.timeout(DEADLINE_S):
            data: str | bytes = b""
            while not isinstance(data, bytes) or b'"execute_reply"' not in data:
                data = await socket.recv()


async def test_the_newest_connection_of_a_session_wins(room: OpenRoom) -> None:
    async with socket_to(room, session_id="a") as first, socket_to(room, session_id="a") as second:
        code, reason = await closed(first)
        assert (code, reason) == (CloseCode.GOING_AWAY, "this session has connected again")
        with pytest.raises(websockets.ConnectionClosed):
            await first.send(b"x")
        text, _, _ = await KernelPeer(second).run("print(1)")
        assert text == "1\n"
