"""What a shell in a room was seen to do to its supervisor, to other rooms and to the host; no more."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from embedenv_jupyter.errors import SandboxRequestError, SandboxUnavailableError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from tests.integration.sandbox.ns_rooms import IS_ROOT, at_rest, ns_room, ns_tier, python, start_python
from tests.integration.sandbox.programs import DEADLINE_S, output, read_until

IO_SETUP = 206 if os.uname().machine == "x86_64" else 0

FILL_THE_WAY = """
import errno, os, signal, socket
null, kept = os.open("/dev/null", os.O_RDONLY), []
while True:
    kept.append(socket.socketpair())
    kept[-1][0].setblocking(False)
    try:
        while True: socket.send_fds(kept[-1][0], [b"x"], [null] * 250)
    except BlockingIOError: continue
    except OSError as exc:
        print(errno.errorcode[exc.errno], flush=True)
        signal.pause()
"""
"""Sends descriptors that nobody receives, until this user may send no more (unix(7), ETOOMANYREFS)."""


@asynccontextmanager
async def way_is_full(room: Sandbox) -> AsyncIterator[None]:
    process = await start_python(room, FILL_THE_WAY)
    await read_until(process, b"ETOOMANYREFS")
    yield
    await process.signal(9)
    await process.wait()
    process.close()


async def works_again(room: Sandbox) -> bool:
    """Tell whether programs start; what was on its way is freed a moment after its sockets."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await output(room, "echo works") == b"works\n"
            except SandboxRequestError as exc:
                if exc.errno != errno.ETOOMANYREFS:
                    raise
                await room.request("ping")


async def test_supervisor_outlives_descriptors_that_nobody_receives() -> None:
    async with ns_room() as room:
        async with way_is_full(room):
            with pytest.raises(SandboxRequestError) as caught:
                await output(room, "true")
            assert caught.value.errno == errno.ETOOMANYREFS
        assert await works_again(room)


async def test_other_rooms_outlive_descriptors_that_nobody_receives() -> None:
    """As an ordinary user's, all rooms share one count, also with the gateway."""
    async with ns_tier() as tier:
        hostile, other = await tier.start(SandboxSpec("hostile")), await tier.start(SandboxSpec("other"))
        async with way_is_full(hostile):
            with contextlib.nullcontext() if IS_ROOT else pytest.raises(SandboxRequestError):
                await output(other, "true")
        assert await works_again(other)


async def test_zygote_outlives_descriptors_that_nobody_receives() -> None:
    async with ns_tier() as tier:
        hostile, other = await tier.start(SandboxSpec("hostile")), await tier.start(SandboxSpec("other"))
        assert tier.zygote is not None
        with open(f"/proc/{tier.zygote.pid}/task/{tier.zygote.pid}/children") as file:
            (zygote,) = map(int, file.read().split())
        # Below the gateway's own, so that the zygote is the first to be refused.
        resource.prlimit(zygote, resource.RLIMIT_NOFILE, (512, 512))
        async with way_is_full(hostile):
            with contextlib.nullcontext() if IS_ROOT else pytest.raises(SandboxUnavailableError):
                await tier.start(SandboxSpec("third"))
            assert tier.zygote.cause is None
        assert await works_again(other)


async def test_kernel_shares_no_pipe_with_its_supervisor() -> None:
    """Its code could empty the one that wakes the supervisor, or make it block."""
    if not IS_ROOT:
        pytest.skip("only root can look at what a supervisor holds")
    async with ns_room(kernels=True) as room:
        process = await room.fork_kernel("k1", "secret")
        code = f"""
import json, os
folder = "/proc/{process.pid}/fd"
print(json.dumps([os.readlink(f"{{folder}}/{{fd}}") for fd in os.listdir(folder)]))
"""
        held = set(await python(room, code))
        assert pipes_of(room.keeper.pid)
        assert not held & pipes_of(room.keeper.pid)
        process.close()


def pipes_of(pid: int | None) -> set[str]:
    folder = f"/proc/{pid}/fd"
    targets = {os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}
    return {target for target in targets if target.startswith("pipe:")}


async def test_requests_of_asynchronous_io_that_all_of_the_machine_share_are_not_to_be_had() -> None:
    code = f"""
import ctypes, errno, json
libc, context = ctypes.CDLL(None, use_errno=True), ctypes.c_ulong(0)
result = libc.syscall(ctypes.c_long({IO_SETUP}), ctypes.c_long(1000), ctypes.byref(context))
print(json.dumps([result, errno.errorcode[ctypes.get_errno()]]))
"""
    async with ns_room() as room:
        assert await python(room, code) == [-1, "EPERM"]


@contextmanager
def only(free: int) -> Iterator[None]:
    """Let this process, like a gateway with too many clients, open so many descriptors more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    filled = [os.open(os.devnull, os.O_RDONLY)]
    while filled[-1] <= highest:
        filled.append(os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (filled[-1] + 1 + free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in filled:
            os.close(fd)


async def test_rooms_outlive_a_gateway_that_can_open_nothing_more() -> None:
    async with ns_tier() as tier:
        room = await tier.start(SandboxSpec("room"))
        await at_rest(tier)
        held = len(os.listdir("/proc/self/fd"))
        for free in range(8):
            with only(free), contextlib.suppress(SandboxUnavailableError):
                await (await tier.start(SandboxSpec("refused"))).aclose()
            with only(free), contextlib.suppress(SandboxRequestError, OSError):
                (await room.spawn(["true"])).close()
        assert tier.zygote is not None
        assert tier.zygote.cause is None
        assert await output(room, "echo works") == b"works\n"
        await (await tier.start(SandboxSpec("again"))).aclose()
        await at_rest(tier)
        async with asyncio.timeout(DEADLINE_S):
            while len(os.listdir("/proc/self/fd")) != held:  # what failed is cleaned up in the background
                await room.request("ping")


async def test_settings_of_the_gateways_server_are_hidden() -> None:
    """A token or the hash of a password may be in them, and the room may run as the gateway's own user."""
    folder = os.path.join(sys.prefix, "etc", "jupyter")
    if not os.path.isdir(folder) or not os.listdir(folder):
        pytest.skip(f"{folder} holds no settings here")
    async with ns_room() as room:
        assert await python(room, f"import json, os; print(json.dumps(os.listdir({folder!r})))") == []


async def test_line_of_64_kib_in_any_script_is_run_or_refused() -> None:
    """As long as the Spaces protocol allows; control characters become six bytes each on the way."""
    async with ns_room() as room:
        assert await output(room, "echo works #" + "\u00e9" * (32 << 10)) == b"works\n"
        with pytest.raises(SandboxRequestError) as caught:
            await output(room, "true #" + "\x01" * (64 << 10))
        assert caught.value.errno == errno.EMSGSIZE
