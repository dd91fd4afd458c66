"""A gateway that may open nothing more refuses a room in words, leaks nothing, and goes on."""

from __future__ import annotations

import glob
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import Tier
from tests.integration.sandbox.left_behind import group_folders, until
from tests.integration.sandbox.ns_rooms import at_rest
from tests.integration.sandbox.programs import OpenSandbox, output

pytestmark = pytest.mark.alone

ROOM_FOLDERS = f"{tempfile.gettempdir()}/embedenv-room-*"


@pytest.fixture(params=["ns", "bwrap", "landlock"])
def tier_name(request: pytest.FixtureRequest) -> str:
    """The tiers that start processes of their own; an engine's command line is tested apart."""
    return str(request.param)


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Let this process open ``count`` descriptors more than it holds."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/dev/null", os.O_RDONLY)
    plugs = [lowest]
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    while plugs[-1] < highest:  # the limit is on the number, and numbers in between are free
        plugs.append(os.open("/dev/null", os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (plugs[-1] + 1 + count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for plug in plugs:
            os.close(plug)


def room_groups() -> list[str]:
    return [str(room) for folder in group_folders(os.getpid()) for room in folder.glob("room-*")]


async def is_refused(tier: Tier, count: int) -> bool:
    """Start a room with ``count`` descriptors left; anything but a room or a refusal fails the test."""
    with descriptors_left(count):
        try:
            sandbox = await tier.start(SandboxSpec(id="refused"))
        except SandboxUnavailableError:
            return True
    await sandbox.aclose()
    return False


async def test_start_without_descriptors_is_refused_and_leaves_nothing(
    tier: Tier, open_sandbox: OpenSandbox
) -> None:
    await (await open_sandbox()).aclose()  # skips where the tier does not work
    await at_rest(tier)
    groups = len(room_groups())
    before, folders = len(os.listdir("/proc/self/fd")), set(glob.glob(ROOM_FOLDERS))
    refused = [count for count in range(14) if await is_refused(tier, count)]
    assert refused[:3] == [0, 1, 2]
    await until(lambda: set(glob.glob(ROOM_FOLDERS)) <= folders)
    await at_rest(tier)
    await until(lambda: len(room_groups()) == groups)
    await until(lambda: len(os.listdir("/proc/self/fd")) == before)
    sandbox = await open_sandbox()
    assert await output(sandbox, "echo alive") == b"alive\n"
    await sandbox.aclose()


@pytest.mark.parametrize("count", range(4))
async def test_first_start_without_descriptors_is_refused_in_words(tier: Tier, count: int) -> None:
    with descriptors_left(count), pytest.raises(SandboxUnavailableError):
        await tier.start(SandboxSpec(id="refused"))
