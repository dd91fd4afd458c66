"""Where images are kept: root trees, each under an id, and names that lead to them.

    images/NAME              a link to trees/ID: what the name means now
    images/trees/ID/         a finished root tree
    images/trees/ID.json     its record
    images/trees/ID.files    the list of its files
    images/building/NAME/    a tree that is not finished

A build ends with one rename, that of the link. Rooms that stand on the tree before
hold a lock on it (:mod:`embedenv_jupyter.sandbox.image`) and keep it; whatever no name
leads to and nobody has locked is removed the next time that somebody tidies up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedenv_jupyter.images.errors import ImageInUseError, UnknownImageError
from embedenv_jupyter.images.plan import NAME, RESERVED
from embedenv_jupyter.images.record import Record
from embedenv_jupyter.sandbox.image import REPOSITORY, Image

FOLDER = "images"
"""What the folder of all images is called in the folder of our data."""

_GONE = ".gone-"


@dataclass(frozen=True)
class Listed:
    """One image as it is listed; ``users`` are the processes whose rooms stand on it."""

    name: str
    tree: Path
    record: Record
    users: tuple[int, ...]


class ImageStore:
    """The images of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER

    @property
    def trees(self) -> Path:
        return self.folder / "trees"

    def unfinished(self, name: str) -> Path:
        """Return the folder of the tree that is being built under this name."""
        return self.folder / "building" / name

    def names(self) -> tuple[str, ...]:
        """Return the names of all images that are there."""
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(path.name for path in self.folder.iterdir() if self._is_image(path)))

    def _is_image(self, path: Path) -> bool:
        return NAME.match(path.name) is not None and path.name not in RESERVED and path.is_symlink()

    def unfinished_names(self) -> tuple[str, ...]:
        """Return the names under which a build has begun and not ended."""
        folder = self.folder / "building"
        return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()

    def resolve(self, name: str) -> Image:
        """Find what rooms are to stand on: an image by its name, else a path, or a name of an engine's."""
        if name in self.names():
            return Image(name, tree=str(self.folder / name), engine=f"{REPOSITORY}:{name}")
        return Image.named(name)

    def find(self, name: str) -> Listed:
        """Find an image.

        Raises:
            UnknownImageError: there is none of this name.
            ImageError: its record cannot be read.
        """
        if name not in self.names():
            raise UnknownImageError(name, self.names())
        tree = (self.folder / name).resolve()
        return Listed(name, tree, Record.read(tree.with_name(f"{tree.name}.json")), users_of(tree))

    def list_of_files(self, listed: Listed) -> Path:
        """Return where the list of an image's files is."""
        return listed.tree.with_name(f"{listed.tree.name}.files")

    def put(self, name: str, id: str) -> None:
        """Let a name mean another tree, from one moment to the next."""
        link = self.folder / f".{name}.{secrets.token_hex(4)}"
        link.symlink_to(f"trees/{id}")
        link.replace(self.folder / name)
        self.tidy()

    def remove(self, name: str) -> None:
        """Remove an image, and what was begun under its name.

        Raises:
            UnknownImageError: there is neither.
            ImageInUseError: rooms stand on it.
        """
        begun = name in self.unfinished_names()
        if name in self.names():
            tree = (self.folder / name).resolve()
            with _locked(tree) as is_ours:
                if not is_ours:
                    raise ImageInUseError(name, users_of(tree))
                (self.folder / name).unlink()
        elif not begun:
            raise UnknownImageError(name, self.names())
        if begun:
            remove_tree(self.unfinished(name))
        self.tidy()

    def tidy(self) -> tuple[Path, ...]:
        """Remove the trees that nothing leads to and nobody uses; return those that are used still."""
        if not self.trees.is_dir():
            return ()
        meant = {(self.folder / name).resolve().name for name in self.names()}
        kept: list[Path] = []
        for tree in sorted(self.trees.iterdir()):
            if tree.name.startswith(_GONE):
                remove_tree(tree)
            elif tree.is_dir() and not tree.is_symlink() and tree.name not in meant:
                with _locked(tree) as is_ours:
                    if is_ours:
                        self._remove(tree)
                    else:
                        kept.append(tree)
        return tuple(kept)

    def _remove(self, tree: Path) -> None:
        gone = tree.with_name(f"{_GONE}{tree.name}")
        tree.rename(gone)
        for suffix in ("json", "files"):
            tree.with_name(f"{tree.name}.{suffix}").unlink(missing_ok=True)
        remove_tree(gone)


@contextlib.contextmanager
def _locked(tree: Path) -> Iterator[bool]:
    """Keep everybody from standing on a tree; tell whether nobody does."""
    try:
        fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


def users_of(tree: Path) -> tuple[int, ...]:
    """Return the processes that have a tree locked, as far as this machine says so (proc_locks(5))."""
    try:
        found = tree.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return ()
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    fields = (line.split() for line in lines if "->" not in line)
    return tuple(sorted({int(words[4]) for words in fields if words[1] == "FLOCK" and words[5] == where}))


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, folders without any right for us included."""
    shutil.rmtree(folder, onerror=_retry)
    if folder.is_symlink() or folder.is_file():
        folder.unlink()


def _retry(function: object, path: str, _: object) -> None:
    if os.path.islink(path) or not os.path.lexists(path):
        return
    parent = os.path.dirname(path)
    os.chmod(parent, 0o700)
    if os.path.isdir(path):
        os.chmod(path, 0o700)
        shutil.rmtree(path)
    else:
        os.unlink(path)
