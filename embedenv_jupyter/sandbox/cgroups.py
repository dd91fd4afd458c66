"""Control groups: what holds the sum of a room's memory, processes and time.

Both versions are spoken. The gateway claims one folder below the cgroup that it
runs in itself, in each hierarchy that lets it (:func:`claim`), never elsewhere;
rooms are subfolders of that. A claim is held by a lock (flock(2)) on its
folders, which ends with the process that holds it, so that a later gateway can
tell a folder in use from one that was left behind, and removes the latter.

Standard library only: part of the zygote.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from embedenv_jupyter.sandbox.spec import Limits
from embedenv_jupyter.sandbox.tiers import Counters

PREFIX = "embedenv-"
_GATEWAY_LEAF = "-gateway"
_CPU_PERIOD_US = 100_000
_V1_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct", "freezer")
_V2_CONTROLLERS = ("memory", "pids", "cpu")
_MAX_FILE_BYTES = 64 << 10


def read(path: str) -> str:
    """Read a small file of the kernel's."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, _MAX_FILE_BYTES).decode()
    finally:
        os.close(fd)


def write(path: str, text: str) -> None:
    """Write one value into a file of the kernel's; never makes a file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _number(path: str) -> int | None:
    try:
        return int(read(path))
    except (OSError, ValueError):
        return None


def _keyed(path: str) -> dict[str, int]:
    """Read a file of lines ``key number``; empty when it cannot be read."""
    try:
        pairs = (line.split() for line in read(path).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    except OSError:
        return {}


# Where we are.


@dataclass(frozen=True)
class Places:
    """The cgroup that this process is in, as folders: by controller for version 1, and for version 2."""

    v1: dict[str, str]
    v2: str | None


def places(own: str, mounts: str) -> Places:
    """Find our cgroups in the texts of /proc/self/cgroup and /proc/self/mountinfo.

    A container may see only part of a hierarchy; what lies outside is left out.
    """
    mounted = list(_cgroup_mounts(mounts))
    v1: dict[str, str] = {}
    v2 = None
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        for is_v2, options, root, point in mounted:
            if is_v2 != (names == "") or (names and not set(names.split(",")) <= options):
                continue
            folder = _below(path, root, point)
            if folder is None:
                continue
            if is_v2:
                v2 = folder
            else:
                v1.update((name, folder) for name in names.split(",") if name in _V1_CONTROLLERS)
            break
    return Places(v1, v2)


def _cgroup_mounts(mounts: str) -> Iterable[tuple[bool, set[str], str, str]]:
    """Yield (is version 2, options, root, mount point) of each line that is a cgroup's (proc(5))."""
    for line in mounts.splitlines():
        fields, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            root, point = fields.split(" ")[3:5]
            yield kind == "cgroup2", set(options.split(",")), root, point


def _below(path: str, root: str, point: str) -> str | None:
    if root == "/":
        inside = path
    elif path == root or path.startswith(root + "/"):
        inside = path[len(root) :]
    else:
        return None
    if ".." in inside.split("/"):
        return None
    return (point + inside).rstrip("/")


def current_places() -> Places:
    """Find our cgroups now."""
    with open("/proc/self/cgroup") as own, open("/proc/self/mountinfo") as mounts:
        return places(own.read(), mounts.read())


# The groups of rooms.


@dataclass
class Group:
    """The cgroup of one room. ``folders`` are what its first process joins."""

    folders: tuple[str, ...]

    def counters(self) -> Counters:
        """Sample what the kernel counts; a group that is gone counts nothing."""
        raise NotImplementedError

    def freeze(self, frozen: bool) -> bool:
        """Stop or continue every process; ``False`` where there is no freezer."""
        raise NotImplementedError

    def remove(self) -> None:
        """Remove the folders; idempotent.

        Raises:
            OSError: ``EBUSY``, a process has not ended yet.
        """
        for folder in self.folders:
            _remove_folder(folder)


@dataclass
class GroupV1(Group):
    """One folder for each controller."""

    by_controller: dict[str, str] = field(default_factory=dict)

    def limit(self, limits: Limits) -> None:
        """Set the limits, before the first process joins."""
        memory, pids, cpu = (self.by_controller.get(name) for name in ("memory", "pids", "cpu"))
        if memory is not None and limits.memory_bytes is not None:
            write(f"{memory}/memory.limit_in_bytes", str(limits.memory_bytes))
            swap = f"{memory}/memory.memsw.limit_in_bytes"
            if os.path.exists(swap):  # only where the kernel accounts swap
                write(swap, str(limits.memory_bytes))
        if pids is not None and limits.pids is not None:
            write(f"{pids}/pids.max", str(limits.pids))
        if cpu is not None and limits.cpu_cores is not None:
            write(f"{cpu}/cpu.cfs_period_us", str(_CPU_PERIOD_US))
            write(f"{cpu}/cpu.cfs_quota_us", str(int(limits.cpu_cores * _CPU_PERIOD_US)))

    def counters(self) -> Counters:
        memory = self.by_controller.get("memory", "")
        pids = self.by_controller.get("pids", "")
        nanoseconds = _number(f"{self.by_controller.get('cpuacct', '')}/cpuacct.usage")
        used = _number(f"{memory}/memory.usage_in_bytes")
        return Counters(
            cpu_s=None if nanoseconds is None else nanoseconds / 1e9,
            memory_bytes=_without_cache(used, _keyed(f"{memory}/memory.stat").get("total_inactive_file", 0)),
            memory_peak_bytes=_number(f"{memory}/memory.max_usage_in_bytes"),
            pids=_number(f"{pids}/pids.current"),
            oom_kills=_keyed(f"{memory}/memory.oom_control").get("oom_kill", 0),
            pid_refusals=_keyed(f"{pids}/pids.events").get("max", 0),
        )

    def freeze(self, frozen: bool) -> bool:
        folder = self.by_controller.get("freezer")
        if folder is None:
            return False
        write(f"{folder}/freezer.state", "FROZEN" if frozen else "THAWED")
        return True


