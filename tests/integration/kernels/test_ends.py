"""Kernels come and go: restarts, ends, limits and pools leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from embedenv_jupyter.errors import CloseCode, RoomClosedError, UnknownKernelError
from embedenv_jupyter.kernels.process import fork
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import DEADLINE_S, Api, KernelPeer, OpenRoom
from tests.integration.kernels.peers import closed, socket_to, stopped

SETTLE_S = 20.0
CONFIG: dict[str, object] = {"kernel_pool_size": 0}

LIST_FOLDERS = """
import os
from ipykernel.kernelapp import IPKernelApp
print(os.listdir(os.path.dirname(os.path.dirname(IPKernelApp.instance().abs_connection_file))))
"""


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return CONFIG


def configured(**config: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("embedenv_config", [{**CONFIG, **config}])


Inventory = tuple[list[str], list[str], list[str]]


def inventory() -> Inventory:
    """List the descriptors of the gateway, its tasks, and the processes below it."""
    fds = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            fds.append(os.readlink(f"/proc/self/fd/{name}"))
    tasks = [task.get_name() for task in asyncio.all_tasks()]
    return fds, tasks, [str(child.pid) for child in psutil.Process().children(recursive=True)]


def more_than(before: Inventory) -> list[list[str]]:
    """Return what is new, of the kinds of which there is more."""
    pairs = zip(inventory(), before, strict=True)
    return [[item for item in new if item not in old] for new, old in pairs if len(new) > len(old)]


async def until_as_before(before: Inventory) -> None:
    """Wait until there is no more of anything than there was."""
    deadline = asyncio.get_running_loop().time() + SETTLE_S
    while more := more_than(before):
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"left behind: {more}")
        await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
async def test_a_hundred_restarts_leave_nothing_behind(served: Served, room: OpenRoom) -> None:
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        before_text, _, _ = await peer.run(LIST_FOLDERS)
        before = inventory()
        for _ in range(100):
            await served.gateway.kernels.of_id(room.id).find(room.kernel).restart()
        text, _, _ = await peer.run(LIST_FOLDERS)
        assert len(text) <= len(before_text) + 40, text
        await until_as_before(before)


@pytest.mark.parametrize("way", ["the kernel", "the room", "the gateway"])
async def test_an_end_with_running_cells_leaves_nothing_behind(
    served: Served, api: Api, way: str, tmp_path: Path
) -> None:
    first = await api("POST", "api/rooms", {"kernel": True})  # what all rooms share starts with it
    assert (await api("DELETE", f"api/rooms/{first.body['id']}")).status == 204
    before = inventory()
    answer = await api("POST", "api/rooms", {"kernel": True})
    room = OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], api)
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        id = await peer.execute("import time, os\nprint('on', flush=True)\nwhile True: time.sleep(1)")
        await peer.until("stream", id)
        match way:
            case "the kernel":
                assert (await api("DELETE", f"{room.path}/kernels/{room.kernel}")).status == 204
            case "the room":
                assert (await api("DELETE", f"api/rooms/{room.id}")).status == 204
            case "the gateway":
                await served.gateway.aclose()
        (*_, reply) = await peer.until("execute_reply", id)
        assert reply.content["status"] == "error"
        assert (await closed(socket))[0] == CloseCode.ROOM_ENDED
    if way == "the kernel":
        assert (await api("DELETE", f"api/rooms/{room.id}")).status == 204
    await until_as_before(before)
    rooms = served.gateway.settings.data_dir / "rooms"
    async with asyncio.timeout(DEADLINE_S):
        while any(room.id in path.name for path in rooms.rglob("*")):
            await asyncio.sleep(0.05)


@configured(max_kernels=2)
async def test_a_room_has_so_many_kernels_and_no_more(room: OpenRoom) -> None:
    answers = await asyncio.gather(*(room.api("POST", f"{room.path}/kernels", {}) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [201, 429, 429]
    assert all("2 kernels already" in answer.body["message"] for answer in answers if answer.status == 429)
    assert (await room.api("DELETE", f"{room.path}/kernels/{room.kernel}")).status == 204
    assert (await room.api("POST", f"{room.path}/kernels", {})).status == 201


async def test_a_kernel_that_is_shut_down_while_it_starts_does_not_start(
    served: Served, room: OpenRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = served.gateway.kernels.of_id(room.id)

    async def shut_down(path: str) -> None:
        await kernels.shutdown("young")

    monkeypatch.setattr(kernels, "_folder_of", shut_down)
    before = inventory()
    with pytest.raises(UnknownKernelError, match="young"):
        await kernels.start(id="young")
    assert [kernel.id for kernel in kernels] == [room.kernel]
    await until_as_before(before)


async def test_a_room_that_ends_starts_no_kernel(served: Served, room: OpenRoom) -> None:
    """Nobody would end it: what is kept for the room's kernels goes when its end begins."""
    found = served.gateway.rooms.find(room.id)
    assert found is not None
    kernels = served.gateway.kernels.of(found)
    closing = asyncio.create_task(found.aclose("test"))
    await asyncio.sleep(0)
    with pytest.raises(RoomClosedError, match="test"):
        await kernels.start()
    with pytest.raises(RoomClosedError, match="test"):
        served.gateway.kernels.of(found)
    await closing
    assert list(served.gateway.kernels) == []


