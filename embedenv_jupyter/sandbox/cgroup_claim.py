"""Where the groups of rooms lie, and whose they are.

The gateway claims one folder below the cgroup that it runs in itself, in each
hierarchy that lets it (:func:`claim`), never elsewhere; rooms are subfolders of
that. A claim is held by a lock (flock(2)) on its folders, which ends with the
process that holds it: so a later gateway can tell a folder in use from one that
was left behind, and removes the latter.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterable

from embedenv_jupyter.sandbox.cgroups import (
    Group,
    GroupV1,
    GroupV2,
    Places,
    current_places,
    make_folder,
    read,
    remove_below,
    remove_folder,
    write,
)
from embedenv_jupyter.sandbox.spec import Limits

PREFIX = "embedenv-"
_GATEWAY_LEAF = "-gateway"
_V2_CONTROLLERS = ("memory", "pids", "cpu")


class Claim:
    """The folders that hold the groups of one gateway's rooms; see :func:`claim`."""

    version: int

    def __init__(self, folders: Iterable[str], locks: Iterable[int]) -> None:
        self.folders = tuple(folders)
        self._locks = list(locks)

    @property
    def controllers(self) -> frozenset[str]:
        """Which of ``memory``, ``pids``, ``cpu`` and ``freezer`` the rooms' groups have."""
        raise NotImplementedError

    def create(self, name: str, limits: Limits | None = None) -> Group:
        """Make the group of one room; limit it, where the limits are known.

        Raises:
            OSError: the kernel refused; nothing is left of it.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Give the folders up; idempotent. Groups that still hold processes stay for the next gateway."""
        for folder in self.folders:
            remove_below(folder)
        while self._locks:
            os.close(self._locks.pop())


class ClaimV1(Claim):
    """One folder in each hierarchy."""

    version = 1

    def __init__(self, by_controller: dict[str, str], locks: Iterable[int]) -> None:
        # Hierarchies may carry several controllers; a folder is made and joined once.
        super().__init__(dict.fromkeys(by_controller.values()), locks)
        self._by_controller = by_controller

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(self._by_controller)

    def create(self, name: str, limits: Limits | None = None) -> Group:
        by_controller = {key: f"{folder}/{name}" for key, folder in self._by_controller.items()}
        group = GroupV1(tuple(dict.fromkeys(by_controller.values())), by_controller)
        return _make(group, limits)


class ClaimV2(Claim):
    """One folder, whose controllers were handed down to it."""

    version = 2

    def __init__(self, folder: str, controllers: frozenset[str], locks: Iterable[int]) -> None:
        super().__init__([folder], locks)
        self._controllers = controllers

    @property
    def controllers(self) -> frozenset[str]:
        return self._controllers | {"freezer"}

    def create(self, name: str, limits: Limits | None = None) -> Group:
        group = GroupV2((f"{self.folders[0]}/{name}",), self._controllers)
        return _make(group, limits)


def _make(group: Group, limits: Limits | None) -> Group:
    try:
        for folder in group.folders:
            make_folder(folder)
        if limits is not None:
            group.limit(limits)
    except BaseException:
        group.remove()
        raise
    return group


def claim(found: Places | None = None) -> Claim:
    """Claim folders for rooms below our own cgroup, and remove what dead gateways left there.

    Version 2 is taken where it has the memory controller, else version 1.

    Raises:
        OSError: no hierarchy lets us; the text says why.
    """
    found = found or current_places()
    reasons: list[str] = []
    for attempt in (_claim_v2, _claim_v1):
        try:
            return attempt(found)
        except OSError as exc:
            reasons.append(str(exc.strerror or exc))
    raise OSError(errno.EACCES, "; ".join(reasons))


def _claim_v1(found: Places) -> Claim:
    by_controller: dict[str, str] = {}
    made: dict[str, str] = {}
    locks: list[int] = []
    refused: list[str] = []
    for controller, own in found.v1.items():
        if own in made:
            by_controller[controller] = made[own]
            continue
        try:
            sweep(own)
            folder, lock = _claim_folder(own)
        except OSError as exc:
            refused.append(f"{controller}: {exc.strerror}")
            continue
        locks.append(lock)
        by_controller[controller] = made[own] = folder
    if not {"memory", "pids"} & by_controller.keys():
        ClaimV1(by_controller, locks).close()
        raise OSError(errno.EACCES, "cgroup v1: " + (", ".join(refused) or "no hierarchy is mounted"))
    return ClaimV1(by_controller, locks)


