"""Kernels whose code turns against the gateway: it stays bounded, and a restart brings a good one back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.kernels.conftest import DEADLINE_S, KernelPeer, OpenRoom, Received
from tests.integration.kernels.peers import socket_to, stopped

MIB = 1 << 20

RAW_IOPUB = """
import threading, zmq
thread = get_ipython().kernel.iopub_thread
def raw(parts):
    done = threading.Event()
    thread.schedule(lambda: (thread.socket.send_multipart(parts, copy=False), done.set()))
    done.wait(60)
"""


@pytest.fixture
def embedenv_config() -> dict[str, object]:
    return {"kernel_pool_size": 0, "memory_mib": 1024}


@pytest.fixture
async def peer(room: OpenRoom) -> AsyncIterator[KernelPeer]:
    async with socket_to(room, session_id="user") as socket:
        yield KernelPeer(socket)


@contextlib.contextmanager
def bounded_memory(limit_bytes: int) -> Iterator[None]:
    """Fail when the gateway, which is this process, grows by more than this at its peak."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    now = psutil.Process().memory_info().rss // 1024
    yield
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (max(after, now) - max(before, now)) * 1024 <= limit_bytes


async def back_again(room: OpenRoom, peer: KernelPeer) -> None:
    """Restart the kernel and use it, as the client that was there all the time."""
    answer = await room.api("POST", f"{room.path}/kernels/{room.kernel}/restart", {})
    assert answer.status == 200, answer
    text, reply, _ = await peer.run("print('back')")
    assert (text, reply["status"]) == ("back\n", "ok")


async def others_live(room: OpenRoom) -> None:
    """The room itself goes on, and so do other rooms."""
    answer = await room.api("POST", f"{room.path}/kernels", {})
    assert answer.status == 201, answer
    assert (await room.api("DELETE", f"{room.path}/kernels/{answer.body['id']}")).status == 204
    other = await room.api("POST", "api/rooms", {"kernel": True})
    assert other.status == 201
    assert (await room.api("DELETE", f"api/rooms/{other.body['id']}")).status == 204


async def death_of(peer: KernelPeer, code: str) -> Received:
    """Run a cell that is the kernel's last; return the answer to it."""
    id = await peer.execute(code)
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["status"] == "error", reply
    return reply


async def test_a_message_of_100_mb_ends_the_kernel_with_a_reason(room: OpenRoom, peer: KernelPeer) -> None:
    with bounded_memory(300 * MIB):
        message = "[b'x', b'<IDS|MSG>', b'', b'{}', b'{}', b'{}', bytes(100 << 20)]"
        code = f"{RAW_IOPUB}\nraw({message})\nimport time; time.sleep(60)"
        reply = await death_of(peer, code)
    assert "more than the 67108864 bytes that are allowed" in reply.content["evalue"]
    await others_live(room)
    await back_again(room, peer)


async def test_an_endless_message_ends_the_kernel_with_a_reason(room: OpenRoom, peer: KernelPeer) -> None:
    """Straight into the gateway's connection: libzmq itself would wait for the end of such a message."""
    code = """
import os, socket, stat
peers = []
for fd in map(int, os.listdir('/proc/self/fd')):
    try:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            s = socket.socket(fileno=os.dup(fd))
            if s.family == socket.AF_UNIX and s.getsockname().endswith('s-2'):
                s.getpeername()
                peers.append(s)
    except OSError: pass
for s in peers:
    s.setblocking(True)
    try:
        while True: s.sendall(b'\\x01\\xff' + bytes(255))
    except OSError: pass
import time; time.sleep(60)
"""
    with bounded_memory(300 * MIB):
        reply = await death_of(peer, code)
    assert "a message of the kernel has more than 4200 parts" in reply.content["evalue"]
    await back_again(room, peer)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ("[b'no jupyter message']", "without a delimiter"),
        ("[b'<IDS|MSG>', b'', b'{}']", "4 are the least"),
    ],
)
async def test_a_message_that_is_none_ends_the_kernel(
    room: OpenRoom, peer: KernelPeer, parts: str, reason: str
) -> None:
    reply = await death_of(peer, f"{RAW_IOPUB}\nraw({parts})\nimport time; time.sleep(60)")
    assert reason in reply.content["evalue"]
    await back_again(room, peer)


async def test_nonsense_inside_of_messages_does_no_harm(room: OpenRoom, peer: KernelPeer) -> None:
    code = (
        RAW_IOPUB
        + """
deep = b'{"execution_state":' + b'[' * 50000
for content in (deep, b'', b'nul', b'{"execution_state":"\\xff"}', b'{"execution_state":7}', b'[]'):
    for kind in (b'status', b'execute_input', b'stream', b'input_request', b'execute_reply'):
        raw([b'x', b'<IDS|MSG>', b'', b'{"msg_id":"1","msg_type":"%s"}' % kind, deep, deep, content])
"""
    )
    await peer.execute(code + "print('fi' + 'ne')")
    async with asyncio.timeout(DEADLINE_S):
        while b"fine" not in await peer.socket.recv():
            pass
    async with socket_to(room, session_id="other") as socket:
        text, _, _ = await KernelPeer(socket).run("print('for others, too')")
    assert text == "for others, too\n"


