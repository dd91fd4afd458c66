"""Files of a room, from inside the room.

Every path is relative to the workspace and resolved by the kernel beneath the
workspace's descriptor (openat2(2), ``RESOLVE_BENEATH``): ``..``, absolute paths
and symbolic links that lead out end in an error, whatever the room swaps
meanwhile. Where openat2 is not to be had, each component is opened without
following links at all.

Standard library only: part of the supervisor.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from embedenv_jupyter.sandbox import syscalls

_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_COPY_BYTES = 8 << 20
_LEADS_OUT = "leads out of the room's workspace"


def open_beneath(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a path beneath ``root``; only regular files and directories are handed out.

    Raises:
        OSError: ``EXDEV`` when the path leads out of ``root``, ``EINVAL`` when it
            names a FIFO, socket or device, else what open(2) says.
    """
    # With O_PATH, openat2(2) refuses every flag that has no meaning for it.
    flags |= os.O_CLOEXEC if flags & os.O_PATH else os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    if not flags & os.O_CREAT:
        mode = 0
    fd = _open(root, path or ".", flags, mode)
    kind = os.fstat(fd).st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or flags & os.O_PATH):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file or directory", path)
    return fd


def _open(root: int, path: str, flags: int, mode: int) -> int:
    try:
        return syscalls.openat2(root, path, flags, mode, _BENEATH)
    except OSError as exc:
        if exc.errno == errno.EXDEV:
            raise OSError(errno.EXDEV, _LEADS_OUT, path) from None
        if exc.errno not in (errno.ENOSYS, errno.EPERM):
            raise OSError(exc.errno, os.strerror(exc.errno or 0), path) from None
    return _open_by_components(root, path, flags, mode)


def open_without_links(root: int, path: str, flags: int) -> int:
    """Open a path beneath ``root`` in which nothing is a symbolic link.

    Raises:
        OSError: ``ELOOP`` when something is one, else as :func:`open_beneath`.
    """
    try:
        return syscalls.openat2(root, path, flags, resolve=_BENEATH | syscalls.RESOLVE_NO_SYMLINKS)
    except OSError as exc:
        if exc.errno not in (errno.ENOSYS, errno.EPERM):
            raise
    return _open_by_components(root, path, flags, 0)


