"""A room's kernel through REST and WebSocket: what a client of a Jupyter server expects."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.conftest import Served
from tests.integration.kernels.conftest import Api, DialKernel, OpenRoom


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0}


async def test_cell_is_run_with_its_receipt(dial_kernel: DialKernel, room: OpenRoom) -> None:
    peer = await dial_kernel()
    text, reply, messages = await peer.run("print('hello'); 6 * 7")
    assert (text, reply["status"]) == ("hello\n", "ok")
    types = [message.type for message in messages]
    assert types.index("status") < types.index("execute_input") < types.index("execute_result")
    (result,) = (message for message in messages if message.type == "execute_result")
    assert result.content["data"] == {"text/plain": "42"}
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert receipt["room"] == room.id
    assert receipt["author"]
    assert receipt["status"] == "ok"
    assert 0 < receipt["duration_s"] < 30


async def test_two_clients_see_the_same_outputs(dial_kernel: DialKernel) -> None:
    one, two = await dial_kernel(), await dial_kernel()
    id = await one.execute("for i in range(3): print(i, flush=True)")
    seen = [await one.answers(id), await two.until_idle(id)]
    printed = [[m.content for m in messages if m.type == "stream"] for messages in seen]
    assert printed[0] == printed[1] != []
    await two.run("1")  # what one was answered would have come before that
    assert not any(message.type == "execute_reply" for message in two.waiting)


async def test_interrupt_reaches_the_cell(dial_kernel: DialKernel, room: OpenRoom) -> None:
    peer = await dial_kernel()
    id = await peer.execute("import time\nprint('on', flush=True)\nwhile True: time.sleep(0.01)")
    await peer.until("stream", id)
    assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/interrupt", {})).status == 204
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["ename"] == "KeyboardInterrupt"


async def test_cell_is_answered_whenever_it_is_interrupted(
    served: Served, dial_kernel: DialKernel, room: OpenRoom
) -> None:
    """Left alone, ipykernel answers nothing when the interrupt meets its own code around the cell's."""
    kernel = served.gateway.kernels.of_id(room.id).find(room.kernel)
    peer = await dial_kernel()
    outcomes = set()
    for number in range(200):
        id = await peer.execute("x = [0] * 1000\n" * 20, stop_on_error=False)
        for _ in range(number):  # so that it comes at another moment each time
            await asyncio.sleep(0)
        await kernel.interrupt()
        (*_, reply) = await peer.until("execute_reply", id)
        outcomes.add(reply.content["status"])
        assert reply.content.get("ename", "KeyboardInterrupt") == "KeyboardInterrupt"
    assert outcomes == {"ok", "error"}
    assert (await peer.run("print(len(x))"))[0] == "1000\n"


async def test_cell_runs_in_a_subshell(dial_kernel: DialKernel) -> None:
    peer = await dial_kernel()
    id = await peer.send("control", "create_subshell_request", {})
    (*_, created) = await peer.until("create_subshell_reply", id)
    id = await peer.execute("6 * 7", subshell=created.content["subshell_id"])
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["status"] == "ok"


async def test_restart_keeps_the_client_and_forgets_variables(
    dial_kernel: DialKernel, room: OpenRoom
) -> None:
    peer = await dial_kernel()
    await peer.run("x = 1")
    answer = await room.api("POST", f"{room.path}/kernels/{room.kernel}/restart", {})
    assert answer.status == 200, answer
    _, reply, _ = await peer.run("x")
    assert reply["ename"] == "NameError"