async def test_metadata_that_are_a_bomb_cost_no_more_than_their_bytes(
    room: OpenRoom, peer: KernelPeer
) -> None:
    bomb = "{'a': [{}] * (8 << 20)}"
    code = f"""
kernel = get_ipython().kernel
finish = kernel.finish_metadata
def finish_once(*arguments):
    kernel.finish_metadata = finish
    return finish(*arguments) | {bomb}
kernel.finish_metadata = finish_once
"""
    with bounded_memory(400 * MIB):
        _, reply, answers = await peer.run(code)
    (answer,) = (message for message in answers if message.type == "execute_reply")
    assert reply["status"] == "ok"
    assert answer.metadata.keys() == {"embedenv"}
    receipt = answer.metadata["embedenv"]
    assert receipt["status"] == "ok"
    assert receipt["left_out_bytes"] > 24 * MIB
    text, _, answers = await peer.run("print('as ever')")
    (answer,) = (message for message in answers if message.type == "execute_reply")
    assert (text, "started" in answer.metadata) == ("as ever\n", True)


async def test_a_kernel_that_closes_its_descriptors_is_ended(room: OpenRoom, peer: KernelPeer) -> None:
    await death_of(peer, "import os; os.closerange(3, 1024)\nimport time; time.sleep(120)")
    await back_again(room, peer)


async def test_a_kernel_that_stops_itself_comes_back_by_a_restart(room: OpenRoom, peer: KernelPeer) -> None:
    await peer.execute("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)")
    await stopped()
    async with socket_to(room, session_id="late") as late:  # it does not answer, and keeps nobody out
        newcomer = KernelPeer(late)
        asked = await newcomer.send("shell", "kernel_info_request", {})
        (*_, refused) = await newcomer.until("kernel_info_reply", asked)
        assert "restart it" in refused.content["evalue"]
        await back_again(room, peer)
        text, _, _ = await newcomer.run("print('me too')")
        assert text == "me too\n"


async def test_a_kernel_that_does_not_read_is_restarted_though_a_child_holds_its_sockets(
    room: OpenRoom, peer: KernelPeer
) -> None:
    code = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    while True: time.sleep(600)
os.kill(os.getpid(), signal.SIGSTOP)
"""
    await peer.execute(code)
    await stopped()
    await peer.send("shell", "comm_msg", {"comm_id": "1", "data": {}}, buffers=(bytes(4 << 20),))
    await back_again(room, peer)


async def test_a_flood_that_nobody_reads_is_held_in_the_kernel(room: OpenRoom, peer: KernelPeer) -> None:
    with bounded_memory(200 * MIB):
        id = await peer.execute("import sys\nwhile True: sys.stdout.write('x' * 100_000)")
        await peer.until("stream", id)
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(5):
                await others_live(room)
    assert (await room.api("POST", f"{room.path}/kernels/{room.kernel}/interrupt", {})).status == 204
    (*_, reply) = await peer.until("execute_reply", id)
    assert reply.content["ename"] == "KeyboardInterrupt"


async def test_questions_without_an_end_are_bounded(room: OpenRoom, peer: KernelPeer) -> None:
    code = """
kernel = get_ipython().kernel
for i in range(3000):
    kernel.session.send(kernel.stdin_socket, 'input_request', {'prompt': 'x' * 10000, 'password': False},
                        {'header': {'msg_id': str(i), 'msg_type': 'execute_request'}},
                        ident=kernel._shell_parent_ident.get())
print('asked')
"""
    text, reply, _ = await peer.run(code)
    assert text == "asked\n", reply
    prompts = (await room.api("GET", f"{room.path}/prompts")).body
    assert len(prompts) <= 64


async def test_a_socket_that_leads_elsewhere_is_not_connected_to(
    room: OpenRoom, peer: KernelPeer, tmp_path: Path
) -> None:
    """Where its sockets were, the kernel puts links to one of the host and to one of its own, and a file."""
    place = tmp_path / "host.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place) if len(str(place)) < 100 else "/tmp/h.sock")
    os.chmod(place, 0o777)
    listener.listen()
    listener.setblocking(False)
    code = f"""
import os
from ipykernel.kernelapp import IPKernelApp
folder = os.path.dirname(IPKernelApp.instance().abs_connection_file)
os.rename(folder + '/s-1', folder + '/real')
os.symlink({str(place)!r}, folder + '/s-1')
os.rename(folder + '/s-3', folder + '/real3'); os.symlink(folder + '/real3', folder + '/s-3')
os.rename(folder + '/s-4', folder + '/real4'); open(folder + '/s-4', 'w').close()
"""
    _, reply, _ = await peer.run(code)
    assert reply["status"] == "ok", reply
    async with socket_to(room, session_id="late") as late:
        newcomer = KernelPeer(late)
        asked = await newcomer.send("shell", "kernel_info_request", {})
        (*_, refused) = await newcomer.until("kernel_info_reply", asked)
        assert refused.content["status"] == "error"
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()
    text, _, _ = await peer.run("print('still here')")
    assert text == "still here\n"
    await back_again(room, peer)
