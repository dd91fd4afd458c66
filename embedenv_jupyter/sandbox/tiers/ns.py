"""The best tier: rooms forked from a zygote into namespaces of their own, as root or as any user."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

from embedenv_jupyter.errors import SandboxError, SandboxUnavailableError
from embedenv_jupyter.sandbox import cgroups, channel, confine, uids
from embedenv_jupyter.sandbox.confine import Layer
from embedenv_jupyter.sandbox.namespaces import Entry
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import ExitStatus, SandboxSpec
from embedenv_jupyter.sandbox.tiers import Counters
from embedenv_jupyter.sandbox.zygote_client import Born, ZygoteClient

log = logging.getLogger(__name__)

REMOVE_TIMEOUT_S = 5.0


class NsKeeper:
    """Holds one room on the host's side: its pid 1 by pidfd, its cgroup, its user id."""

    def __init__(self, group: cgroups.Group | None, lease: uids.UidLease | None) -> None:
        self._group = group
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._pidfd = -1
        self._pid: int | None = None
        self._exited: asyncio.Future[ExitStatus] = self._loop.create_future()
        self._last = Counters()

    def attach(self, born: Born) -> None:
        """Take over the room that the zygote has forked."""
        self._pidfd = born.pidfd
        self._exited = born.exited
        self._pid = _pid_of(born.pidfd)

    def orphaned(self) -> None:
        """The zygote is dead and will report nothing: learn of the room's end from its pidfd."""
        if self._pidfd < 0 or self._exited.done():
            return
        self._loop.add_reader(self._pidfd, self._died_unreported)
        self.kill()

    def _died_unreported(self) -> None:
        self._loop.remove_reader(self._pidfd)
        if not self._exited.done():
            self._exited.set_result(ExitStatus(signal=signal.SIGKILL))

    @property
    def pid(self) -> int | None:
        return self._pid

    async def wait(self) -> ExitStatus:
        return await asyncio.shield(self._exited)  # any number of callers wait for the one end

    def kill(self) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self._freeze(False)  # what is frozen by cgroup v1 does not die

    def _freeze(self, frozen: bool) -> bool:
        if self._group is None:
            return False
        try:
            return self._group.freeze(frozen)
        except FileNotFoundError:
            return True  # it is gone already

    async def pause(self) -> bool:
        return self._freeze(True)

    async def resume(self) -> bool:
        return self._freeze(False)

    def counters(self) -> Counters:
        if self._group is not None:
            self._last = self._group.counters()
        return self._last

    async def release(self) -> None:
        group, self._group = self._group, None
        if group is not None:
            await _remove(group)
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self._lease is not None:
            self._lease.release()


def _pid_of(pidfd: int) -> int | None:
    """Return the pid behind a pidfd as our own pid namespace numbers it (pidfd_open(2))."""
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key == "Pid":
                return int(value) if int(value) > 0 else None
    return None


async def _remove(group: cgroups.Group) -> None:
    """Remove a group; the kernel may need a moment after the end of its last process."""
    try:
        async with asyncio.timeout(REMOVE_TIMEOUT_S):
            for delay_s in itertools.chain((0.001, 0.003, 0.01, 0.03), itertools.repeat(0.1)):
                try:
                    group.remove()
                    return
                except OSError:
                    await asyncio.sleep(delay_s)
    except TimeoutError:
        log.warning("cgroups %s still hold processes and stay", ", ".join(group.folders))


class NsTier:
    """Rooms in Linux namespaces, forked from one zygote.

    ``use_cgroups=False`` is for tests and for hosts where cgroups misbehave.
    ``kernels=False`` makes a zygote that knows no ipykernel: ready sooner and smaller,
    but ``fork_kernel`` then imports everything anew in each room.
    """

    name = "ns"

    def __init__(self, *, use_cgroups: bool = True, kernels: bool = True) -> None:
        self._kernels = kernels
        self._claim: cgroups.Claim | None = None
        self._why_no_cgroups = "switched off"
        if use_cgroups:
            try:
                self._claim = cgroups.claim()
            except OSError as exc:
                self._why_no_cgroups = str(exc.strerror)
        self._zygote: ZygoteClient | None = None
        self._launching = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._sandboxes: dict[NsKeeper, Sandbox] = {}
        self._cleaning: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def controllers(self) -> frozenset[str]:
        """Which cgroup controllers limit the rooms."""
        return self._claim.controllers if self._claim is not None else frozenset()

    @functools.cached_property
    def unprotected(self) -> tuple[str, ...]:
        return ()

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one room.

        Raises:
            SandboxUnavailableError: the kernel refuses a step; the text names it.
        """
        zygote = await self._ready_zygote()
        lease = uids.lease() if not zygote.user_mode else None
        try:
            group = self._claim.create(f"room-{next(self._numbers)}", spec.limits) if self._claim else None
        except OSError as exc:
            if lease is not None:
                lease.release()
            raise SandboxUnavailableError(f"No cgroup could be made: {exc}") from exc
        keeper = NsKeeper(group, lease)
        ours, theirs = channel.pair()
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            entry = Entry(lease.uid if lease else None, None, self._layers())
            channel.send(ours, {"op": "configure", "spec": spec.to_dict(), "entry": entry.to_dict()})
            folders = group.folders if group is not None else ()
            keeper.attach(await zygote.start(theirs.fileno(), writer, folders))
        finally:
            theirs.close()
            os.close(writer)
        sandbox = Sandbox(spec, ours, keeper, self.name)
        self._sandboxes[keeper] = sandbox
        try:
            await sandbox.ready()
        except SandboxError as exc:
            await sandbox.aclose("did not start")
            raise SandboxUnavailableError(_reported(reader) or str(exc)) from exc
        finally:
            os.close(reader)
        return sandbox

    def _layers(self) -> tuple[str, ...]:
        layers = [*confine.EVERYWHERE]
        if "pids" not in self.controllers:
            layers.append(Layer.PROCESSES)
        if "memory" not in self.controllers:
            layers += confine.WITHOUT_MEMORY_CGROUP
        return tuple(layers)

    async def _ready_zygote(self) -> ZygoteClient:
        async with self._launching:
            if self._closed:
                raise SandboxUnavailableError("This tier was closed.")
            if self._zygote is None or self._zygote.cause is not None:
                folders = self._claim.folders if self._claim is not None else ()
                self._zygote = await ZygoteClient.launch(folders, self._zygote_died, kernels=self._kernels)
            return self._zygote

    def _zygote_died(self, cause: str) -> None:
        for keeper, sandbox in list(self._sandboxes.items()):
            keeper.orphaned()
            sandbox.lost("zygote died")
            self._clean(sandbox.aclose())

    def _clean(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def aclose(self) -> None:
        self._closed = True
        for sandbox in list(self._sandboxes.values()):
            await sandbox.aclose("tier closed")
        await asyncio.gather(*self._cleaning)
        if self._zygote is not None:
            await self._zygote.aclose()
        if self._claim is not None:
            self._claim.close()


def _reported(reader: int) -> str:
    try:
        return str(json.loads(os.read(reader, 4096))["detail"])
    except (BlockingIOError, ValueError, KeyError):
        return ""
