"""The best tier: rooms forked from a zygote into namespaces of their own, as root or as any user."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxError, SandboxUnavailableError
from embedenv_jupyter.sandbox import channel, confine, landlock, uids
from embedenv_jupyter.sandbox.image import Image, Tree, required_tree
from embedenv_jupyter.sandbox.namespaces import Entry
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers.host_limits import HostLimits
from embedenv_jupyter.sandbox.tiers.ns_keeper import NsKeeper
from embedenv_jupyter.sandbox.tiers.spares import Blank, Spares
from embedenv_jupyter.sandbox.tiers.zygotes import Zygote, Zygotes
from embedenv_jupyter.sandbox.watch import Monitor
from embedenv_jupyter.sandbox.zygote_client import MAX_UNANSWERED, ZygoteClient

log = logging.getLogger(__name__)

FORK_TIMEOUT_S = 10.0

End = TypeVar("End")

_KERNEL_IS_SHARED = (
    "A flaw in this machine's Linux kernel, which all rooms use directly.",
    "Measuring other rooms through caches and timing of the shared processors.",
    "A workspace that is a folder of the host is measured now and then, not limited.",
    "A room with network=True reaches whatever this machine reaches.",
)


class NsTier:
    """Rooms in Linux namespaces, forked from a zygote, which is started when it is first needed.

    Rooms stand on ``image``, or on the one of their spec, else on the host; each has a zygote of its own.
    ``use_cgroups=False`` leaves cgroups alone, where they misbehave.
    ``kernels=False`` makes a zygote that knows no ipykernel: ready sooner and
    smaller, but each ``fork_kernel`` then imports everything anew.
    """

    name = "ns"
    unprotected: tuple[str, ...]

    def __init__(self, *, use_cgroups: bool = True, kernels: bool = True, image: Image | None = None) -> None:
        self._tree = required_tree(image, self.name) if image is not None else None
        self._kernels = kernels
        self._limits = HostLimits(use_cgroups=use_cgroups)
        self._user_mode = not _has_users_for_rooms()
        self.unprotected = (*_KERNEL_IS_SHARED, *_what_is_left(self.controllers, user_mode=self._user_mode))
        self._zygotes = Zygotes(self._launch, self._zygote_died)
        self._spares = Spares(partial(self._fork, is_awaited=False))
        self._forking = asyncio.Semaphore(MAX_UNANSWERED)
        self._sandboxes: dict[NsKeeper, tuple[Sandbox, Zygote]] = {}
        self._cleaning: set[asyncio.Task[None]] = set()
        self._monitor = Monitor()

    @property
    def controllers(self) -> frozenset[str]:
        """Which cgroup controllers hold the rooms' limits."""
        return self._limits.controllers

    @property
    def why_no_cgroups(self) -> str:
        """Why no cgroup limits the rooms; empty if one does."""
        return self._limits.why_no_cgroups

    @property
    def zygote(self) -> ZygoteClient | None:
        """The process that the last room was forked from, once there is one."""
        last = self._zygotes.last
        return last.client if last is not None else None

    @property
    def has_spare(self) -> bool:
        """Whether a process waits for the next room on what the last one stands on."""
        return self._zygotes.last in self._spares

    @property
    def is_at_rest(self) -> bool:
        """Whether such a process waits, and none is being made anew or released."""
        return self.has_spare and self._spares.is_at_rest

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one room. Several may be started at the same time.

        Raises:
            SandboxUnavailableError: something that the room needs is refused; the text names it.
        """
        zygote = await self._zygotes.take(spec.image or self._tree)
        try:
            sandbox, blank = await self._have(zygote, spec)
        except BaseException:
            self._zygotes.give_back(zygote)
            raise
        finally:
            self._spares.want(zygote)
        try:
            await self._serving(sandbox, blank.report)
        finally:
            os.close(blank.report)
        self._monitor.add(sandbox, blank.keeper.watchdog)
        return sandbox

    async def _have(self, zygote: Zygote, spec: SandboxSpec) -> tuple[Sandbox, Blank]:
        """Have a process become the room; whoever calls this closes its report."""
        lease = await self._lease(spec)
        try:
            blank = self._spares.take(zygote) or await self._fork(zygote)
        except BaseException:
            if lease is not None:
                lease.release()
            raise
        blank.keeper.lease = lease
        try:
            return self._tell(blank, spec, zygote), blank
        except BaseException:
            self._clean(blank.discard())
            raise

    async def _launch(self, tree: Tree | None, on_death: Callable[[str], None]) -> ZygoteClient:
        return await ZygoteClient.launch(
            on_death,
            user_mode=self._user_mode,
            cgroup_folders=self._limits.folders,
            layers=self._limits.layers(confine.EVERYWHERE, pinned="cpu" not in self.controllers),
            kernels=self._kernels,
            tree=tree,
        )

    async def _lease(self, spec: SandboxSpec) -> uids.UidLease | None:
        """Give the room a user of its own, and that user the workspace; none in user mode.

        Raises:
            SandboxUnavailableError: there is no free one, or the workspace cannot be given away.
        """
        return None if self._user_mode else await uids.lease_for(spec)

    async def _fork(self, zygote: Zygote, *, is_awaited: bool = True) -> Blank:
        """Make a process that can become any room of that zygote.

        A zygote that says nothing though somebody waits for a room is ended.

        Raises:
            SandboxUnavailableError: something that it needs is refused; the text names it.
        """
        is_early = not zygote.client.is_settled
        with ExitStack() as kept:
            ours, theirs = _made(channel.pair)
            kept.enter_context(ours)
            with theirs:
                report, writer = _made(os.pipe)
                kept.callback(os.close, report)
                try:
                    keeper = await self._conceive(zygote, theirs.fileno(), writer, is_awaited=is_awaited)
                finally:
                    os.close(writer)
            kept.pop_all()
        return Blank(keeper, ours, report, is_early=is_early)

    async def _conceive(self, zygote: Zygote, connection: int, report: int, *, is_awaited: bool) -> NsKeeper:
        keeper = NsKeeper()
        try:
            keeper.group = self._limits.create_group()
            async with self._forking:
                folders = keeper.group.folders if keeper.group is not None else ()
                birth = zygote.client.ask(connection, report, folders)
                keeper.expect(birth)
                async with deadline(FORK_TIMEOUT_S):
                    await asyncio.wait([birth.forked])
                keeper.attach(birth.forked.result())
        except BaseException as exc:
            self._clean(keeper.discard(FORK_TIMEOUT_S))  # it ends by itself: the caller closes its connection
            if isinstance(exc, TimeoutError):
                if is_awaited:
                    zygote.client.end_if_silent(FORK_TIMEOUT_S)
                raise SandboxUnavailableError(
                    f"The zygote has not forked a room within {FORK_TIMEOUT_S:g} s; try again."
                ) from None
            if isinstance(exc, OSError):
                raise SandboxUnavailableError(f"The host refuses what the room needs: {exc}") from exc
            raise
        return keeper

    def _tell(self, blank: Blank, spec: SandboxSpec, zygote: Zygote) -> Sandbox:
        """Have a blank become the room, within its limits."""
        keeper = blank.keeper
        if zygote.client.cause is not None:
            raise SandboxUnavailableError(f"The zygote has ended: {zygote.client.cause}.")
        try:
            if keeper.group is not None:
                keeper.group.limit(spec.limits)
            if self._limits.watched:
                keeper.watch(spec.limits)
            channel.send(blank.connection, self._configuration(spec, keeper))
            sandbox = Sandbox(spec, blank.connection, keeper, self.name, lease=zygote.lease)
        except (OSError, channel.ChannelError) as exc:
            reason = _reported(blank.report) or str(exc)
            raise SandboxUnavailableError(f"The host refuses what the room needs: {reason}") from exc
        self._sandboxes[keeper] = sandbox, zygote
        keeper.on_release = lambda: self._forget(keeper)
        return sandbox

    def _forget(self, keeper: NsKeeper) -> None:
        found = self._sandboxes.pop(keeper, None)
        if found is not None:
            sandbox, zygote = found
            self._monitor.remove(sandbox)
            self._zygotes.give_back(zygote)

    async def _serving(self, sandbox: Sandbox, report: int) -> None:
        try:
            await sandbox.ready()
        except BaseException as exc:
            self._clean(sandbox.aclose("did not start"))
            if isinstance(exc, SandboxError):
                reason = _reported(report) or str(exc)
                raise SandboxUnavailableError(f"The room could not be isolated: {reason}") from exc
            raise

    def _configuration(self, spec: SandboxSpec, keeper: NsKeeper) -> dict[str, Any]:
        uid = keeper.lease.uid if keeper.lease is not None else None
        cores = self._limits.cores(spec.limits)
        layers = self._limits.layers(confine.EVERYWHERE, pinned=cores is not None)
        entry = Entry(uid, cores, layers)
        return {"op": "configure", "spec": spec.to_dict(), "entry": entry.to_dict()}

    def _zygote_died(self, zygote: Zygote, cause: str) -> None:
        for keeper, (sandbox, its) in list(self._sandboxes.items()):
            if its is not zygote:
                continue
            keeper.orphaned()
            sandbox.lost("zygote died")
            self._clean(sandbox.aclose())

    def _clean(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something ended that nobody waits for now; ``aclose`` will."""
        task = asyncio.create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def aclose(self) -> None:
        await self._zygotes.stop_launching()
        await self._spares.stop_making()
        closing = [sandbox.aclose("tier closed") for sandbox, _ in self._sandboxes.values()]
        await asyncio.gather(*closing, *self._cleaning)
        await self._monitor.aclose()
        await self._zygotes.aclose()
        await self._spares.aclose()
        await asyncio.gather(*self._cleaning)
        self._limits.close()