def _claim_v2(found: Places) -> Claim:
    if found.v2 is None:
        raise OSError(errno.ENOENT, "cgroup v2: is not mounted")
    own = found.v2
    if os.path.basename(own).startswith(PREFIX) and own.endswith(_GATEWAY_LEAF):
        own = os.path.dirname(own)  # an earlier claim of this process moved us there
    offered = set(read(f"{own}/cgroup.controllers").split()) & set(_V2_CONTROLLERS)
    if "memory" not in offered:
        raise OSError(errno.EOPNOTSUPP, f"cgroup v2: the memory controller is not handed down to {own}")
    sweep(own)
    folder, lock = _claim_folder(own)
    locks = [lock]
    try:
        if not _hand_down(own, offered):
            locks.append(_step_aside(own, folder + _GATEWAY_LEAF, offered))
        _hand_down(folder, offered)
        enabled = set(read(f"{folder}/cgroup.subtree_control").split()) & offered
    except BaseException:
        remove_folder(folder)
        for held in locks:
            os.close(held)
        raise
    return ClaimV2(folder, frozenset(enabled), locks)


def _claim_folder(own: str) -> tuple[str, int]:
    """Make a folder that is ours as long as the returned lock is open."""
    while True:
        folder = f"{own}/{PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
        make_folder(folder)
        lock = _lock(folder)
        if lock is not None:
            return folder, lock
        # Somebody swept it in the moment before it was locked.


def _lock(folder: str) -> int | None:
    """Lock a folder; ``None`` when another process holds it or it is gone."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(folder)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def _hand_down(folder: str, controllers: set[str]) -> bool:
    """Enable controllers for the subfolders; ``False`` when processes in the folder itself forbid it."""
    missing = controllers - set(read(f"{folder}/cgroup.subtree_control").split())
    if not missing:
        return True
    try:
        write(f"{folder}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(missing)))
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise OSError(exc.errno, f"cgroup v2: {folder} is not ours to divide: {exc.strerror}") from exc
        return False
    return True


def _step_aside(own: str, leaf: str, controllers: set[str]) -> int:
    """Move ourselves into a leaf, as only a folder without processes may hand controllers down.

    Raises:
        OSError: the folder is not delegated to us, or others are in it too; we are back in it.
    """
    if not _is_ours(own):
        raise OSError(errno.EPERM, f"cgroup v2: {own} is not delegated to us (systemd: Delegate=yes)")
    make_folder(leaf)
    lock = _lock(leaf)
    assert lock is not None
    write(f"{leaf}/cgroup.procs", str(os.getpid()))
    try:
        if _hand_down(own, controllers):
            return lock
        raise OSError(errno.EBUSY, f"cgroup v2: other processes run in {own} itself")
    except OSError:
        write(f"{own}/cgroup.procs", str(os.getpid()))
        os.close(lock)
        remove_folder(leaf)
        raise


def _is_ours(folder: str) -> bool:
    """Tell whether a cgroup is ours to divide: delegated, or the root of our cgroup namespace."""
    for attribute in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(folder, attribute) == b"1":
                return True
        except OSError:
            continue
    if os.geteuid() != 0:
        return os.stat(folder).st_uid == os.geteuid() and os.access(f"{folder}/cgroup.procs", os.W_OK)
    return not os.path.exists(os.path.join(os.path.dirname(folder), "cgroup.procs"))


def sweep(own: str) -> None:
    """Remove the claims of gateways that have died below a folder; what cannot be removed stays."""
    with os.scandir(own) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(PREFIX) and entry.is_dir()]
    for name in names:
        folder = f"{own}/{name}"
        lock = _lock(folder)
        if lock is not None:
            remove_below(folder)
            os.close(lock)