@dataclass
class GroupV2(Group):
    """One folder for everything."""

    controllers: frozenset[str] = frozenset()

    @property
    def folder(self) -> str:
        return self.folders[0]

    def limit(self, limits: Limits) -> None:
        """Set the limits, before the first process joins."""
        if "memory" in self.controllers and limits.memory_bytes is not None:
            write(f"{self.folder}/memory.max", str(limits.memory_bytes))
            if os.path.exists(f"{self.folder}/memory.swap.max"):
                write(f"{self.folder}/memory.swap.max", "0")
            # One program that is too big must not take the supervisor with it.
            write(f"{self.folder}/memory.oom.group", "0")
        if "pids" in self.controllers and limits.pids is not None:
            write(f"{self.folder}/pids.max", str(limits.pids))
        if "cpu" in self.controllers and limits.cpu_cores is not None:
            write(f"{self.folder}/cpu.max", f"{int(limits.cpu_cores * _CPU_PERIOD_US)} {_CPU_PERIOD_US}")

    def counters(self) -> Counters:
        microseconds = _keyed(f"{self.folder}/cpu.stat").get("usage_usec")
        used = _number(f"{self.folder}/memory.current")
        return Counters(
            cpu_s=None if microseconds is None else microseconds / 1e6,
            memory_bytes=_without_cache(used, _keyed(f"{self.folder}/memory.stat").get("inactive_file", 0)),
            memory_peak_bytes=_number(f"{self.folder}/memory.peak"),  # Linux 5.19
            pids=_number(f"{self.folder}/pids.current"),
            oom_kills=_keyed(f"{self.folder}/memory.events").get("oom_kill", 0),
            pid_refusals=_keyed(f"{self.folder}/pids.events").get("max", 0),
        )

    def freeze(self, frozen: bool) -> bool:
        write(f"{self.folder}/cgroup.freeze", "1" if frozen else "0")
        return True


def _without_cache(used: int | None, idle_cache: int) -> int | None:
    """Leave out file pages that the kernel would give back at once, as ``docker stats`` does."""
    return None if used is None else max(0, used - idle_cache)


# Claims.


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

    def create(self, name: str, limits: Limits) -> Group:
        """Make and limit the group of one room.

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

    def create(self, name: str, limits: Limits) -> Group:
        by_controller = {key: f"{folder}/{name}" for key, folder in self._by_controller.items()}
        group = GroupV1(tuple(dict.fromkeys(by_controller.values())), by_controller)
        return _make(group, lambda: group.limit(limits))


class ClaimV2(Claim):
    """One folder, whose controllers were handed down to it."""

    version = 2

    def __init__(self, folder: str, controllers: frozenset[str], locks: Iterable[int]) -> None:
        super().__init__([folder], locks)
        self._controllers = controllers

    @property
    def controllers(self) -> frozenset[str]:
        return self._controllers | {"freezer"}

    def create(self, name: str, limits: Limits) -> Group:
        group = GroupV2((f"{self.folders[0]}/{name}",), self._controllers)
        return _make(group, lambda: group.limit(limits))


def _make(group: Group, limit: Callable[[], None]) -> Group:
    try:
        for folder in group.folders:
            os.mkdir(folder)
        limit()
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
        os.rmdir(folder)
        for held in locks:
            os.close(held)
        raise
    return ClaimV2(folder, frozenset(enabled), locks)


def _claim_folder(own: str) -> tuple[str, int]:
    """Make a folder that is ours as long as the returned lock is open."""
    while True:
        folder = f"{own}/{PREFIX}{os.getpid()}-{secrets.token_hex(3)}"
        os.mkdir(folder)
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
    os.mkdir(leaf)
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
        os.rmdir(leaf)
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


# What is left behind. Also used by the guard of a zygote.


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


def _subfolders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def thaw_below(folder: str) -> None:
    """Thaw every group in a folder, so that its processes can die."""
    for group in _subfolders(folder):
        for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            try:
                write(f"{group}/{name}", value)
            except OSError:
                continue


def remove_below(folder: str) -> None:
    """Kill what is left in a folder's groups, and remove them and the folder, as far as it goes."""
    thaw_below(folder)
    for group in _subfolders(folder):
        _kill_members(group)
        try:
            _remove_folder(group)
        except OSError:
            continue
    try:
        _remove_folder(folder)
    except OSError:
        return


def _kill_members(folder: str) -> None:
    try:
        members = [int(word) for word in read(f"{folder}/cgroup.procs").split()]
    except OSError:
        return
    for pid in members:
        if pid > 0:  # 0 stands for a process that our pid namespace does not show
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue


def _remove_folder(folder: str) -> None:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