def _made(make: Callable[[], tuple[End, End]]) -> tuple[End, End]:
    """Make a pipe or a channel.

    Raises:
        SandboxUnavailableError: we hold as many descriptors as we may.
    """
    try:
        return make()
    except OSError as exc:
        raise SandboxUnavailableError(f"The gateway can open nothing more: {exc.strerror}.") from exc


def _reported(report: int) -> str:
    """Return what the child wrote about its failure, if it did."""
    os.set_blocking(report, False)
    try:
        return str(json.loads(os.read(report, 4096))["detail"])
    except (BlockingIOError, ValueError, KeyError, TypeError):
        return ""


def _has_users_for_rooms() -> bool:
    """Tell whether we are a root that can give each room a user id of its own.

    The root of a user namespace, as in a rootless container, mostly is not: other
    ids mean nothing there (user_namespaces(7)). Then user mode is right, too.
    """
    if os.geteuid() != 0:
        return False
    with open("/proc/self/uid_map") as lines:
        ranges = [(int(first), int(count)) for first, _, count in map(str.split, lines)]
    return any(first <= uids.FIRST_UID and first + count > uids.LAST_UID for first, count in ranges)


def _what_is_left(controllers: frozenset[str], *, user_mode: bool) -> Iterator[str]:
    """Say what the absence of cgroup controllers, and of a user id for each room, leaves open."""
    if "memory" not in controllers:
        yield (
            "No cgroup limits memory: several programs together exceed the room's limit until the next "
            "sample, a tenth of a second; files in /tmp, /dev/shm and the workspace, and what the kernel "
            "holds for programs, such as the buffers of sockets, are not counted in it."
        )
    if "cpu" not in controllers:
        yield "No cgroup limits processor time: rooms are pinned to cores, and those on one core share it."
    if "freezer" not in controllers:
        yield "No cgroup freezes a paused room: a program that was made for it wakes itself up."
    if landlock.abi() == 0:
        yield "The kernel has no Landlock: nothing but mounts and user ids guards files and /proc."
    if user_mode:
        yield (
            "Rooms run as the gateway's own user: what breaks out of one has that user's rights, and one "
            "room can use up what the kernel counts for each user, such as descriptors on their way."
        )
        yield (
            "The kernel counts some things for each user, so one room can use them up for all: descriptors "
            "on their way through sockets (nothing is started then), entries of epoll, buffers of pipes."
        )