async def test_sessions_of_documents_are_bounded(room: OpenRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedenv_jupyter.kernels.manager.MAX_NOTEBOOKS", 2)
    path = f"{room.path}/sessions"
    bodies = [{"path": f"{name}.ipynb", "kernel": {"id": room.kernel}} for name in "abc"]
    answers = [await room.api("POST", path, body) for body in bodies]
    assert [answer.status for answer in answers] == [201, 201, 429]
    assert "2 sessions already" in answers[-1].body["message"]
    assert (await room.api("POST", path, bodies[0])).body["id"] == answers[0].body["id"]


@configured(cull_kernels_s=0.5)
async def test_an_idle_kernel_ends_when_nobody_is_connected(room: OpenRoom) -> None:
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        await peer.run("import time; time.sleep(1.5)")
        await peer.run("1")
        assert len((await room.api("GET", f"{room.path}/kernels")).body) == 1
    async with asyncio.timeout(DEADLINE_S):
        while (await room.api("GET", f"{room.path}/kernels")).body:
            await asyncio.sleep(0.05)


@configured(memory_mib=192)
async def test_a_kernel_that_takes_too_much_memory_dies_of_its_limit(room: OpenRoom) -> None:
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        id = await peer.execute("import os\nx = []\nwhile True: x.append(os.urandom(1 << 20))")
        (*_, reply) = await peer.until("execute_reply", id)
        text = reply.content["evalue"]
        assert ("ran out of memory" in text and "192 MiB" in text) or reply.content["ename"] == "MemoryError"
        text, _, _ = await peer.run("print('back')")
        assert text == "back\n"


async def test_sessions_are_those_of_jupyterlab(room: OpenRoom) -> None:
    path = f"{room.path}/sessions"
    wanted = {"path": "a.ipynb", "type": "notebook", "name": "a.ipynb", "kernel": {"name": "python3"}}
    first, second = await asyncio.gather(*(room.api("POST", path, wanted) for _ in range(2)))
    assert (first.status, second.status) == (201, 201)
    assert first.body["id"] == second.body["id"], "one document, one kernel"
    session = first.body
    assert {"id", "path", "name", "type", "kernel"} <= session.keys()
    assert {"id", "name", "last_activity", "execution_state", "connections"} <= session["kernel"].keys()
    assert [s["id"] for s in (await room.api("GET", path)).body] == [session["id"]]
    own = f"{path}/{session['id']}"
    moved = await room.api("PATCH", own, {"path": "b.ipynb"})
    assert (moved.status, moved.body["path"]) == (200, "b.ipynb")
    changed = await room.api("PATCH", own, {"kernel": {"name": "python3"}})
    assert changed.body["kernel"]["id"] != session["kernel"]["id"]
    assert (await room.api("GET", f"{room.path}/kernels/{session['kernel']['id']}")).status == 404
    taken = await room.api("PATCH", own, {"kernel": {"id": room.kernel}})
    assert taken.body["kernel"]["id"] == room.kernel
    assert len((await room.api("GET", f"{room.path}/kernels")).body) == 1
    assert (await room.api("POST", path, {**wanted, "kernel": {"name": "befunge"}})).status == 404
    assert (await room.api("DELETE", own)).status == 204
    assert (await room.api("DELETE", own)).status == 404
    assert (await room.api("GET", f"{room.path}/kernels")).body == []


async def test_a_kernel_starts_in_the_folder_of_its_document(room: OpenRoom) -> None:
    folder = {"type": "directory"}
    assert (await room.api("PUT", f"{room.path}/contents/lessons", folder)).status == 201
    where = "import os; print(os.getcwd())"
    for path, expected in (("lessons/a.ipynb", "/home/user/lessons"), ("gone/b.ipynb", "/home/user")):
        wanted = {"path": path, "type": "notebook", "name": path, "kernel": {"name": "python3"}}
        session = (await room.api("POST", f"{room.path}/sessions", wanted)).body
        async with socket_to(replace(room, kernel=session["kernel"]["id"])) as socket:
            assert (await KernelPeer(socket).run(where))[0] == f"{expected}\n"


async def test_ports_of_a_debugger_are_nobodys_business(room: OpenRoom) -> None:
    listening = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 8081)); s.listen()"
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        text, _, _ = await peer.run("import debugpy; print(debugpy.listen(('127.0.0.1', 0))[1] > 0)")
        assert text == "True\n"
        await peer.run(listening)
        async with asyncio.timeout(DEADLINE_S):
            while not (ports := (await room.api("GET", f"{room.path}/ports")).body):
                await asyncio.sleep(0.05)
        assert ports == [{"port": 8081}]


