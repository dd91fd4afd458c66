"""No namespaces: Landlock, a seccomp filter and limits. What plain containers still allow.

A room lives in the host's own file tree and sees the host's processes and
network. Landlock decides which files it reads and writes and denies it every TCP
connection; what it serves is reached from the gateway's side
(:mod:`embedenv_jupyter.sandbox.ports`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import landlock, rootfs
from embedenv_jupyter.sandbox.confine import Layer
from embedenv_jupyter.sandbox.landlock import Rules
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers.host_limits import HostLimits
from embedenv_jupyter.sandbox.tiers.host_rooms import HostRooms, Place

NETWORK_ABI = 4
"""From this version on (Linux 6.7) TCP can be restricted."""

SCOPE_ABI = 6
"""From this version on (Linux 6.12) signals and abstract sockets can be kept inside."""

_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc", "/sys/devices/system",
    "/etc/group", "/etc/hostname", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/passwd",
    "/etc/resolv.conf",
)  # fmt: skip
_DEVICES = (
    "/dev/null", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts",
)  # fmt: skip
_ZERO = "/dev/zero"

_LAYERS = (
    Layer.RLIMITS, Layer.CAPABILITIES, Layer.NO_NEW_PRIVILEGES, Layer.NOT_DUMPABLE, Layer.SECCOMP,
    Layer.NO_SHARED_MEMORY,
)  # fmt: skip
"""System V objects and POSIX queues would be the host's, and stay there when the room has ended."""


class LandlockTier:
    """Runs rooms without namespaces, confined by Landlock and seccomp."""

    name = "landlock"
    unprotected: tuple[str, ...]

    def __init__(self, *, use_cgroups: bool = True) -> None:
        self._limits = HostLimits(use_cgroups=use_cgroups)
        self._abi = landlock.abi()
        self._host = rootfs.look_at_host(_module_folders())
        self.unprotected = tuple(_what_is_left(self._abi, self._limits, is_root=os.geteuid() == 0))
        layers = (*_LAYERS, Layer.NO_DATAGRAMS)
        self._rooms = HostRooms(self.name, self._limits, layers, lambda place: self.rules(place, ()))
        # Landlock cannot tell our own loopback from the rest of the world.
        self._open_rooms = HostRooms(self.name, self._limits, _LAYERS, lambda place: self.rules(place, None))

    @property
    def limits(self) -> HostLimits:
        """What limits the rooms from outside."""
        return self._limits

    def rules(self, place: Place, connect_tcp: tuple[int, ...] | None) -> Rules:
        """Return what a room may read and write, and which TCP ports it may connect to."""
        inside = place.inside
        writable = [place.home, place.scratch, *_DEVICES]
        if "memory" in self._limits.controllers:  # else see Layer.NO_UNCOUNTED_MEMORY
            writable.append(_ZERO)
        if place.uid is not None:
            # With a user of its own a room finds there only what everybody may use anyway.
            writable.append("/dev/shm")  # noqa: S108
        readable = {*_SYSTEM, _ZERO, *self._host.configuration, *inside.read_only}
        readable.add(os.path.realpath(sys.executable))
        for pair in self._host.python:
            readable.update(pair)
        return Rules(read=tuple(sorted(readable)), write=tuple(writable), connect_tcp=connect_tcp)

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one room.

        Raises:
            SandboxUnavailableError: it did not come up; the text says why.
        """
        if self._abi == 0:
            raise SandboxUnavailableError("This kernel has no Landlock, or it is switched off.")
        return await (self._open_rooms if spec.network else self._rooms).start(spec)

    async def aclose(self) -> None:
        await self._rooms.aclose()
        await self._open_rooms.aclose()


def _module_folders() -> list[str]:
    return [path for path in sys.path if path.rstrip("/").endswith(("site-packages", "dist-packages"))]


def _what_is_left(abi: int, limits: HostLimits, *, is_root: bool) -> Iterator[str]:
    yield "A flaw in this machine's Linux kernel, which all rooms use directly."
    yield "Programs see the names and arguments of this machine's processes, and whether a file exists."
    yield (
        "Programs can connect to the named Unix sockets of this machine that their user may write to, such "
        "as those of D-Bus, X11 or a container engine."
    )
    yield "Programs can listen on TCP ports of this machine, and what they serve can be reached by others."
    if abi < NETWORK_ABI:
        yield f"Programs can connect to any TCP port: Landlock here (ABI {abi}, from 4 on) knows no network."
    if abi < SCOPE_ABI:
        yield f"Programs can use abstract Unix sockets: Landlock here (ABI {abi}, from 6 on) leaves them."
        if not is_root:
            yield f"Programs can end other processes of the gateway's user, by the same Landlock (ABI {abi})."
    if not is_root:
        yield "Rooms run as the gateway's own user: they can read and write its terminals, and each other's."
    yield "The workspace is a folder: its size is measured now and then, not limited."
    yield from limits.what_is_left()
