"""Rooms without namespaces: folders of the host's own tree, a guard, and under root a user of their own."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import uids
from embedenv_jupyter.sandbox.landlock import Rules
from embedenv_jupyter.sandbox.ports import HostPorts
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import exec_keeper
from embedenv_jupyter.sandbox.tiers.exec_keeper import ExecKeeper, Release
from embedenv_jupyter.sandbox.tiers.exec_rooms import ExecRooms
from embedenv_jupyter.sandbox.tiers.host_limits import HostLimits

log = logging.getLogger(__name__)


class Place:
    """What one room has on the host: its folders and, under root, its user.

    ``inside`` is the spec as the supervisor gets it, with the workspace filled in.
    """

    def __init__(self, inside: SandboxSpec, base: str, lease: uids.UidLease | None) -> None:
        self.inside = inside
        self.base = base
        self._lease = lease

    @classmethod
    async def prepare(cls, spec: SandboxSpec) -> Place:
        """Make the folders and lease the user.

        Raises:
            SandboxUnavailableError: there is no place for folders, no free user, or a folder of the
                spec cannot be given to it.
        """
        lease = await uids.lease_for(spec) if os.geteuid() == 0 else None
        place = None
        try:
            base = tempfile.mkdtemp(prefix="embedenv-room-")
            scratch, home = f"{base}/scratch", spec.workspace or f"{base}/home"
            inside = replace(spec, workspace=home, env={"TMPDIR": scratch, **spec.env})
            place = cls(inside, base, lease)
            place._make_folders([scratch] if spec.workspace is not None else [scratch, home])
        except BaseException as exc:
            if place is not None:
                await place.release()
            elif lease is not None:
                lease.release()
            if isinstance(exc, OSError):
                raise SandboxUnavailableError(f"No place for the room's folders: {exc}") from exc
            raise
        return place

    def _make_folders(self, folders: list[str]) -> None:
        for folder in folders:
            os.mkdir(folder, 0o700)
        if self._lease is not None:
            for folder in (self.base, *folders):
                os.chown(folder, self._lease.uid, self._lease.uid)

    @property
    def home(self) -> str:
        assert self.inside.workspace is not None, "filled in by prepare"
        return self.inside.workspace

    @property
    def scratch(self) -> str:
        """The room's own folder for temporary files."""
        return f"{self.base}/scratch"

    @property
    def uid(self) -> int | None:
        """The room's own user, where it has one."""
        return self._lease.uid if self._lease is not None else None

    async def release(self) -> None:
        """Remove the room's folders and give its user id back; the room has ended."""
        try:
            await exec_keeper.remove_tree(self.base)
        except OSError:
            if not self._removed_empty():  # a room that never began has put nothing there
                log.warning("the folder %s of a room stays, as no program can be started now", self.base)
        finally:
            if self._lease is not None:
                self._lease.release()

    def _removed_empty(self) -> bool:
        """Remove folders that hold nothing, which takes neither a process nor a descriptor."""
        try:
            for name in ("scratch", "home"):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(f"{self.base}/{name}")
            os.rmdir(self.base)
        except OSError:
            return False
        return True


class HostRooms:
    """Starts and holds the rooms of one tier that has no namespaces.

    ``layers`` are what the supervisor puts on itself besides what stands in for
    missing cgroups, or ``None`` for nothing at all; ``rules`` are its Landlock rules.
    """

    def __init__(
        self,
        name: str,
        limits: HostLimits,
        layers: Sequence[str] | None = None,
        rules: Callable[[Place], Rules] | None = None,
    ) -> None:
        self._name = name
        self._limits = limits
        self._layers = layers
        self._rules = rules
        self._rooms = ExecRooms(limits)

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one room.

        Raises:
            SandboxUnavailableError: it did not come up; the text says why.
        """
        if spec.image is not None:
            raise SandboxUnavailableError(
                f"The tier {self._name} shows the host's own files; {spec.image} cannot take their place."
            )
        place = await Place.prepare(spec)
        try:
            group = self._limits.create_group(spec.limits)
        except OSError as exc:
            await place.release()
            raise SandboxUnavailableError(f"The host refuses what the room needs: {exc}") from exc
        cores = self._limits.cores(spec.limits) if self._layers is not None else None
        cgroups = group.folders if group is not None else ()
        told = {"uid": place.uid, "cgroups": cgroups, "folder": place.base}

        def execute(channel_fd: int) -> ExecKeeper:
            return exec_keeper.execute(lambda fd: _guard(channel_fd, fd, told), [channel_fd])

        def make(connection: socket.socket, keeper: ExecKeeper) -> Sandbox:
            ports = HostPorts(keeper, place.uid)
            return Sandbox(
                spec, connection, keeper, self._name,
                home=place.home, own_disk=False, host_ports=ports,
            )  # fmt: skip

        releases: list[Release] = [place.release]
        configuration = self._configuration(place, cores)
        return await self._rooms.start(execute, _said_pid, configuration, make, releases, group)

    def _configuration(self, place: Place, cores: tuple[int, ...] | None) -> dict[str, Any]:
        inside = place.inside
        configuration: dict[str, Any] = {"home": place.home, "runtime": place.scratch, "cores": cores}
        if self._layers is not None:
            configuration["confine"] = self._limits.layers(self._layers, pinned=cores is not None)
            inside = _with_process_limit(inside, shared=place.uid is None)
        if self._rules is not None:
            configuration["landlock"] = self._rules(place).to_dict()
        return {**configuration, "spec": inside.to_dict()}

    async def aclose(self) -> None:
        """End all rooms and give up what limits them; idempotent."""
        await self._rooms.aclose()


def _guard(channel_fd: int, lifeline_fd: int, told: dict[str, Any]) -> list[str]:
    argument = json.dumps({"channel": channel_fd, "lifeline": lifeline_fd, **told})
    return exec_keeper.python_command("embedenv_jupyter.sandbox.guard", argument)


async def _said_pid(keeper: ExecKeeper) -> int:
    return int(await keeper.heard())


def _with_process_limit(spec: SandboxSpec, *, shared: bool) -> SandboxSpec:
    """Count what else the user runs into the limit, as RLIMIT_NPROC counts all of a user (setrlimit(2))."""
    if not shared or spec.limits.pids is None:
        return spec
    limits = replace(spec.limits, pids=spec.limits.pids + _threads_of(os.geteuid()))
    return replace(spec, limits=limits)


def _threads_of(uid: int) -> int:
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return count
