"""The process that is kept for the next room: used once, confined like any other, never left behind."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import image
from embedenv_jupyter.sandbox.cgroups import Group
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.spec import Limits, SandboxSpec
from embedenv_jupyter.sandbox.tiers import zygotes
from embedenv_jupyter.sandbox.tiers.ns import NsTier
from embedenv_jupyter.sandbox.tree import children
from tests.integration.sandbox import root_tree
from tests.integration.sandbox.left_behind import group_folders, is_gone, until
from tests.integration.sandbox.ns_rooms import IS_ROOT, WAYS, at_rest, ns_tier, python
from tests.integration.sandbox.programs import DEADLINE_S

MIB = 1 << 20


def blanks(tier: NsTier, known: set[int]) -> set[int]:
    """Return the zygote's children that are no rooms."""
    assert tier.zygote is not None
    return {child for zygote in children(tier.zygote.pid) for child in children(zygote)} - known


async def blank_of(tier: NsTier, known: set[int]) -> int:
    """Wait until the zygote has one process for the next room, and return its pid."""
    await until(lambda: tier.has_spare and len(blanks(tier, known)) == 1)
    (pid,) = blanks(tier, known)
    return pid


def noted(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> list[object]:
    """Note what a function of a module is called with."""
    calls: list[object] = []
    original: Callable[..., object] = getattr(module, name)

    def call(*given: object) -> object:
        calls.append(given)
        return original(*given)

    monkeypatch.setattr(module, name, call)
    return calls


@pytest.mark.parametrize("way", WAYS)
async def test_next_room_is_the_process_that_waited_for_it(way: str) -> None:
    async with ns_tier(way) as tier:
        first = await tier.start(SandboxSpec(id="first"))
        assert first.keeper.pid is not None
        waiting = await blank_of(tier, {first.keeper.pid})
        second = await tier.start(SandboxSpec(id="second", hostname="anew"))
        assert second.keeper.pid == waiting
        assert await python(second, "import json, socket; print(json.dumps(socket.gethostname()))") == "anew"
        third = await blank_of(tier, {first.keeper.pid, waiting})
        assert third != waiting


async def test_blank_gets_the_limits_of_the_room_it_becomes() -> None:
    async with ns_tier("cgroups") as tier:
        first = await tier.start(SandboxSpec(id="first"))
        assert first.keeper.pid is not None
        waiting = await blank_of(tier, {first.keeper.pid})
        room = await tier.start(SandboxSpec(id="small", limits=Limits(memory_bytes=96 * MIB, pids=40)))
        assert room.keeper.pid == waiting
        process = await room.spawn(["python3", "-c", "x = bytearray(200 << 20)"])
        status = await process.wait()
        process.close()
        assert status.signal == signal.SIGKILL
        forks = (
            "import os, signal\n"
            "born = []\n"
            "try:\n"
            "    while len(born) < 100:\n"
            "        born.append(os.fork())\n"
            "        if not born[-1]: signal.pause()\n"
            "except OSError: pass\n"
            "for pid in born: os.kill(pid, signal.SIGKILL)\n"
            "print(len(born))"
        )
        assert 10 < await python(room, forks) < 40


@pytest.mark.parametrize("way", WAYS)
async def test_blank_that_was_killed_is_not_used_and_is_replaced(way: str) -> None:
    async with ns_tier(way) as tier:
        first = await tier.start(SandboxSpec(id="first"))
        assert first.keeper.pid is not None
        known = {first.keeper.pid}
        waiting = await blank_of(tier, known)
        os.kill(waiting, signal.SIGKILL)
        await until(lambda: is_gone(waiting))
        await until(lambda: not blanks(tier, known))
        second = await tier.start(SandboxSpec(id="second"))
        assert second.keeper.pid not in {None, waiting}
        assert await python(second, "print(1)") == 1
        assert second.keeper.pid is not None
        await blank_of(tier, known | {second.keeper.pid})


async def test_blank_whose_death_nobody_has_noticed_is_not_handed_out() -> None:
    async with ns_tier() as tier:
        first = await tier.start(SandboxSpec(id="first"))
        assert first.keeper.pid is not None
        waiting = await blank_of(tier, {first.keeper.pid})
        end = os.pidfd_open(waiting)
        os.kill(waiting, signal.SIGKILL)
        assert select.select([end], [], [], DEADLINE_S)[0], "it lives"  # and no turn of the loop
        os.close(end)
        second = await tier.start(SandboxSpec(id="second"))
        assert second.keeper.pid not in {None, waiting}
        assert await python(second, "print(1)") == 1


async def test_gateway_that_can_watch_nothing_more_refuses_a_room_and_keeps_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ns_tier("cgroups") as tier:
        first = await tier.start(SandboxSpec(id="first"))
        await at_rest(tier)
        held = len(os.listdir("/proc/self/fd"))
        loop = asyncio.get_running_loop()

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(loop, "add_reader", refuse)
            with pytest.raises(SandboxUnavailableError, match="No space left"):
                await tier.start(SandboxSpec(id="refused"))
            await asyncio.gather(*tier._cleaning)  # what failed is cleaned up while that holds
        await tier.start(SandboxSpec(id="next"))
        await first.aclose()
        await at_rest(tier)
        await until(lambda: len(os.listdir("/proc/self/fd")) == held)
        rooms = [room for folder in group_folders(os.getpid()) for room in folder.glob("room-*")]
        assert len(rooms) == 2 * len(group_folders(os.getpid())), "one room and the spare"


async def test_start_that_lost_its_cgroup_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ns_tier("cgroups") as tier:
        claim = tier._limits._claim  # there is no other way to spoil it
        assert claim is not None
        create = claim.create

        def create_and_lose(name: str, limits: Limits | None = None) -> Group:
            group = create(name, limits)
            group.remove()
            return group

        monkeypatch.setattr(claim, "create", create_and_lose)
        with pytest.raises(SandboxUnavailableError, match="No such file"):
            await tier.start(SandboxSpec(id="room"))


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_a_blank_stays_when_its_tier_is_closed(way: str) -> None:
    async with ns_tier(way) as tier:
        room = await tier.start(SandboxSpec(id="room"))
        assert room.keeper.pid is not None
        waiting = await blank_of(tier, {room.keeper.pid})
        opened = len(os.listdir("/proc/self/fd"))
        await room.aclose()
    assert is_gone(waiting)
    assert group_folders(os.getpid()) == set()
    assert len(os.listdir("/proc/self/fd")) < opened


async def test_blank_is_made_anew_when_its_zygote_has_learned_all() -> None:
    async with ns_tier(kernels=True) as tier:
        room = await tier.start(SandboxSpec(id="room"))
        assert room.keeper.pid is not None and tier.zygote is not None
        early = await blank_of(tier, {room.keeper.pid})
        assert not tier.zygote.is_settled
        async with asyncio.timeout(30):
            assert await tier.zygote.settled()
        await until(lambda: is_gone(early))
        late = await blank_of(tier, {room.keeper.pid})
        assert (await tier.start(SandboxSpec(id="next"))).keeper.pid == late


async def test_zygote_that_nobody_needs_any_more_takes_its_blank_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not IS_ROOT:
        pytest.skip("the tree of these tests is for root")
    monkeypatch.setattr(zygotes, "MAX_IDLE", 0)
    ended = noted(monkeypatch, zygotes, "_end")
    async with ns_tier("no cgroups") as tier:
        room = await tier.start(SandboxSpec(id="room"))
        assert room.keeper.pid is not None
        waiting = await blank_of(tier, {room.keeper.pid})
        await room.aclose()
        await until(lambda: is_gone(waiting))
        assert len(ended) == 1
        again = await tier.start(SandboxSpec(id="again"))
        assert await python(again, "print(2)") == 2


async def test_each_thing_that_rooms_stand_on_has_a_blank_of_its_own() -> None:
    if not IS_ROOT:
        pytest.skip("the tree of these tests is for root")
    tree = Image.named(str(root_tree.make()))
    path = image.required_tree(tree, "ns")
    async with ns_tier("no cgroups") as tier:
        host = await tier.start(SandboxSpec(id="host"))
        assert host.keeper.pid is not None
        of_host = await blank_of(tier, {host.keeper.pid})
        on_tree = await tier.start(SandboxSpec(id="tree", image=path))
        assert on_tree.keeper.pid not in {None, of_host}
        assert Path(f"/proc/{of_host}").exists()
        assert (await tier.start(SandboxSpec(id="host2"))).keeper.pid == of_host
