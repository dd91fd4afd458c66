"""The zygote as a process: small, single-threaded, and warm for kernels."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers.ns import NsTier
from embedenv_jupyter.sandbox.tree import children
from tests.integration.sandbox.ns_rooms import IS_ROOT, ns_room, ns_tier, python, shell
from tests.integration.sandbox.programs import DEADLINE_S


def zygote_of(tier: NsTier) -> int:
    assert tier.zygote is not None
    (pid,) = children(tier.zygote.pid)
    return pid


async def test_zygote_has_one_thread_and_few_descriptors() -> None:
    async with ns_tier(kernels=True) as tier:
        room = await tier.start(SandboxSpec(id="r"))
        for pid in (tier.zygote.pid if tier.zygote else 0, zygote_of(tier), room.keeper.pid or 0):
            assert len(os.listdir(f"/proc/{pid}/task")) == 1
        if IS_ROOT:
            await room.request("ping")  # by now it has closed what it sent when it was ready
            folder = f"/proc/{room.keeper.pid}/fd"
            held = sorted(os.readlink(f"{folder}/{fd}").partition(":")[0] for fd in os.listdir(folder))
            assert held == [
                "/dev/null", "/dev/null", "/dev/null", "/home/user", "/proc/1/oom_score_adj",
                "anon_inode", "pipe", "pipe", "socket",
            ]  # fmt: skip


async def test_zygote_has_a_minimal_environment() -> None:
    async with ns_tier() as tier:
        await tier.start(SandboxSpec(id="r"))
        environment = Path(f"/proc/{zygote_of(tier)}/environ").read_bytes().decode().split("\0")
        names = {line.partition("=")[0] for line in environment if line}
        assert names == {
            "PATH", "LANG", "HOME", "IPYTHONDIR", "JUPYTER_NO_CONFIG", "OPENBLAS_NUM_THREADS",
            "OMP_NUM_THREADS", "PYDEVD_DISABLE_FILE_VALIDATION",
        }  # fmt: skip


async def test_kernel_is_warm_and_has_the_rooms_environment() -> None:
    async with ns_room(kernels=True, env={"COLOUR": "blue"}) as room:
        started_s = time.monotonic()
        process = await room.fork_kernel("k1", "secret")
        found = await python(
            room,
            f"""
import json, os
print(json.dumps([os.path.exists("/run/room/k1/s-5"), os.readlink("/proc/{process.pid}/cwd"),
                  "debugpy" in open("/proc/{process.pid}/maps").read()]))
""",
        )
        assert found == [True, "/home/user", True]
        assert time.monotonic() - started_s < 10
        await process.signal(15)
        process.close()


async def test_rooms_do_not_share_random_numbers() -> None:
    async with ns_tier(kernels=True) as tier:
        rooms = [await tier.start(SandboxSpec(id=name)) for name in "ab"]
        line = "import random, uuid; open('drawn', 'w').write(f'{random.random()} {uuid.uuid1()}')"
        argv = [f"--IPKernelApp.exec_lines={line}"]
        kernels = [await room.fork_kernel("k1", "secret", argv=argv) for room in rooms]
        # The same number in each room, so nothing may be derived from it.
        assert kernels[0].pid == kernels[1].pid
        drawn = [(await room.files.read("drawn")).split() for room in rooms]
        assert not set(drawn[0]) & set(drawn[1])
        for kernel in kernels:
            kernel.close()


async def test_rooms_of_two_gateways_live_side_by_side() -> None:
    async with ns_tier() as one, ns_tier() as two:
        rooms = await asyncio.gather(one.start(SandboxSpec(id="a")), two.start(SandboxSpec(id="b")))
        assert await asyncio.gather(*(shell(room, "echo $$") for room in rooms)) == ["2\n", "2\n"]
        if IS_ROOT:
            assert len({os.stat(f"/proc/{room.keeper.pid}").st_uid for room in rooms} - {0}) == 2


async def test_room_is_ready_in_milliseconds() -> None:
    """Not a benchmark: a bound that a start with an exec, or an import, would break."""
    async with ns_tier(kernels=True) as tier:
        await (await tier.start(SandboxSpec(id="first"))).aclose()
        took_s = []
        async with asyncio.timeout(DEADLINE_S):
            for number in range(15):
                began_s = time.perf_counter()
                room = await tier.start(SandboxSpec(id=f"room-{number}"))
                took_s.append(time.perf_counter() - began_s)
                await room.aclose()
        assert min(took_s) < 0.05, took_s


async def test_zygote_that_nobody_asks_rehearses_and_leaves_nothing() -> None:
    """It grows by what all rooms then share, and is still what a room can be forked from."""
    async with ns_tier(kernels=True) as tier:
        await (await tier.start(SandboxSpec(id="before"))).aclose()
        before = resident_kib(zygote_of(tier))
        async with asyncio.timeout(DEADLINE_S):
            while resident_kib(zygote_of(tier)) < before + 20_000:
                await asyncio.sleep(0.1)
        room = await tier.start(SandboxSpec(id="after"))
        (await room.fork_kernel("k1", "secret")).close()
        assert len(os.listdir(f"/proc/{zygote_of(tier)}/task")) == 1
        assert tier.zygote is not None
        guard = tier.zygote.pid
        assert len(scratch_folders(guard)) == 1
    async with asyncio.timeout(DEADLINE_S):
        while scratch_folders(guard):  # the guard removes it, when the zygote has ended
            await asyncio.sleep(0.01)


def scratch_folders(guard: int) -> list[Path]:
    """Return the folders for temporary files of the zygote that a process guards."""
    return list(Path(tempfile.gettempdir()).glob(f"zygote-{guard}-*"))


def resident_kib(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line)
    return int(line.split()[1])
