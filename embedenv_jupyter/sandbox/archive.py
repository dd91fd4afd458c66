"""A workspace as a tar stream, and back.

Runs inside the room, in a child of the supervisor, while programs of the room
go on: what vanishes or shrinks meanwhile must not spoil a snapshot, and an
archive that a client made must not write anywhere but below the workspace. So
no path is followed through a symbolic link, in either direction.

Standard library only: part of the supervisor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tarfile
from typing import IO

from embedenv_jupyter.sandbox.workspace import open_without_links

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATED = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_COPY_BYTES = 1 << 20

MAX_COMPLAINTS = 100
"""Lines about what was left out: so many fit into a pipe that nobody reads."""


def write(root: int, target: int) -> None:
    """Write the workspace behind the descriptor ``root`` as tar; closes ``target``.

    Files, folders and links are taken. What cannot be read is left out and named
    on the standard error.

    Raises:
        BrokenPipeError: nobody reads the archive any more.
    """
    with (
        os.fdopen(target, "wb") as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        _Writer(root, archive).write()


class _Writer:
    """Walks the workspace. Only errors of reading are survived: one of writing ends the archive."""

    def __init__(self, root: int, archive: tarfile.TarFile) -> None:
        self._root = root
        self._archive = archive
        self._hard_links: dict[tuple[int, int], str] = {}
        self._complaints = 0

    def write(self) -> None:
        waiting = ["."]
        while waiting:
            waiting += self._add_folder(waiting.pop())

    def _add_folder(self, path: str) -> list[str]:
        """Add a folder and what is in it; return the folders in it."""
        folders: list[str] = []
        try:
            fd = open_without_links(self._root, path, _LISTED)
        except OSError as exc:
            self._leave_out(path, exc)
            return folders
        try:
            self._archive.addfile(_member(path, os.fstat(fd), tarfile.DIRTYPE))
            for name in sorted(os.listdir(fd)):
                below = f"{path}/{name}"
                if self._add_file(fd, name, below):
                    folders.append(below)
        finally:
            os.close(fd)
        return folders

    def _add_file(self, folder: int, name: str, path: str) -> bool:
        """Add a file or link; return whether it is a folder instead."""
        target, fd = "", -1
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(name, dir_fd=folder)
            elif stat.S_ISREG(found.st_mode):
                fd = os.open(name, _READ, dir_fd=folder)
                found = os.fstat(fd)
        except OSError as exc:
            self._leave_out(path, exc)
            return False
        if target:
            member = _member(path, found, tarfile.SYMTYPE)
            member.linkname = target
            self._archive.addfile(member)
        elif fd >= 0:
            with os.fdopen(fd, "rb") as file:
                self._add_content(file, path, found)
        return stat.S_ISDIR(found.st_mode)

    def _add_content(self, file: IO[bytes], path: str, found: os.stat_result) -> None:
        first = self._hard_links.setdefault((found.st_dev, found.st_ino), path)
        if found.st_nlink > 1 and first != path:
            member = _member(path, found, tarfile.LNKTYPE)
            member.linkname = first
            self._archive.addfile(member)
        else:
            member = _member(path, found, tarfile.REGTYPE)
            member.size = found.st_size
            self._archive.addfile(member, _Exactly(file))

    def _leave_out(self, path: str, exc: OSError) -> None:
        """Name what is left out, but not what has just been removed."""
        self._complaints += exc.errno != errno.ENOENT
        if exc.errno != errno.ENOENT and self._complaints <= MAX_COMPLAINTS:
            sys.stderr.write(f"left out {path[:100]!r}: {os.strerror(exc.errno or 0)}\n")


def _member(path: str, found: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    """Describe an entry without who owned it here."""
    member = tarfile.TarInfo(path)
    member.type = kind
    member.mode = stat.S_IMODE(found.st_mode) & 0o777
    member.mtime = found.st_mtime
    member.uname = member.gname = "user"
    return member


class _Exactly:
    """A file that never ends early: one that shrinks while it is read is filled up with zeros."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._file.read(size).ljust(size, b"\0")
        except OSError:  # the header with the size is written: only zeros keep the archive whole
            return bytes(size)


def read(root: int, source: int) -> None:
    """Unpack the tar stream behind ``source`` below the descriptor ``root``; files are replaced.

    Raises:
        tarfile.TarError: the stream is damaged.
        ValueError: a member is, or points, outside of the workspace, or is a device.
        OSError: a member does not fit to what is there, or the disk is full.
    """
    folders: list[tarfile.TarInfo] = []
    with (
        os.fdopen(os.dup(source), "rb") as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for member in archive:
            _check(member)
            _extract(archive, root, member)
            if member.isdir() and _parts(member.name):  # the workspace itself stays as it is
                folders.append(member)
    for folder in reversed(folders):  # last, as a folder may be read-only and has the time of its last change
        fd = open_without_links(root, folder.name.rstrip("/"), _LISTED)
        try:
            os.fchmod(fd, folder.mode & 0o777)
            os.utime(fd, (folder.mtime, folder.mtime))
        finally:
            os.close(fd)


def _check(member: tarfile.TarInfo) -> None:
    if _is_outside(member.name):
        raise ValueError(f"the archive names {member.name!r}, which is outside of the workspace")
    if member.islnk() and _is_outside(member.linkname):
        raise ValueError(f"the archive links to {member.linkname!r}, outside of the workspace")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise ValueError(f"the archive holds {member.name!r}, which is no file, folder or link")


def _is_outside(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/")


def _extract(archive: tarfile.TarFile, root: int, member: tarfile.TarInfo) -> None:
    *parents, name = _parts(member.name) or ["."]
    parent = _make_folders(root, parents, member.name)
    try:
        if member.isdir():
            os.close(_make_folder(parent, name, member.name))
            return
        _make_room(parent, name, member.name)
        if member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            _link(root, member.linkname, parent, name)
        else:
            _extract_file(archive, member, parent, name)
    finally:
        os.close(parent)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _make_folders(root: int, parts: list[str], path: str) -> int:
    current = os.open(".", _LISTED, dir_fd=root)
    for part in parts:
        try:
            following = _make_folder(current, part, path)
        finally:
            os.close(current)
        current = following
    return current


def _make_folder(parent: int, name: str, path: str) -> int:
    """Open a folder, made if it is not there; a symbolic link in its place is an error."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
    try:
        return os.open(name, _LISTED | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as exc:
        raise ValueError(f"the archive uses {path!r} as a folder: {os.strerror(exc.errno or 0)}") from exc


def _make_room(parent: int, name: str, path: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as exc:
        if exc.errno == errno.EISDIR:
            raise ValueError(f"the archive has a file {path!r}, and there is a folder") from exc
        raise


def _link(root: int, target: str, parent: int, name: str) -> None:
    folder, _, last = target.rpartition("/")
    fd = open_without_links(root, folder or ".", _LISTED)
    try:
        os.link(last, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(fd)


def _extract_file(archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    source = archive.extractfile(member)
    assert source is not None, "a regular member has content"
    with source, os.fdopen(os.open(name, _CREATED, 0o600, dir_fd=parent), "wb") as file:
        while block := source.read(_COPY_BYTES):
            file.write(block)
        file.flush()
        os.fchmod(file.fileno(), member.mode & 0o777)
        os.utime(file.fileno(), (member.mtime, member.mtime))
