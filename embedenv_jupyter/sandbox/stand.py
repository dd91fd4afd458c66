"""Puts a process on an image: what it starts then, the zygote, finds itself in the image's tree.

Run as ``stand JSON`` by the gateway's own Python, with ``{"tree": path, "user_mode": bool, "control":
descriptor, "command": [word, …]}``; becomes the command, a program of the image.

Theory of operation. A zygote's rooms get everything that they share with it from
memory, and import the rest later, from files: its interpreter has to be the one
that the room has. So the zygote of an image runs the image's Python, in a mount
namespace whose root is the image, read-only. The host's tree hangs below it at
``HOST_TREE``, for the folders that specs name; /proc, /sys and /dev are the host's,
/tmp is new. Rooms leave all of that behind (:mod:`.rootfs`).

In user mode the mounts belong to a user namespace of their own, and the zygote, an
ordinary user in it, then makes its own one as it does on the host.

Standard library only.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import NoReturn

from embedenv_jupyter.sandbox import channel, namespaces, scaffold, syscalls
from embedenv_jupyter.sandbox.image import PACKAGE

HOST_TREE = "/host"

_TMP_BYTES = 64 << 20
_OF_THE_HOST = ("proc", "sys", "dev")
_NOT_SHOWN = (*_OF_THE_HOST, "tmp", "run", "home", "root", "boot", "mnt", "media", "lost+found")


def main() -> NoReturn:
    """Enter the image and become the command."""
    told = json.loads(sys.argv[1])
    try:
        enter(told["tree"], user_mode=told["user_mode"])
        os.execve(told["command"][0], told["command"], dict(os.environ))  # noqa: S606
    except OSError as exc:
        with socket.socket(fileno=told["control"]) as control:
            channel.send(control, {"event": "failed", "errno": exc.errno, "detail": exc.strerror or str(exc)})
        sys.exit(1)


def enter(tree: str, *, user_mode: bool) -> None:
    """Make the root tree ``tree`` this process's root, in namespaces of its own.

    Raises:
        OSError: the kernel refused a step; the text names it.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    tree = os.path.realpath(tree)
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(syscalls.CLONE_NEWNS | (syscalls.CLONE_NEWUSER if user_mode else 0))
    if user_mode:
        namespaces.map_user("/proc/self", uid, gid)
    # What the host mounts later may be a room's workspace; it appears where the host shares its mounts.
    scaffold.enter(syscalls.MS_SLAVE)
    for name in sorted(os.listdir(scaffold.OLD + tree)):
        if name not in _NOT_SHOWN:
            scaffold.bind_or_link(f"{tree}/{name}", f"/{name}")
    for name in _OF_THE_HOST:
        _share(f"/{name}", f"/{name}")
    os.mkdir(scaffold.NEW + "/tmp")  # noqa: S108
    scaffold.mount_tmpfs("/tmp", _TMP_BYTES, "mode=1777")  # noqa: S108
    scaffold.bind(f"{package}/embedenv_jupyter", f"{PACKAGE}/embedenv_jupyter", required=True)
    _share("", HOST_TREE)
    scaffold.leave()


def _share(source: str, target: str) -> None:
    """Show a folder of the host as it is, with all that is mounted in it."""
    os.makedirs(scaffold.NEW + target, mode=0o755, exist_ok=True)
    syscalls.mount(scaffold.OLD + source, scaffold.NEW + target, flags=syscalls.MS_BIND | syscalls.MS_REC)


if __name__ == "__main__":
    main()