@configured(kernel_pool_size=1)
async def test_a_kernel_that_stands_ready_is_handed_out(served: Served, api: Api) -> None:
    for _ in range(2):
        answer = await api("POST", "api/rooms", {"kernel": True})
        assert answer.status == 201
        room = OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], api)
        async with socket_to(room) as socket:
            text, _, _ = await KernelPeer(socket).run("print(6 * 7)")
            assert text == "42\n"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_ready_kernel_that_is_broken_is_replaced(served: Served, signum: int) -> None:
    """Dead, or stopped so that it does not answer."""
    gateway = served.gateway
    opened = await gateway.rooms.open(LOCAL_ACCOUNT, space="test")
    sandbox = opened.room.sandbox
    ready = await fork(sandbox)
    sandbox.keep_ready(*ready)
    await ready[0].signal(signum)
    if signum == signal.SIGSTOP:
        await stopped()  # the signal reaches one thread, and until that runs the others go on
    kernel = await gateway.kernels.of(opened.room).start()
    assert kernel.state == "idle"
    assert kernel._processes.current is not None and not kernel._processes.current.stood_ready


@pytest.mark.parametrize(
    "embedenv_config", [{**CONFIG, "tier": tier} for tier in ("ns", "bwrap", "landlock")]
)
async def test_kernels_work_in_every_tier(room: OpenRoom) -> None:
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        text, reply, _ = await peer.run("import subprocess as s; print(s.check_output(['echo', 'hi']))")
        assert (text, reply["status"]) == ("b'hi\\n'\n", "ok")
        assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/restart", {})).status == 200
        text, _, _ = await peer.run("print('again')")
        assert text == "again\n"


FORK = """
import os
pid = os.fork()
if pid == 0: os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
THREADS = """
import threading
threads = [threading.Thread(target=print, args=(i,)) for i in range(5)]
for thread in threads:
    thread.start()
    thread.join()
"""
POOL = """
import multiprocessing
with multiprocessing.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, -2]))
"""
FEATURES = {
    "fork": (FORK, "7\n"),
    "threads": (THREADS, "0\n1\n2\n3\n4\n"),
    "multiprocessing": (POOL, "[1, 2]\n"),
    "subprocess": ("!echo from a shell", "from a shell\n"),
    "os.system": ("import os; _ = os.system('echo straight')", "straight\n"),
    "async": ("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')", "awaited\n"),
}


@pytest.mark.parametrize("name", FEATURES)
async def test_what_cells_do(room: OpenRoom, name: str) -> None:
    code, printed = FEATURES[name]
    async with socket_to(room) as socket:
        peer = KernelPeer(socket)
        text, reply, _ = await peer.run(code)
        assert reply["status"] == "ok", reply
        while text.replace("\r", "") != printed:
            (*_, more) = await peer.until("stream")
            text += more.content["text"]
