"""The scaffold on which the file tree of a room is built: two pivots around a passing root.

Theory of operation. In a fresh mount namespace a small tmpfs becomes the root
first, with the present tree below it at ``/old`` and the new one at ``/new``. As
sources and targets are now in different trees, nothing that is mounted can hide
what is still to be bound: a Python environment below the host's /tmp or /home is
reachable though the room has its own /tmp and /home. A second pivot makes
``/new`` the root and lets go of the old tree, which then has no name any more.

Standard library only: part of the zygote.
"""

from __future__ import annotations

import os
import stat

from embedenv_jupyter.sandbox import syscalls
from embedenv_jupyter.sandbox.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
)

OLD, NEW = "/old", "/new"

_BYTES_PER_INODE = 4096
"""A tmpfs of a million empty files costs a gigabyte that its size does not count."""


def enter(propagation: int = syscalls.MS_PRIVATE) -> None:
    """Make a tmpfs the root, with the present tree at ``/old`` and an empty ``/new``.

    ``propagation`` says what becomes of mounts that the host makes later: nothing, or with
    ``MS_SLAVE`` they appear here, too.
    """
    syscalls.mount("none", "/", flags=MS_REC | propagation)
    base = next(path for path in ("/tmp", "/run", "/mnt") if os.path.isdir(path))  # noqa: S108
    syscalls.mount("room", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m,nr_inodes=4k")
    os.mkdir(base + OLD)
    os.mkdir(base + NEW)
    os.chdir(base)
    syscalls.pivot_root(".", OLD[1:])
    os.chdir("/")
    syscalls.mount(NEW, NEW, flags=MS_BIND)


def leave() -> None:
    """Make ``/new`` the root, read-only, and let go of all else; the current folder is the root then."""
    syscalls.umount(OLD)
    os.chdir(NEW)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".")
    os.chdir("/")
    syscalls.mount_setattr("/", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)


def bind(source: str, target: str, *, required: bool = False) -> bool:
    """Bind a path of the old tree read-only; tell whether it is there."""
    try:
        is_folder = stat.S_ISDIR(os.stat(OLD + source).st_mode)
    except OSError:
        if required:
            raise
        return False
    place = NEW + target
    os.makedirs(place if is_folder else os.path.dirname(place), mode=0o755, exist_ok=True)
    if not is_folder:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    attach(source, place)
    return True


def bind_or_link(source: str, target: str) -> None:
    """Show a path of the old tree: a link as the same link, all else read-only."""
    if not os.path.islink(OLD + source):
        bind(source, target)
        return
    os.makedirs(os.path.dirname(NEW + target), mode=0o755, exist_ok=True)
    os.symlink(os.readlink(OLD + source), NEW + target)


def attach(source: str, place: str | int) -> None:
    """Clone a subtree of the old mounts, make the clone read-only, then put it in its place."""
    tree = syscalls.open_tree(OLD + source, syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE)
    try:
        attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
        syscalls.mount_setattr("", attributes, recursive=True, dir_fd=tree)
        syscalls.move_mount(tree, place)
    finally:
        os.close(tree)


def mount_tmpfs(target: str, size_bytes: int, options: str) -> None:
    """Give a folder of the new tree a tmpfs that can hold neither more bytes nor endless empty files."""
    inodes = max(1024, size_bytes // _BYTES_PER_INODE)
    syscalls.mount(
        "room", NEW + target, "tmpfs", MS_NOSUID | MS_NODEV,
        f"size={size_bytes},nr_inodes={inodes},{options}",
    )  # fmt: skip


def hide(place: str) -> None:
    """Lay something empty over a path, if it is there."""
    try:
        is_folder = stat.S_ISDIR(os.stat(place).st_mode)
    except OSError:
        return
    if is_folder:
        syscalls.mount("none", place, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "nr_inodes=2")
    else:
        syscalls.mount(f"{NEW}/dev/null", place, flags=MS_BIND)
        # Not to be opened as the device that it is, which Landlock knows by its inode and lets be written to.
        syscalls.mount_setattr(place, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV)
