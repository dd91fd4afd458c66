"""Runs a command as a plain container runs it: no namespaces, no mounts, cgroups that cannot be written.

    python container_like.py UID COMMAND…

What a default container of docker does to a process, done by root to itself: a
filter of system calls that refuses namespaces and mounts, read-only cgroups, no
``CAP_SYS_ADMIN``, and if ``UID`` is not 0, another user.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from embedenv_jupyter.sandbox import seccomp, syscalls

_CAP_SYS_ADMIN = 21


def main() -> None:
    uid, command = int(sys.argv[1]), sys.argv[2:]
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    for point in _cgroup_mounts():
        syscalls.mount_setattr(point, syscalls.MOUNT_ATTR_RDONLY)
    seccomp.install(seccomp.build())  # root with CAP_SYS_ADMIN may, without giving up set-user-id programs
    if uid == 0:
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, _CAP_SYS_ADMIN)
    else:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    os.execvp(command[0], command)


def _cgroup_mounts() -> Iterator[str]:
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if rest.startswith("cgroup"):
                yield fields.split()[4]


if __name__ == "__main__":
    main()
