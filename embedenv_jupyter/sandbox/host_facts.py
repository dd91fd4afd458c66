"""What is known of this machine without trying anything: to explain refusals, and to notice changes."""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from embedenv_jupyter import __version__
from embedenv_jupyter.sandbox.cgroup_claim import PREFIX


@dataclass(frozen=True)
class HostFacts:
    """One machine as one user sees it. Numbers are ``None`` where the kernel has no such switch."""

    uid: int
    user: str
    kernel: str
    machine: str
    boot_id: str
    distribution: tuple[str, ...]
    """``ID`` and ``ID_LIKE`` of os-release(5)."""
    container: str | None
    """What kind of container we run in, if any."""
    apparmor_restricts_userns: bool
    userns_clone: int | None
    max_user_namespaces: int | None
    security_modules: str
    has_systemd: bool
    programs: dict[str, str]
    """Where bwrap, docker and podman are; what is not installed is left out."""
    interpreter: str
    groups: tuple[int, ...] = ()
    """Which may open a door, such as that of docker."""
    seccomp: int | None = None
    """How system calls of our own are filtered, and of all that we start (proc_pid_status(5))."""
    no_new_privs: int | None = None
    cgroups: tuple[str, ...] = ()
    """Our own, as /proc says, up to what an earlier gateway has made for itself there."""
    namespaces: tuple[str, ...] = ()

    @property
    def is_root(self) -> bool:
        return self.uid == 0


_PROGRAMS = ("bwrap", "docker", "podman")


def look(root: Path = Path("/"), environ: dict[str, str] | None = None) -> HostFacts:
    """Gather the facts; ``root`` is another one in tests."""
    uid = os.geteuid()
    return HostFacts(
        uid=uid,
        user=_user(uid),
        kernel=platform.release(),
        machine=platform.machine(),
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        distribution=_distribution(_text(root / "etc/os-release")),
        container=_container(root, dict(os.environ) if environ is None else environ),
        apparmor_restricts_userns=_number(root / "proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        == 1,
        userns_clone=_number(root / "proc/sys/kernel/unprivileged_userns_clone"),
        max_user_namespaces=_number(root / "proc/sys/user/max_user_namespaces"),
        security_modules=_text(root / "sys/kernel/security/lsm"),
        has_systemd=(root / "run/systemd/system").is_dir(),
        programs={name: path for name in _PROGRAMS if (path := shutil.which(name)) is not None},
        interpreter=os.path.realpath(sys.executable),
        groups=tuple(sorted({os.getegid(), *os.getgroups()})),
        seccomp=_status(root, "Seccomp"),
        no_new_privs=_status(root, "NoNewPrivs"),
        cgroups=_cgroups(_text(root / "proc/self/cgroup")),
        namespaces=_namespaces(root / "proc/self/ns"),
    )


def fingerprint(facts: HostFacts) -> dict[str, object]:
    """Return what must be the same for an old finding to hold still."""
    changed = {name: os.stat(path).st_mtime_ns for name, path in facts.programs.items()}
    return {
        "version": __version__, "python": sys.version, "prefix": sys.prefix, "uid": facts.uid,
        "boot": facts.boot_id, "container": facts.container, "programs": changed,
        "switches": [facts.apparmor_restricts_userns, facts.userns_clone, facts.max_user_namespaces],
        "groups": facts.groups, "seccomp": facts.seccomp, "no_new_privs": facts.no_new_privs,
        "cgroups": facts.cgroups, "namespaces": facts.namespaces,
    }  # fmt: skip


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _status(root: Path, key: str) -> int | None:
    """Read one number of /proc/self/status."""
    for line in _text(root / "proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name == key and value.strip().isdigit():
            return int(value)
    return None


def _cgroups(text: str) -> tuple[str, ...]:
    return tuple(sorted(line.partition(f"/{PREFIX}")[0] for line in text.splitlines()))


def _namespaces(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(os.readlink(entry) for entry in folder.iterdir()))
    except OSError:
        return ()


def _distribution(text: str) -> tuple[str, ...]:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    found = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}".replace('"', "")
    return tuple(dict.fromkeys(found.split()))


def _container(root: Path, environ: dict[str, str]) -> str | None:
    """Guess from the traces that container engines leave."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    told = environ.get("container") or _text(root / "run/systemd/container")
    if told:
        return told
    own = _text(root / "proc/1/cgroup")
    for mark, name in (
        ("kubepods", "kubernetes"),
        ("docker", "docker"),
        ("libpod", "podman"),
        ("lxc", "lxc"),
    ):
        if mark in own:
            return name
    return None
