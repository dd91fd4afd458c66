"""Questions of cells belong to the room: any member who may run answers, once, and no secret is kept."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from embedenv_jupyter.rooms.events import Prompt, PromptAnswered
from embedenv_jupyter.rooms.log import Record
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import DEADLINE_S, KernelPeer, OpenRoom, text_of
from tests.integration.kernels.peers import key_of, socket_to

ASK = "name = input('Name: '); print('hello', name)"


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


@contextlib.asynccontextmanager
async def peer_of(room: OpenRoom, **options: Any) -> AsyncIterator[KernelPeer]:
    async with socket_to(room, **options) as socket:
        yield KernelPeer(socket)


async def asked(peer: KernelPeer, code: str = ASK) -> tuple[str, dict[str, Any]]:
    """Run a cell up to its question; return the cell's id, and the prompt as the room has it."""
    id = await peer.execute(code)
    await peer.until("input_request", id)
    return id, (await pending(peer_room[peer]))[0]


peer_room: dict[KernelPeer, OpenRoom] = {}


@pytest.fixture
async def peer(room: OpenRoom) -> AsyncIterator[KernelPeer]:
    async with peer_of(room, session_id="first") as peer:
        peer_room[peer] = room
        yield peer
        del peer_room[peer]


async def pending(room: OpenRoom) -> list[dict[str, Any]]:
    answer = await room.api("GET", f"{room.path}/prompts")
    assert answer.status == 200
    assert isinstance(answer.body, list)
    return answer.body


async def none_pending(room: OpenRoom) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while await pending(room):
            await asyncio.sleep(0.02)


async def events(served: Served, room: OpenRoom) -> list[Any]:
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    held: list[Any] = []
    async with found.log.watch(0) as watcher:
        last = found.log.last
        while watcher.position < last:
            held += [record.event for record in await watcher.read() if isinstance(record, Record)]
    return held


async def ended(peer: KernelPeer, id: str) -> str:
    """Return what a cell printed."""
    return text_of(await peer.answers(id))


async def test_another_member_answers_by_rest(served: Served, room: OpenRoom, peer: KernelPeer) -> None:
    id, prompt = await asked(peer)
    assert (prompt["text"], prompt["password"], prompt["kernel"]) == ("Name: ", False, room.kernel)
    helper = room.api.with_key(await key_of(room, "run"))
    path = f"{room.path}/prompts/{prompt['id']}"
    answer = await helper("POST", path, {"value": "Ada"}, **{"X-Embedenv-User": "bob"})
    assert answer.status == 204
    assert "hello Ada" in await ended(peer, id)
    assert await pending(room) == []
    said = [event for event in await events(served, room) if isinstance(event, Prompt | PromptAnswered)]
    match said:
        case [Prompt(text="Name: ", run=run), PromptAnswered(by="bob")]:
            assert run == prompt["run"]
        case _:
            pytest.fail(repr(said))


async def test_a_second_client_answers_by_message(room: OpenRoom, peer: KernelPeer) -> None:
    id, _ = await asked(peer)
    async with peer_of(room, key=await key_of(room, "run")) as second:
        (*_, question) = await second.until("input_request")
        assert question.content["prompt"] == "Name: "
        await second.send("stdin", "input_reply", {"value": "Bea"}, parent=question.header)
        assert "hello Bea" in await ended(peer, id)


async def test_a_question_survives_a_reload(room: OpenRoom) -> None:
    async with peer_of(room, session_id="before") as first:
        id = await first.execute(ASK)
        await first.until("input_request", id)
    async with peer_of(room, session_id="after") as second:
        (*_, question) = await second.until("input_request")
        assert question.parent == id
        await second.send("stdin", "input_reply", {"value": "Cy"}, parent=question.header)
        (*_, printed) = await second.until("stream", id)
        assert "hello Cy" in printed.content["text"]


async def test_a_question_is_answered_by_rest_when_its_client_is_forgotten(
    served: Served, room: OpenRoom
) -> None:
    kernel = served.gateway.kernels.of_id(room.id).find(room.kernel)
    async with peer_of(room, session_id="before") as first:
        id = await first.execute(ASK)
        await first.until("input_request", id)
    (prompt,) = await pending(room)
    path = f"{room.path}/prompts/{prompt['id']}"
    await kernel.places.forget(kernel.sessions["before"])
    refused = await room.api("POST", path, {"value": "x"})
    assert (refused.status, refused.body["reason"]) == (429, "BusyError")
    async with peer_of(room, session_id="after") as second:
        await second.until("input_request")
        assert (await room.api("POST", path, {"value": "Dee"})).status == 204
        (*_, printed) = await second.until("stream", id)
        assert "hello Dee" in printed.content["text"]


