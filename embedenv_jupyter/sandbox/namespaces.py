"""How a forked process becomes pid 1 of a room, as root and as an ordinary user.

Theory of operation. The zygote lives in a pid namespace of its own, and in user
mode also in a user namespace of its own, in which it has every capability and
outside of which it has none (:func:`enter_nursery`). Both give something:

* When the zygote dies, for whatever reason, the kernel ends every process of
  its pid namespace and of those below it. No room outlives it.
* ``unshare(CLONE_NEWPID)`` puts the *next child* into a new pid namespace, and
  ``setns`` to the zygote's own one takes that back. So each room costs one fork,
  the zygote is the parent of every pid 1, and no process in between is needed
  (:func:`fork_room`).

The child then joins its cgroups (:func:`join`), and once it knows what room it is, in
this order (:func:`enter`): leaves the other namespaces, builds its file tree, brings its
loopback up, and takes its user id: as root by setresuid to an id that no other room has,
in user mode by a user namespace of its own. That one comes last, so that the room's mounts and network
belong to the zygote's user namespace and nothing in the room could ever regain
power over them; it also gives the room its own count for RLIMIT_NPROC.

Standard library only: part of the zygote.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any, Self

from embedenv_jupyter.sandbox import confine, rootfs, syscalls
from embedenv_jupyter.sandbox.spec import SandboxSpec

USER_MODE_UID = 1000
"""What the gateway's own user is called inside the rooms of user mode."""

_WATCHES = {"max_inotify_instances": 16, "max_inotify_watches": 8192}
"""What one room may have of what inotify(7) gives a user, 128 instances on most systems."""

_SIOCSIFFLAGS = 0x8914
_IFF_UP_RUNNING = 0x1 | 0x40


@dataclass(frozen=True)
class Entry:
    """How one room is entered.

    ``uid`` is the room's user on the host, in root mode; ``None`` means user
    mode. ``cores`` are those that the room is pinned to, ``None`` for no pinning.
    """

    uid: int | None = None
    cores: tuple[int, ...] | None = None
    layers: tuple[str, ...] = confine.EVERYWHERE

    def to_dict(self) -> dict[str, Any]:
        return {"uid": self.uid, "cores": self.cores, "layers": list(self.layers)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        cores = data.get("cores")
        return cls(data.get("uid"), None if cores is None else tuple(cores), tuple(data["layers"]))


def enter_nursery(*, user_mode: bool) -> None:
    """Put the next child into its own pid namespace, in user mode with full power in it.

    Raises:
        OSError: this machine does not let us; the text names the call.
    """
    if not user_mode:
        syscalls.unshare(syscalls.CLONE_NEWPID)
        return
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWPID)
    map_user("/proc/self", uid, gid)


def map_user(process: str, uid: int, gid: int) -> None:
    """Give the new user namespace its only user (user_namespaces(7))."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{USER_MODE_UID} {uid} 1"),
        ("gid_map", f"{USER_MODE_UID} {gid} 1"),
    ):
        fd = os.open(f"{process}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def fork_room(own_pid_namespace: int) -> int:
    """Fork a child that is pid 1 of a new pid namespace; returns as fork does.

    ``own_pid_namespace`` is the zygote's, open.

    Raises:
        OSError: there are too many namespaces or processes.
    """
    syscalls.unshare(syscalls.CLONE_NEWPID)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid != 0:
            syscalls.setns(own_pid_namespace, syscalls.CLONE_NEWPID)
    return pid


def join(folder: str) -> None:
    """Move this process into a cgroup.

    Raises:
        OSError: the kernel refuses.
    """
    fd = os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)


def enter(spec: SandboxSpec, entry: Entry, host: rootfs.Host) -> list[str]:
    """Make this process, fresh from :func:`fork_room`, the confined pid 1 of its room.

    Returns the layers of :mod:`.confine` that hold now.

    Raises:
        OSError: the kernel refused a step; the process must end.
    """
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWCGROUP
    syscalls.unshare(flags if spec.network else flags | syscalls.CLONE_NEWNET)
    host_proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    uid = USER_MODE_UID if entry.uid is None else entry.uid
    rootfs.build(spec, uid, host)
    if not spec.network:
        _bring_loopback_up()
    socket.sethostname(spec.hostname)
    if entry.cores is not None:
        confine.pin(entry.cores)
    if entry.uid is None:
        _take_user_namespace(host_proc)
    else:
        os.close(host_proc)
        _become(entry.uid)
    return confine.confine(spec, entry.layers)


def _bring_loopback_up() -> None:
    """Set the flags of ``lo`` (netdevice(7)); ipykernel and local web servers need it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))


def _take_user_namespace(host_proc: int) -> None:
    """Enter the room's own user namespace. The host's /proc is used, as the room may have none."""
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    syscalls.set_dumpable(True)  # else the files below belong to a user that we are not
    process = os.open("self", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=host_proc)
    try:
        os.fchdir(process)
        map_user(".", USER_MODE_UID, USER_MODE_UID)
        _limit_watches(host_proc)
    finally:
        os.close(process)
        os.close(host_proc)
        os.chdir("/")
    syscalls.drop_bounding_set()


def _limit_watches(host_proc: int) -> None:
    """Leave the gateway's user some of what the kernel counts for each user: that of all rooms is the same.

    These settings are the room's user namespace's own. A /proc that cannot be written to is no error.
    """
    for name, limit in _WATCHES.items():
        try:
            fd = os.open(f"sys/user/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=host_proc)
        except OSError:
            continue
        try:
            os.write(fd, str(limit).encode())
        finally:
            os.close(fd)


def _become(uid: int) -> None:
    """Take the room's user id and lose root's power, once and for all."""
    syscalls.drop_bounding_set()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
