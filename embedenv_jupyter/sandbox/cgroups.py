"""Control groups of rooms: what holds the sum of a room's memory, processes and time.

Both versions of cgroups are spoken. Where the groups lie is decided by
:mod:`embedenv_jupyter.sandbox.cgroup_claim`.

Standard library only: part of the zygote.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field

from embedenv_jupyter.sandbox.keeper import Counters
from embedenv_jupyter.sandbox.spec import Limits

_CPU_PERIOD_US = 100_000
_V1_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct", "freezer")
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


def make_folder(path: str) -> None:
    """Make a group; the kernel fills it with its files."""
    os.mkdir(path)


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

    def limit(self, limits: Limits) -> None:
        """Set the limits, before a program of the room runs."""
        raise NotImplementedError

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
            remove_folder(folder)


@dataclass
class GroupV1(Group):
    """One folder for each controller."""

    by_controller: dict[str, str] = field(default_factory=dict)

    def limit(self, limits: Limits) -> None:
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


# What is left behind. The guard of a zygote uses this, too.


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
            remove_folder(group)
        except OSError:
            continue
    try:
        remove_folder(folder)
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


def remove_folder(folder: str) -> None:
    """Remove one folder; that it is gone already is no error."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return
