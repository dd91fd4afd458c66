"""A supervisor that has turned against the gateway: the gateway lives, whatever it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from embedenv_jupyter.errors import SandboxGoneError, SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox import channel
from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.requests import MAX_STRAYS
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import ExitStatus, SandboxSpec
from tests.integration.sandbox.programs import DEADLINE_S

Descriptors = Callable[[], list[int]]
Answer = tuple[dict[str, Any], list[int]]


class RecordingKeeper:
    """Notes what the gateway does to the sandbox from outside."""

    pid = None

    def __init__(self) -> None:
        self.killed = asyncio.Event()
        self.ended = asyncio.Event()
        self.released = 0

    async def wait(self) -> ExitStatus:
        await self.ended.wait()
        return ExitStatus(signal=signal.SIGKILL) if self.killed.is_set() else ExitStatus(code=0)

    def kill(self) -> None:
        self.killed.set()
        self.ended.set()

    async def pause(self) -> bool:
        return False

    async def resume(self) -> bool:
        return False

    def counters(self) -> Counters:
        return Counters()

    async def release(self) -> None:
        self.released += 1


class Hostile:
    """The room's end of a channel, played by the test."""

    def __init__(self) -> None:
        ours, self.end = channel.pair()
        self.end.settimeout(DEADLINE_S)
        self.keeper = RecordingKeeper()
        self.sandbox = Sandbox(SandboxSpec("hostile"), ours, self.keeper, "test")

    async def says_ready(self) -> None:
        with opened(os.O_DIRECTORY) as home:
            channel.send(self.end, {"event": "ready", "pid": 1}, [home])
        await self.sandbox.ready(DEADLINE_S)

    async def answers(self, *answers: Answer) -> None:
        """Answer so many requests; the descriptors are closed here once they are sent."""
        for message, fds in answers:
            received = await asyncio.to_thread(channel.receive, self.end)
            assert received is not None
            asked, came = received
            channel.send(self.end, {"id": asked["id"], **message}, fds)
            for fd in (*fds, *came):
                os.close(fd)

    async def answers_one_ping(self) -> None:
        """See to it that everything sent so far has been looked at."""
        serving = asyncio.create_task(self.answers(({}, [])))
        await self.sandbox.request("ping", timeout_s=DEADLINE_S)
        await serving


@contextlib.contextmanager
def opened(flags: int = 0, path: str = "/") -> Any:
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        yield fd
    finally:
        os.close(fd)


@asynccontextmanager
async def hostile() -> AsyncIterator[Hostile]:
    peer = Hostile()
    try:
        yield peer
    finally:
        peer.end.close()
        peer.keeper.ended.set()
        await peer.sandbox.aclose()
        assert peer.keeper.released == 1


def nothing() -> list[int]:
    return []


def null_devices(count: int) -> Descriptors:
    return lambda: [os.open("/dev/null", os.O_RDWR) for _ in range(count)]


def folder() -> list[int]:
    return [os.open("/", os.O_RDONLY)]


def pipes(count: int) -> Descriptors:
    def make() -> list[int]:
        ends = [os.pipe() for _ in range(count)]
        for _, writer in ends:
            os.close(writer)
        return [reader for reader, _ in ends]

    return make


def terminal() -> list[int]:
    master, slave = os.openpty()
    os.close(slave)
    return [master]


def unix_socket() -> list[int]:
    return [socket.socket(socket.AF_UNIX).detach()]


REQUESTS: dict[str, Callable[[Sandbox], Any]] = {
    "spawn": lambda s: s.spawn(["true"]),
    "spawn_pty": lambda s: s.spawn_pty(["true"]),
    "fork_kernel": lambda s: s.fork_kernel("k1", "key"),
    "snapshot": lambda s: s.files.snapshot(),
    "open": lambda s: s.files.open("x"),
    "list": lambda s: s.files.list(),
    "stat": lambda s: s.files.stat("x"),
    "read": lambda s: s.files.read("x"),
    "connect": lambda s: s.connect(80),
    "remove": lambda s: s.files.remove("x", recursive=True),
}