def _open_by_components(root: int, path: str, flags: int, mode: int) -> int:
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names or path.startswith("/"):
        raise OSError(errno.EXDEV, _LEADS_OUT, path)
    current = os.open(".", _DIRECTORY, dir_fd=root)
    try:
        for name in names[:-1]:
            following = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = following
        return os.open(names[-1] if names else ".", flags | os.O_NOFOLLOW, mode, dir_fd=current)
    finally:
        os.close(current)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Have each error inside name the whole path that was asked for, not the part that was looked at."""
    try:
        yield
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror or str(exc), path) from None


def open_parent(root: int, path: str, *, create: bool = False) -> tuple[int, str]:
    """Open the directory that holds ``path``; return it with the last component.

    Raises:
        OSError: ``EINVAL`` when the path has no last component of its own.
    """
    parent, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise OSError(errno.EINVAL, "names no file in the workspace", path)
    if path.startswith("/"):
        raise OSError(errno.EXDEV, _LEADS_OUT, path)
    with naming(path):
        if create and parent:
            make_directories(root, parent)
        return _open(root, parent or ".", _DIRECTORY, 0), name


def make_directories(root: int, path: str, *, exclusive: bool = False) -> None:
    """Make a directory and its parents.

    Raises:
        FileExistsError: it exists and ``exclusive`` is set.
        NotADirectoryError: something on the way is a file.
    """
    if path.startswith("/"):
        raise OSError(errno.EXDEV, _LEADS_OUT, path)
    names = [name for name in path.split("/") if name not in ("", ".")]
    current = os.open(".", _DIRECTORY, dir_fd=root)
    try:
        with naming(path):
            for depth, name in enumerate(names, 1):
                try:
                    os.mkdir(name, 0o755, dir_fd=current)
                except FileExistsError:
                    if exclusive and depth == len(names):
                        raise
                following = _open(root, "/".join(names[:depth]), _DIRECTORY, 0)
                os.close(current)
                current = following
    finally:
        os.close(current)


def replace_file(
    root: int,
    path: str,
    source: int,
    *,
    mode: int | None = None,
    expected_sha256: str | None = None,
    exclusive: bool = False,
) -> str:
    """Write ``source``'s content to ``path`` in one step that others see whole or not at all.

    Parents are made. An existing file keeps its mode. Returns the content's
    SHA-256 in hex.

    Raises:
        OSError: ``EEXIST`` when ``exclusive`` and it exists, ``ESTALE`` when the
            present content has not the expected hash, ``ELOOP`` for a symbolic
            link, ``EISDIR`` for a directory, ``ENOSPC`` when the room is full.
    """
    parent, name = open_parent(root, path, create=True)
    temporary = f".~{secrets.token_hex(8)}"
    try:
        present = _present(parent, name, path)
        if present is not None and exclusive:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if expected_sha256 is not None and _digest_of(parent, name, present) != expected_sha256:
            raise OSError(errno.ESTALE, "has changed since it was read", path)
        if mode is None:
            mode = stat.S_IMODE(present.st_mode) if present is not None else 0o644
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
        try:
            digest = _copy(source, fd)
            os.fchmod(fd, mode & 0o777)
        finally:
            os.close(fd)
        # Whatever the room did meanwhile, an exclusive write replaces nothing.
        flags = syscalls.RENAME_NOREPLACE if exclusive else 0
        syscalls.renameat2(parent, temporary, parent, name, flags)
        return digest
    except OSError as exc:
        _unlink_quietly(parent, temporary)
        # By number: the text of a failed system call names the temporary file.
        known = exc.errno in (errno.EEXIST, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        reason = os.strerror(exc.errno or 0) if known else exc.strerror
        raise OSError(exc.errno, reason, path) from None
    finally:
        os.close(parent)


def append_file(root: int, path: str, source: int, *, at: int) -> None:
    """Write ``source``'s content at the end of a file that has ``at`` bytes; all of it or nothing.

    Raises:
        OSError: ``ESTALE`` when the file has another size, ``ELOOP`` when it is a symbolic link.
    """
    with naming(path):
        parent, name = open_parent(root, path)
        try:
            fd = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        finally:
            os.close(parent)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "is not a regular file")
            if found.st_size != at:
                raise OSError(errno.ESTALE, f"has {found.st_size} bytes, not {at}")
            os.lseek(fd, at, os.SEEK_SET)
            try:
                _copy(source, fd)
            except OSError:
                os.ftruncate(fd, at)
                raise
        finally:
            os.close(fd)


def _present(parent: int, name: str, path: str) -> os.stat_result | None:
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, "is a symbolic link; write to what it points to", path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder", path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", path)
    return found


def _digest_of(parent: int, name: str, present: os.stat_result | None) -> str:
    """Hash the present content; a file that is not there has the empty text as its hash."""
    if present is None:
        return ""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=parent), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _copy(source: int, target: int) -> str:
    size = os.fstat(source).st_size
    digest = hashlib.sha256()
    offset = 0
    while offset < size:
        block = os.pread(source, min(_COPY_BYTES, size - offset), offset)
        if not block:
            break
        offset += len(block)
        digest.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(target, view) :]
    return digest.hexdigest()


def _unlink_quietly(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except OSError:
        return


def rename(root: int, path: str, to: str, *, replace: bool = False) -> None:
    """Rename within the workspace.

    Raises:
        FileExistsError: the new name is taken and ``replace`` is not set.
    """
    parent, name = open_parent(root, path)
    try:
        target_parent, target = open_parent(root, to)
        try:
            if replace:
                os.rename(name, target, src_dir_fd=parent, dst_dir_fd=target_parent)
            else:
                syscalls.renameat2(parent, name, target_parent, target, syscalls.RENAME_NOREPLACE)
        except OSError as exc:
            shown = to if exc.errno == errno.EEXIST else path
            raise OSError(exc.errno, os.strerror(exc.errno or 0), shown) from None
        finally:
            os.close(target_parent)
    finally:
        os.close(parent)


def is_directory(parent: int, name: str) -> bool:
    """Tell whether a name is a directory, without following it."""
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
