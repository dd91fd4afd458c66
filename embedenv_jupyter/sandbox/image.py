"""What rooms stand on in place of the host's own /usr: an image, looked at from outside.

For the tiers ``ns`` and ``bwrap`` it is a **root tree**, a folder that holds another
system; container engines have images of their own, which they know by name. Either
way everything in the room comes from it, the Python of its kernels included, and
only this package is bound in.

A tree that is in use is locked (flock(2), shared) by whoever has rooms on it: no
tree is removed while that holds.

Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sys
from dataclasses import dataclass

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import syscalls
from embedenv_jupyter.sandbox.spec import TOOLCHAINS

PACKAGE = "/run/embedenv"
"""Where the folder that holds this package is bound, in rooms that stand on a tree."""

PYTHONS = (f"{TOOLCHAINS}/venv/bin/python", "/usr/local/bin/python3", "/usr/bin/python3")
"""Where an image may have its Python, the first one counts."""

REPOSITORY = "localhost/embedenv"
"""What container engines know images by that were built here, with the name as a tag."""

OLDEST_PYTHON = (3, 11)

_FOLDERS = ("usr", "etc")
_ELF_MACHINE = slice(18, 20)  # elf(5): e_machine
_ATTEMPTS = 10


@dataclass(frozen=True)
class Image:
    """The image that rooms are to stand on; ``name`` is what the operator calls it.

    ``tree`` is the path of a root tree, perhaps a link that is followed anew for each room, ``engine``
    what docker and podman know it by. Where one is ``None``, tiers that need it refuse.
    """

    name: str
    tree: str | None = None
    engine: str | None = None

    @classmethod
    def named(cls, name: str) -> Image:
        """Take a path for that of a root tree, anything else for a name that an engine knows."""
        return cls(name, tree=name) if name.startswith("/") else cls(name, engine=name)

    def identity(self) -> list[str | int | None]:
        """Return what changes when another image is put in this one's place; findings hold for one."""
        found: list[str | int | None] = [self.name, self.engine]
        if self.tree is not None:
            found.append(os.path.realpath(self.tree))
        return found


def required_tree(image: Image, tier: str) -> str:
    """Return the path of the image's tree.

    Raises:
        SandboxUnavailableError: it has none, so ``tier`` cannot stand on it.
    """
    if image.tree is None:
        raise SandboxUnavailableError(
            f"The tier {tier} stands on root trees, and {image.name!r} is neither an image that "
            "`embedenv image build` has made nor the absolute path of one."
        )
    return image.tree


@dataclass(frozen=True)
class Tree:
    """A root tree that rooms can stand on; ``python`` is its interpreter, as it is called inside."""

    path: str
    python: str


class TreeLease:
    """Keeps a root tree from being removed, until :meth:`release`. ``asked`` is the path that led to it."""

    def __init__(self, tree: Tree, asked: str, fd: int) -> None:
        self.tree = tree
        self.asked = asked
        self._fd = fd

    @property
    def is_outdated(self) -> bool:
        """Whether the path leads to another tree by now."""
        return os.path.realpath(self.asked) != self.tree.path

    def release(self) -> None:
        """Let the tree be removed; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lease(path: str) -> TreeLease:
    """Follow a path to a root tree, look at the tree, and keep it as it is.

    Raises:
        SandboxUnavailableError: rooms cannot stand on it; the text says what is wrong with it.
    """
    for _ in range(_ATTEMPTS):  # another tree may be put in its place in this moment
        real = os.path.realpath(path)
        try:
            fd = os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as exc:
            raise _refused(path, "there is no such folder" if exc.errno == errno.ENOENT else
                           exc.strerror or str(exc)) from exc  # fmt: skip
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.path.realpath(path) == real and os.path.samestat(os.fstat(fd), os.stat(real)):
                return TreeLease(look_at(real), path, fd)
        except (BlockingIOError, FileNotFoundError):
            pass  # it is being removed
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise _refused(path, "it is being removed")


def look_at(tree: str) -> Tree:
    """Look whether rooms can stand on a root tree, without running anything of it.

    Raises:
        SandboxUnavailableError: they cannot; the text says what is wrong with it.
    """
    for folder in ("", *_FOLDERS):
        place = f"{tree}/{folder}".rstrip("/")
        if not os.path.isdir(place):
            raise _refused(tree, f"it has no folder /{folder}")
        found = os.stat(place)
        # A zygote runs its Python before it confines itself: whoever can write here has the gateway.
        if found.st_uid not in (0, os.geteuid()):
            raise _refused(tree, f"/{folder} in it belongs to user {found.st_uid}, not to root or to us")
        if found.st_mode & 0o022:
            raise _refused(tree, f"others than its owner may write to /{folder} in it")
    return Tree(tree, _python(tree))


def _python(tree: str) -> str:
    for python in PYTHONS:
        try:
            fd = open_inside(tree, python, os.O_RDONLY)
        except OSError:
            continue
        try:
            real = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
            header = os.pread(fd, 20, 0)
        finally:
            os.close(fd)
        if header[_ELF_MACHINE] != _own_machine():
            raise _refused(tree, f"its {python} is made for another kind of processor")
        version = re.search(r"python(\d+)\.(\d+)$", real)
        if version is not None and tuple(map(int, version.groups())) < OLDEST_PYTHON:
            oldest = ".".join(map(str, OLDEST_PYTHON))
            raise _refused(tree, f"its {python} is {real}; rooms need Python {oldest} or later")
        return python
    raise _refused(tree, f"it has no Python; looked for {', '.join(PYTHONS)}")


def open_inside(tree: str, path: str, flags: int) -> int:
    """Open a path as it would be found inside, where links do not lead out of the tree.

    Raises:
        OSError: what open(2) says.
    """
    root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscalls.openat2(root, path, flags | os.O_CLOEXEC, resolve=syscalls.RESOLVE_IN_ROOT)
    finally:
        os.close(root)


def _own_machine() -> bytes:
    with open(sys.executable, "rb") as file:
        return file.read(20)[_ELF_MACHINE]


def _refused(path: str, reason: str) -> SandboxUnavailableError:
    return SandboxUnavailableError(f"Rooms cannot stand on the image {path}: {reason}.")