@pytest.mark.parametrize("op", list(REQUESTS))
@pytest.mark.parametrize(
    "make",
    [nothing, null_devices(1), null_devices(3), null_devices(4), pipes(2), pipes(4), unix_socket, terminal],
)  # fmt: skip
async def test_wrong_descriptors_are_refused_and_closed(op: str, make: Descriptors) -> None:
    if (op, make) in {("connect", unix_socket), ("spawn_pty", terminal)}:
        pytest.skip("this is the right descriptor")
    async with hostile() as peer:
        await peer.says_ready()
        before = len(os.listdir("/proc/self/fd"))
        serving = asyncio.create_task(peer.answers(({"job": 1, "pid": 2}, make())))
        with contextlib.suppress(SandboxRequestError):
            close_whatever(await REQUESTS[op](peer.sandbox))
        await serving
        assert len(os.listdir("/proc/self/fd")) == before
        assert peer.sandbox.is_alive


def close_whatever(given: Any) -> None:
    if isinstance(given, int):
        os.close(given)
    elif hasattr(given, "close"):
        given.close()


@pytest.mark.parametrize(
    "answer",
    [{}, {"job": "one", "pid": 2}, {"job": [], "pid": 2}, {"job": {}, "pid": {}}, {"job": 1}, {"pid": 1}],
)
async def test_answer_without_a_job_is_refused(answer: dict[str, Any]) -> None:
    async with hostile() as peer:
        await peer.says_ready()
        serving = asyncio.create_task(peer.answers((answer, pipes(3)())))
        with pytest.raises(SandboxRequestError, match="named no job"):
            await peer.sandbox.spawn(["true"])
        await serving


@pytest.mark.parametrize(
    "error",
    [
        None,
        "text",
        [],
        {"errno": "x"},
        {"errno": 2, "path": ["x"], "detail": {"y": 1}},
        {"detail": "z" * 100_000},
    ],
)
async def test_any_error_becomes_a_short_refusal(error: Any) -> None:
    async with hostile() as peer:
        await peer.says_ready()
        serving = asyncio.create_task(peer.answers(({"error": error}, null_devices(4)())))
        with pytest.raises(SandboxRequestError) as caught:
            await peer.sandbox.files.open("x")
        assert len(str(caught.value)) < 5000
        await serving


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no json",
        b"[1]",
        b"7",
        b"\xff\xfe",
        b'{"id":1',
        b"[" * 100_000,
        b"x" * (channel.MAX_MESSAGE_BYTES + 1),
    ],
    ids=["empty", "text", "list", "number", "binary", "cut", "nested", "oversized"],
)
async def test_what_is_no_message_ends_the_sandbox(data: bytes) -> None:
    async with hostile() as peer:
        await peer.says_ready()
        pending = asyncio.create_task(peer.sandbox.files.open("x"))
        with opened() as fd:
            socket.send_fds(peer.end, [data], [fd])
        async with asyncio.timeout(DEADLINE_S):
            await peer.keeper.killed.wait()
            assert await peer.sandbox.wait_gone() == "died: signal SIGKILL"
        with pytest.raises(SandboxGoneError):
            await pending


async def test_too_many_descriptors_end_the_sandbox() -> None:
    async with hostile() as peer:
        await peer.says_ready()
        with opened() as fd:
            socket.send_fds(peer.end, [json.dumps({"id": 1}).encode()], [fd] * 100)
        async with asyncio.timeout(DEADLINE_S):
            await peer.sandbox.wait_gone()


STRAYS: Sequence[dict[str, Any]] = (
    {"id": 999}, {"id": "x"}, {"id": []}, {"id": {}}, {"id": None}, {"id": True}, {}, {"event": "party"},
    {"event": ["ready"]}, {"event": "ready"}, {"event": "exit"}, {"event": "exit", "job": "x", "status": 0},
    {"event": "exit", "job": 5, "status": None}, {"event": "exit", "job": 10**30, "status": 10**30},
)  # fmt: skip


