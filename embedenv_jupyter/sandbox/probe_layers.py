"""Tries each layer of isolation once, in a process of its own, and says how it went.

Run as ``probe_layers``; prints one JSON object, ``{name: {"ok", "detail", "errno"}}``.
Each attempt is a forked child with a deadline that really does the thing:
versions and configuration files promise what a container's filter, a security
module or a mask over /proc then refuses.

Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass

from embedenv_jupyter.sandbox import cgroups, landlock, seccomp, syscalls
from embedenv_jupyter.sandbox.cgroup_claim import PREFIX
from embedenv_jupyter.sandbox.landlock import Rules

DEADLINE_S = 3.0
_MAX_DETAIL_BYTES = 2000
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41  # netdevice(7)
_CLONE_REST = syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWCGROUP


@dataclass(frozen=True)
class Attempt:
    """How one attempt went; ``detail`` is what was found, or the refusal."""

    ok: bool
    detail: str = ""
    errno: int | None = None


def user_namespace() -> str:
    """Become root of a user namespace."""
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return ""


def _enter_if_user() -> None:
    if os.geteuid() != 0:
        user_namespace()


def mounts() -> str:
    """Mount a tmpfs in a mount namespace."""
    _enter_if_user()
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("probe", tempfile.gettempdir(), "tmpfs", syscalls.MS_NOSUID, "size=64k")
    return ""


def fresh_proc() -> str:
    """Mount the /proc of a new pid namespace."""
    _enter_if_user()
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | _CLONE_REST)
    return _in_child(_mount_proc)


def _mount_proc() -> str:
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    return ""


def network() -> str:
    """Bring up the loopback of a new network namespace."""
    _enter_if_user()
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1.0).close()
    return ""


def system_call_filter() -> str:
    """Install the rooms' seccomp filter and see it refuse something."""
    syscalls.set_no_new_privileges()
    seccomp.install(seccomp.build())
    try:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
    except OSError as exc:
        if exc.errno == errno.EPERM:
            return ""
        raise
    raise OSError(errno.EPROTO, "the filter was accepted and refuses nothing")


def file_rules() -> str:
    """Confine this process by Landlock and see it refuse something."""
    syscalls.set_no_new_privileges()
    with tempfile.TemporaryDirectory() as folder:
        return _in_child(lambda: _is_refused(folder))


def _is_refused(folder: str) -> str:
    version = landlock.restrict(Rules(read=("/usr",)))
    try:
        os.listdir(folder)
    except PermissionError:
        return f"ABI {version}"
    raise OSError(errno.EPROTO, "the rules were accepted and refuse nothing")


def cgroup_v2() -> str:
    """Make and remove a cgroup below our own one, in version 2."""
    folder = cgroups.current_places().v2
    if folder is None:
        raise OSError(errno.ENOENT, "cgroup v2 is not mounted")
    _make_and_remove(folder)
    offered = cgroups.read(f"{folder}/cgroup.controllers").split()
    if "memory" not in offered:
        found = " ".join(offered) or "none"
        raise OSError(errno.EOPNOTSUPP, f"{folder} has no memory controller, only: {found}")
    return " ".join(offered)


def cgroup_v1() -> str:
    """Make and remove a cgroup below our own one, for each controller of version 1."""
    places = cgroups.current_places().v1
    if not places:
        raise OSError(errno.ENOENT, "cgroup v1 is not mounted")
    made = []
    refusal: OSError | None = None
    for controller, folder in places.items():
        try:
            _make_and_remove(folder)
            made.append(controller)
        except OSError as exc:
            refusal = exc
    if refusal is not None and not {"memory", "pids"} & set(made):
        raise refusal
    return " ".join(made)


def _make_and_remove(folder: str) -> None:
    probe = f"{folder}/{PREFIX}probe-{os.getpid()}"
    os.mkdir(probe)
    os.rmdir(probe)


ATTEMPTS: dict[str, Callable[[], str]] = {
    "user namespace": user_namespace,
    "mounts": mounts,
    "fresh /proc": fresh_proc,
    "network namespace": network,
    "seccomp": system_call_filter,
    "landlock": file_rules,
    "cgroup v2": cgroup_v2,
    "cgroup v1": cgroup_v1,
}


def attempt(work: Callable[[], str], deadline_s: float = DEADLINE_S) -> Attempt:
    """Do something in a forked child; a child that is still at it after the deadline is killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.write(writer, json.dumps(asdict(_done(work))).encode())
        os._exit(0)
    os.close(writer)
    try:
        readable, _, _ = select.select([reader], [], [], deadline_s)
        said = os.read(reader, 2 * _MAX_DETAIL_BYTES) if readable else b""
    finally:
        os.close(reader)
        if not said:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if said:
        return Attempt(**json.loads(said))
    if not readable:
        return Attempt(False, f"no outcome within {deadline_s:g} s", errno.ETIMEDOUT)
    return Attempt(False, f"the attempt was ended by signal {os.WTERMSIG(status)}", errno.ECHILD)


def _done(work: Callable[[], str]) -> Attempt:
    try:
        return Attempt(True, work()[:_MAX_DETAIL_BYTES])
    except OSError as exc:
        return Attempt(False, (exc.strerror or str(exc))[:_MAX_DETAIL_BYTES], exc.errno)
    except Exception as exc:  # noqa: BLE001 - whatever goes wrong is the outcome
        return Attempt(False, f"{type(exc).__name__}: {exc}"[:_MAX_DETAIL_BYTES])


def _in_child(work: Callable[[], str]) -> str:
    """Do the rest in a child, as what unshare(2) and Landlock ask for; its failure is ours."""
    outcome = attempt(work)
    if not outcome.ok:
        raise OSError(outcome.errno or errno.EIO, outcome.detail)
    return outcome.detail


def main() -> None:
    """Try everything."""
    json.dump({name: asdict(attempt(work)) for name, work in ATTEMPTS.items()}, sys.stdout)


if __name__ == "__main__":
    main()