async def test_kernel_that_has_ended_leaves_nothing_in_the_runtime_folder(
    dial_kernel: DialKernel, room: OpenRoom
) -> None:
    peer = await dial_kernel()
    for _ in range(2):
        await room.api("POST", f"{room.path}/kernels/{room.kernel}/restart", {})
    code = (
        "import os\nfrom ipykernel.connect import get_connection_file\n"
        "print(len(os.listdir(os.path.dirname(os.path.dirname(get_connection_file())))))"
    )
    assert (await peer.run(code))[0] == "1\n"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import os; os._exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    ],
)
async def test_death_is_told_with_its_cause_and_the_kernel_comes_back(
    dial_kernel: DialKernel, code: str, cause: str
) -> None:
    peer = await dial_kernel()
    id = await peer.execute(code)
    seen = await peer.answers(id)
    (reply,) = (message for message in seen if message.type == "execute_reply")
    assert reply.content["status"] == "error"
    assert cause in reply.content["evalue"]
    assert any(message.type == "error" and cause in message.content["evalue"] for message in seen)
    while (await peer.until("status"))[-1].state != "restarting":
        pass
    text, _, _ = await peer.run("print('back')")
    assert text == "back\n"


async def test_kernel_is_listed_and_shut_down(api: Api, room: OpenRoom) -> None:
    (listed,) = (await api("GET", f"{room.path}/kernels")).body
    assert listed["id"] == room.kernel
    assert (await api("GET", f"{room.path}/kernelspecs")).body["default"] == "python3"
    assert (await api("DELETE", f"{room.path}/kernels/{room.kernel}")).status == 204
    assert (await api("GET", f"{room.path}/kernels")).body == []
    gone = await api("GET", f"{room.path}/kernels/{room.kernel}")
    assert (gone.status, gone.body["reason"]) == (404, "UnknownKernelError")


async def test_flood_is_paced_and_nothing_is_dropped(dial_kernel: DialKernel) -> None:
    """A reader that takes its time for 20 MB gets all of it, in order."""
    peer = await dial_kernel()
    code = "for i in range(20): print(f'{i:02}' * 500_000)"
    text, _, _ = await peer.run(code)
    assert text == "".join(f"{i:02}" * 500_000 + "\n" for i in range(20))


async def test_completion_knows_types_and_modules(dial_kernel: DialKernel) -> None:
    peer = await dial_kernel()
    code = "import json\njson.du"
    await peer.send("shell", "complete_request", {"code": code, "cursor_pos": len(code)})
    (*_, reply) = await peer.until("complete_reply")
    assert reply.content["matches"] == ["dump", "dumps"]


async def test_kernel_that_stays_dead_refuses_and_keeps_its_clients(dial_kernel: DialKernel) -> None:
    peer = await dial_kernel()
    state = ""
    while state != "dead":
        await peer.answers(await peer.execute("import os; os._exit(1)"))
        while (state := (await peer.until("status"))[-1].state) not in ("dead", "restarting"):
            pass
    id = await peer.send("shell", "kernel_info_request", {})
    (*_, reply) = await peer.until("kernel_info_reply", id)
    assert reply.content["status"] == "error"
    assert "not running" in reply.content["evalue"]
    await peer.send("shell", "comm_info_request", {})
    await peer.until("comm_info_reply")


async def test_room_of_another_account_is_not_the_servers_users(api: Api, served: Served) -> None:
    keys = await served.gateway.accounts.create_key("carol", credits=50)
    opened = await api.with_key(keys.api_key)("POST", "api/rooms", {"kernel": True})
    room, join = opened.body["id"], opened.body["join"]
    assert (await api.with_key(keys.api_key)("GET", f"rooms/{room}/api/kernels")).status == 200
    refused = await api("GET", f"rooms/{room}/api/kernels")
    assert (refused.status, refused.body["reason"]) == (404, "UnknownRoomError")
    assert room not in [found["id"] for found in (await api("GET", "api/rooms")).body]
    assert (await api.with_key(join)("GET", f"rooms/{room}/api/kernels")).status == 200


async def test_a_text_larger_than_any_message_comes_in_pieces(dial_kernel: DialKernel) -> None:
    peer = await dial_kernel()
    text, reply, _ = await peer.run("print('é' * 50_000_000)")
    assert reply["status"] == "ok"
    assert len(text) == 50_000_001 and set(text[:-1]) == {"é"}