async def test_messages_for_nobody_are_dropped_with_their_descriptors() -> None:
    async with hostile() as peer:
        await peer.says_ready()
        await peer.answers_one_ping()  # so that no request has the number 1, which is True
        before = len(os.listdir("/proc/self/fd"))
        for message in STRAYS:
            with opened() as fd:
                channel.send(peer.end, message, [fd] * channel.MAX_FDS)
        await peer.answers_one_ping()
        assert len(os.listdir("/proc/self/fd")) == before


async def test_a_flood_ends_the_sandbox() -> None:
    async with hostile() as peer:
        await peer.says_ready()
        peer.end.setblocking(False)
        for number in range(MAX_STRAYS + 100):
            while True:
                try:
                    channel.send(peer.end, {"id": number + 10})
                    break
                except BlockingIOError:
                    await asyncio.sleep(0)
                except BrokenPipeError:
                    assert peer.keeper.killed.is_set()
                    return
        async with asyncio.timeout(DEADLINE_S):
            await peer.keeper.killed.wait()


async def test_ready_needs_a_folder() -> None:
    async with hostile() as peer:
        with opened(path="/dev/null") as fd:
            channel.send(peer.end, {"event": "ready"}, [fd])
        with pytest.raises(SandboxTimeoutError):
            await peer.sandbox.ready(0.2)
        assert peer.sandbox.workspace_fd == -1


async def test_ready_that_comes_too_late_leaks_nothing() -> None:
    async with hostile() as peer:
        with pytest.raises(SandboxTimeoutError):
            await peer.sandbox.ready(0.01)
        with opened(os.O_DIRECTORY) as home:
            channel.send(peer.end, {"event": "ready", "pid": 1}, [home])
        await peer.answers_one_ping()
        assert peer.sandbox.workspace_fd >= 0


async def test_silence_times_out_and_a_late_answer_leaks_nothing() -> None:
    async with hostile() as peer:
        await peer.says_ready()
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(SandboxTimeoutError, match=r"'open' within 0\.05 s"):
            await peer.sandbox.request("open", timeout_s=0.05, path="x")
        await peer.answers(({}, null_devices(1)()))
        await peer.answers_one_ping()
        assert len(os.listdir("/proc/self/fd")) == before


async def test_supervisor_that_does_not_read_is_waited_for_until_the_deadline() -> None:
    async with hostile() as peer:
        await peer.says_ready()
        async with asyncio.timeout(DEADLINE_S):
            results = await asyncio.gather(
                *(peer.sandbox.request("open", timeout_s=0.5, path="x" * 100_000) for _ in range(50)),
                return_exceptions=True,
            )
        assert {type(result) for result in results} == {SandboxTimeoutError}


async def test_channel_closed_by_a_supervisor_that_lives_on_ends_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedenv_jupyter.sandbox.sandbox.CLOSE_TIMEOUT_S", 0.1)
    async with hostile() as peer:
        await peer.says_ready()
        pending = asyncio.create_task(peer.sandbox.files.open("x"))
        peer.end.shutdown(socket.SHUT_RDWR)
        async with asyncio.timeout(DEADLINE_S):
            assert await peer.sandbox.wait_gone() == "died: signal SIGKILL"
        assert peer.keeper.killed.is_set()
        with pytest.raises(SandboxGoneError):
            await pending


async def test_content_that_the_supervisor_keeps_is_freed() -> None:
    async with hostile() as peer:
        await peer.says_ready()
        writing = asyncio.create_task(peer.sandbox.files.write("x", b"x" * 1_000_000))
        received = await asyncio.to_thread(channel.receive, peer.end)
        assert received is not None
        asked, (content,) = received
        assert os.fstat(content).st_blocks > 0
        channel.send(peer.end, {"id": asked["id"], "sha256": ["no text"]})
        await writing
        assert os.fstat(content).st_blocks == 0
        os.close(content)