async def test_of_two_who_answer_at_once_one_wins(room: OpenRoom, peer: KernelPeer) -> None:
    id, prompt = await asked(peer)
    path = f"{room.path}/prompts/{prompt['id']}"
    answers = await asyncio.gather(*(room.api("POST", path, {"value": f"n{number}"}) for number in range(4)))
    assert sorted(answer.status for answer in answers) == [204, 409, 409, 409]
    (winner,) = (number for number, answer in enumerate(answers) if answer.status == 204)
    assert f"hello n{winner}" in await ended(peer, id)
    assert (await room.api("POST", path, {"value": "late"})).status == 409


async def test_a_late_answer_does_not_answer_the_next_question(room: OpenRoom, peer: KernelPeer) -> None:
    id = await peer.execute("a = input('one '); b = input('two '); print(a, b)")
    (*_, first) = await peer.until("input_request", id)
    await peer.send("stdin", "input_reply", {"value": "1"}, parent=first.header)
    (*_, second) = await peer.until("input_request", id)
    await peer.send("stdin", "input_reply", {"value": "late"}, parent=first.header)
    await peer.send("stdin", "input_reply", {"value": "2"}, parent=second.header)
    assert "1 2" in await ended(peer, id)


async def test_a_password_is_in_no_log_no_event_and_no_file(
    served: Served, room: OpenRoom, peer: KernelPeer, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = ["correct-horse", "battery-staple"]
    code = "import getpass, hashlib; print(len(getpass.getpass('Word: ')))"
    id, prompt = await asked(peer, code)
    assert prompt["password"]
    path = f"{room.path}/prompts/{prompt['id']}"
    assert (await room.api("POST", path, {"value": secrets[0]})).status == 204
    assert f"{len(secrets[0])}\n" in await ended(peer, id)
    id = await peer.execute(code)
    (*_, question) = await peer.until("input_request", id)
    await peer.send("stdin", "input_reply", {"value": secrets[1]}, parent=question.header)
    assert f"{len(secrets[1])}\n" in await ended(peer, id)
    kernel = served.gateway.kernels.of_id(room.id).find(room.kernel)
    async with kernel.log.watch(0) as watcher:
        kept = repr(await watcher.read())
    kept += repr(await events(served, room)) + caplog.text + repr(vars(kernel.prompts))
    folder = served.gateway.settings.data_dir
    files = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    for secret in secrets:
        assert secret not in kept
        assert secret.encode() not in files


async def test_an_interrupt_withdraws_a_question(served: Served, room: OpenRoom, peer: KernelPeer) -> None:
    id, prompt = await asked(peer)
    assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/interrupt", {})).status == 204
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["ename"] == "KeyboardInterrupt"
    await none_pending(room)
    assert (await room.api("POST", f"{room.path}/prompts/{prompt['id']}", {"value": "x"})).status == 409
    assert [event.by for event in await events(served, room) if isinstance(event, PromptAnswered)] == [""]


async def test_a_restart_withdraws_a_question(room: OpenRoom, peer: KernelPeer) -> None:
    await asked(peer)
    assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/restart", {})).status == 200
    assert await pending(room) == []
    text, _, _ = await peer.run("print('fresh')")
    assert text == "fresh\n"


async def test_a_death_withdraws_a_question_even_one_of_a_thread(
    served: Served, room: OpenRoom, peer: KernelPeer
) -> None:
    code = "import os; open('pid', 'w').write(str(os.getpid()))\n" + ASK
    id, _ = await asked(peer, code)
    kernel = served.gateway.kernels.of_id(room.id).find(room.kernel)
    assert kernel._processes.current is not None
    await kernel._processes.current.signal(signal.SIGKILL)
    (*_, reply) = await peer.until("execute_reply", id)
    assert "SIGKILL" in reply.content["evalue"]
    await none_pending(room)


async def test_who_may_not_run_may_not_answer(room: OpenRoom, peer: KernelPeer) -> None:
    id, prompt = await asked(peer)
    viewer = room.api.with_key(await key_of(room, "view"))
    refused = await viewer("POST", f"{room.path}/prompts/{prompt['id']}", {"value": "x"})
    assert refused.status == 403
    assert len(await pending(room)) == 1
    assert (await viewer("GET", f"{room.path}/prompts")).body[0]["id"] == prompt["id"]
    assert (await room.api("POST", f"{room.path}/prompts/{prompt['id']}", {"value": "me"})).status == 204
    assert "hello me" in await ended(peer, id)


@pytest.mark.parametrize("body", [{}, {"value": 3}, {"value": "x", "more": 1}, []])
async def test_an_answer_that_is_none_leaves_the_question(
    room: OpenRoom, peer: KernelPeer, body: object
) -> None:
    _, prompt = await asked(peer)
    assert (await room.api("POST", f"{room.path}/prompts/{prompt['id']}", body)).status == 400
    assert len(await pending(room)) == 1
