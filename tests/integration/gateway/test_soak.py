"""A thousand rooms, one after another, leave the gateway as it was."""

from __future__ import annotations

import asyncio
import gc
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from embedenv_jupyter.gateway import Gateway, GatewaySettings
from embedenv_jupyter.rooms.members import Role
from embedenv_jupyter.sandbox.spec import MIB
from tests.integration.sandbox.ns_rooms import at_rest

WARM_UP = 100
ROOMS = 1000
GROWTH_BYTES = 12 * MIB
"""More than an allocator's moods, less than 13 KB a room."""


@dataclass(frozen=True)
class Held:
    """What this process and its children hold."""

    fds: int
    processes: int
    child_fds: int
    cgroups: int
    mounts: int
    files: int
    temporary: int
    tasks: int

    @classmethod
    def now(cls, data_dir: Path, temporary: Path) -> Held:
        own = psutil.Process()
        children = own.children(recursive=True)
        return cls(
            fds=own.num_fds(),
            processes=len(children),
            child_fds=sum(child.num_fds() for child in children),
            cgroups=len(list(Path("/sys/fs/cgroup").glob(f"**/embedenv-{os.getpid()}-*/*/"))),
            mounts=sum(mounts_of(pid) for pid in (own.pid, *(child.pid for child in children))),
            files=len(list(data_dir.rglob("*"))),
            temporary=len(list(temporary.rglob("*"))),
            tasks=len(asyncio.all_tasks()),
        )


def mounts_of(pid: int) -> int:
    """Count the mounts that a process sees; what forks the rooms sees other ones than we do."""
    return len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


def memory_bytes() -> int:
    gc.collect()
    own = psutil.Process()
    return int(own.memory_info().rss) + sum(int(p.memory_info().rss) for p in own.children(recursive=True))


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the gateway makes its temporary folders: not in /tmp, where other gateways of the machine do."""
    with tempfile.TemporaryDirectory(prefix="embedenv-test-") as folder:
        Path(folder).chmod(0o711)  # the rooms' users must get to their own in it
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
async def gateway(tmp_path: Path, temporary: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(GatewaySettings(data_dir=tmp_path / "data", pool_size=0))
    await gateway.start()
    yield gateway
    await gateway.aclose()


async def use_a_room(gateway: Gateway) -> None:
    opened = await gateway.rooms.open(LOCAL_ACCOUNT, space="soak")
    room = opened.room
    member = room.people.admit("ann", "#123456", Role.OWN)
    run = await room.shell(member, "echo hello; sleep 1000 &")
    async with asyncio.timeout(20):
        await run.ended.wait()
    await room.files.write(member, "project/a.txt", b"x" * 1000)
    room.people.leave(member)
    await room.aclose("stopped")
    async with asyncio.timeout(20):
        while len(gateway.rooms):  # its log is removed after its end
            await asyncio.sleep(0)


@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_a_thousand_rooms_leave_no_trace(gateway: Gateway, tmp_path: Path, temporary: Path) -> None:
    for _ in range(WARM_UP):
        await use_a_room(gateway)
    await at_rest(gateway.tier)
    before, memory_before = Held.now(tmp_path, temporary), memory_bytes()
    for _ in range(ROOMS):
        await use_a_room(gateway)
    after = Held.now(tmp_path, temporary)
    for _ in range(200):  # the last room's traces may take a moment to go
        if after == before:
            break
        await asyncio.sleep(0.1)
        after = Held.now(tmp_path, temporary)
    assert after == before
    grown = memory_bytes() - memory_before
    assert grown < GROWTH_BYTES, f"{ROOMS} rooms left {grown / MIB:.1f} MiB behind"
    print(f"{ROOMS} rooms: memory grew by {grown / MIB:.2f} MiB; {before}")
