"""Folders in a temporary place that behave like cgroup hierarchies, as far as our code uses them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from embedenv_jupyter.sandbox import cgroup_claim, cgroups

V2_FILES = {
    "memory": {
        "memory.max": "max", "memory.swap.max": "max", "memory.oom.group": "0", "memory.current": "0",
        "memory.peak": "0", "memory.stat": "anon 0\ninactive_file 0\n",
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    },
    "pids": {"pids.max": "max", "pids.current": "0", "pids.events": "max 0\n"},
    "cpu": {"cpu.max": "max 100000"},
}  # fmt: skip

V1_FILES = {
    "memory": {
        "memory.limit_in_bytes": "9223372036854771712", "memory.memsw.limit_in_bytes": "9223372036854771712",
        "memory.usage_in_bytes": "0", "memory.max_usage_in_bytes": "0",
        "memory.stat": "cache 0\ntotal_inactive_file 0\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    },
    "pids": {"pids.max": "max", "pids.current": "0", "pids.events": "max 0\n"},
    "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"},
    "cpuacct": {"cpuacct.usage": "0"},
    "freezer": {"freezer.state": "THAWED"},
}  # fmt: skip


class FakeCgroups:
    """Makes, fills, moves in and removes groups as the kernel does (cgroups(7)), in ``root``.

    ``delegated`` are the version 2 controllers that the group of the gateway has.
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.read_only: set[str] = set()
        for module in (cgroups, cgroup_claim):
            patch.setattr(module, "make_folder", self.make)
            patch.setattr(module, "remove_folder", self.remove)
            patch.setattr(module, "write", self.write)

    def make_v2(self, folder: str, controllers: str, procs: str = "") -> str:
        """Make a group that is there before us."""
        path = self.root / folder
        path.mkdir(parents=True)
        self._fill_v2(path, controllers)
        (path / "cgroup.procs").write_text(procs)
        return str(path)

    def make_v1(self, folder: str, controllers: str) -> str:
        path = self.root / folder
        path.mkdir(parents=True)
        (path / "cgroup.procs").write_text("")
        (path / ".v1").write_text(controllers)
        return str(path)

    def _fill_v2(self, path: Path, controllers: str) -> None:
        base = {
            "cgroup.controllers": controllers, "cgroup.subtree_control": "", "cgroup.procs": "",
            "cgroup.freeze": "0", "cpu.stat": "usage_usec 0\nuser_usec 0\n",
        }  # fmt: skip
        for name in controllers.split():
            base |= V2_FILES.get(name, {})
        for name, text in base.items():
            if name == "cgroup.controllers" or not (path / name).exists():
                (path / name).write_text(text)

    def make(self, folder: str) -> None:
        path = Path(folder)
        if str(path.parent) in self.read_only:
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        path.mkdir()
        v1 = path.parent / ".v1"
        if v1.exists():
            (path / ".v1").write_text(v1.read_text())
            (path / "cgroup.procs").write_text("")
            for controller in v1.read_text().split(","):
                for name, text in V1_FILES[controller].items():
                    (path / name).write_text(text)
        else:
            self._fill_v2(path, (path.parent / "cgroup.subtree_control").read_text())

    def remove(self, folder: str) -> None:
        path = Path(folder)
        if not path.exists():
            return
        if any(child.is_dir() for child in path.iterdir()) or (path / "cgroup.procs").read_text().strip():
            raise OSError(errno.EBUSY, "Device or resource busy", folder)
        for child in path.iterdir():
            child.unlink()
        path.rmdir()

    def write(self, path: str, text: str) -> None:
        file = Path(path)
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if file.name == "cgroup.procs":
            self._move(file, text)
        elif file.name == "cgroup.subtree_control":
            self._hand_down(file.parent, text)
        else:
            file.write_text(text)

    def _move(self, target: Path, pid: str) -> None:
        for procs in self.root.rglob("cgroup.procs"):
            members = procs.read_text().split()
            if pid in members:
                members.remove(pid)
                procs.write_text("\n".join(members))
        if (target.parent / "cgroup.subtree_control").exists() and (
            target.parent / "cgroup.subtree_control"
        ).read_text():
            raise OSError(errno.EBUSY, "Device or resource busy", str(target))
        target.write_text("\n".join([*target.read_text().split(), pid]))

    def _hand_down(self, folder: Path, text: str) -> None:
        if str(folder) in self.read_only:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        if (folder / "cgroup.procs").read_text().strip():
            raise OSError(errno.EBUSY, "Device or resource busy", str(folder))
        wanted = {word.removeprefix("+") for word in text.split()}
        if not wanted <= set((folder / "cgroup.controllers").read_text().split()):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(folder))
        enabled = wanted | set((folder / "cgroup.subtree_control").read_text().split())
        (folder / "cgroup.subtree_control").write_text(" ".join(sorted(enabled)))
        for child in folder.iterdir():
            if child.is_dir():
                self._fill_v2(child, " ".join(sorted(enabled)))

    def members(self, folder: str) -> list[int]:
        return [int(word) for word in Path(folder, "cgroup.procs").read_text().split()]

    def value(self, folder: str, name: str) -> str:
        return Path(folder, name).read_text()

    def groups(self) -> list[str]:
        """Return every group below the root, as paths relative to it."""
        return sorted(os.path.relpath(found.parent, self.root) for found in self.root.rglob("cgroup.procs"))
