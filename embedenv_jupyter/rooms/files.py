"""The files of a room as its members change them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence

from embedenv_jupyter.errors import (
    FileChangedError,
    FileTakenError,
    FileTooLargeError,
    MissingFileError,
    SandboxRequestError,
    WorkspaceError,
)
from embedenv_jupyter.rooms.events import FilesChanged, RoomError
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import Member, Role
from embedenv_jupyter.sandbox.contents import in_thread, sha256_of
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import FileInfo

_REASONS = {
    errno.ENOSPC: "the room's disk is full; delete something first",
    errno.EDQUOT: "the room's disk is full; delete something first",
    errno.ENOENT: "there is no such file or folder",
    errno.EEXIST: "there is such a file or folder already",
    errno.ENOTDIR: "something on the way is a file, not a folder",
    errno.EISDIR: "is a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EXDEV: "leads out of the room's workspace",
    errno.ELOOP: "is a symbolic link, or too many of them; use what it points to",
    errno.EFBIG: "is larger than files of this room may be",
    errno.EACCES: "the room's user may not do this",
}
_ERRORS: dict[int, type[WorkspaceError]] = {
    errno.ENOENT: MissingFileError,
    errno.ENOTDIR: MissingFileError,
    errno.EEXIST: FileTakenError,
    errno.EFBIG: FileTooLargeError,
}

UPLOAD_SUFFIX = ".embedenv-upload"
"""Ends the names of files that hold an upload that is not complete."""

MAX_TOLD = 100
"""How many paths one event names; a larger change names the first of them."""


class Files:
    """Changes files for members with the role to do so, and tells the log."""

    def __init__(self, sandbox: Sandbox, log: Log) -> None:
        self._sandbox = sandbox
        self._log = log
        self.on_change: list[Callable[[Sequence[str]], None]] = []
        """Called with the paths of each change, after it was made."""
        self.on_rename: list[Callable[[str, str], None]] = []
        """Called with the old and the new path of what a member has renamed."""

    # Changing.

    async def deploy(self, member: Member, files: Sequence[tuple[str, bytes | None]]) -> None:
        """Lay a tree over the workspace: (path, content) or (path, ``None``) for a folder."""
        member.require(Role.EDIT, "deploy a project")
        archive = _pack(files)
        with _named(files[0][0] if files else ""), archive:
            await self._sandbox.files.restore(archive.fileno())
        self.changed([path for path, content in files if content is not None], member.user)

    async def create(self, member: Member, path: str, *, folder: bool, content: bytes = b"") -> None:
        """Make a file or a folder; what exists already stays and is an error."""
        member.require(Role.EDIT, "create files")
        with _named(path):
            if folder:
                await self._sandbox.files.make_dir(path, exclusive=True)
            else:
                await self._sandbox.files.write(path, content, exclusive=True)
        self.changed([path], member.user)

    async def write(
        self, member: Member, path: str, content: bytes, *, expected_sha256: str | None = None
    ) -> str:
        """Replace a file in one step, and return the SHA-256 of its content in hex.

        Raises:
            FileChangedError: its content has not the expected hash ("" expects no file).
        """
        member.require(Role.EDIT, "write files")
        return await self.store(path, content, by=member.user, expected_sha256=expected_sha256)

    async def store(self, path: str, content: bytes, *, by: str, expected_sha256: str | None = None) -> str:
        """Write what was taken from members whose roles were looked at then; else as :meth:`write`."""
        try:
            with _named(path):
                digest = await self._sandbox.files.write(path, content, expected_sha256=expected_sha256)
        except WorkspaceError as exc:
            if isinstance(exc.__cause__, SandboxRequestError) and exc.__cause__.errno == errno.ESTALE:
                raise FileChangedError(path, await self._present(path)) from exc
            raise
        self.changed([path], by)
        return digest

    async def _present(self, path: str) -> str:
        """Return the hash of a file, "" where there is none."""
        try:
            return await self._digest(path)
        except MissingFileError:
            return ""

    async def append(self, member: Member, path: str, content: bytes, *, at: int) -> None:
        """Write at the end of a file that has ``at`` bytes; tells nobody, as more is to come.

        Raises:
            WorkspaceError: it has not.
        """
        member.require(Role.EDIT, "write files")
        with _named(path):
            await self._sandbox.files.append(path, content, at=at)

    async def copy(self, member: Member, path: str, to: str, *, folder: bool = False) -> None:
        """Copy a file, or a folder with all that it holds; the new name must be free."""
        member.require(Role.EDIT, "copy files")
        with _named(path):
            await (self._sandbox.files.copy_folder if folder else self._sandbox.files.copy)(path, to)
        self.changed([to], member.user)

    async def rename(self, member: Member, path: str, to: str, *, replace: bool = False) -> None:
        """Rename a file or folder; unless it may ``replace`` a file, the new name must be free."""
        member.require(Role.EDIT, "rename files")
        with _named(path):
            await self._sandbox.files.rename(path, to, replace=replace)
        for note in self.on_rename:
            note(path, to)
        self.changed([path, to], member.user)

    async def delete(self, member: Member, path: str) -> None:
        """Remove a file, or a folder with all that it holds."""
        member.require(Role.EDIT, "delete files")
        with _named(path):
            await self._sandbox.files.remove(path, recursive=True)
        self.changed([path], member.user)

    # Looking. Links are followed, but never out of the workspace.

    async def read(self, member: Member, path: str) -> bytes:
        """Return a file's content."""
        member.require(Role.VIEW, "read files")
        with _named(path):
            return await self._sandbox.files.read(path)

    async def open(self, member: Member, path: str) -> int:
        """Open a file to read it; the descriptor is the caller's."""
        member.require(Role.VIEW, "read files")
        return await self._open(path)

    async def _open(self, path: str) -> int:
        with _named(path):
            fd = await self._sandbox.files.open(path)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                os.close(fd)
                raise SandboxRequestError("read", errno.EISDIR, path)
        return fd

    async def digest(self, member: Member, path: str) -> str:
        """Return the SHA-256 of a file's content in hex."""
        member.require(Role.VIEW, "read files")
        return await self._digest(path)

    async def _digest(self, path: str) -> str:
        fd = await self._open(path)
        try:
            return await in_thread(fd, sha256_of)
        finally:
            os.close(fd)

    async def look(self, member: Member, path: str) -> os.stat_result:
        """Return what stat(2) says of a file or folder, or of what a link points to."""
        member.require(Role.VIEW, "list files")
        with _named(path):
            return await self._sandbox.files.look(path)

    async def list(self, member: Member, path: str) -> list[FileInfo]:
        """Return a folder's entries in the order of their names."""
        member.require(Role.VIEW, "list files")
        with _named(path):
            return await self._sandbox.files.list(path)

    async def state_of(self, path: str) -> os.stat_result:
        """Return what stat(2) says of a file, or of the link that it is; for the gateway's own use."""
        with _named(path):
            return await self._sandbox.files.look(path, follow=False)

    async def content_of(self, path: str, limit_bytes: int) -> bytes:
        """Return a file's content; for the gateway's own use.

        Raises:
            FileTooLargeError: it has more than ``limit_bytes``.
        """
        with _named(path):
            return await self._sandbox.files.read(path, limit_bytes)

    def complain(self, text: str) -> None:
        """Tell the members what went wrong with files."""
        self._log.append(RoomError(text=text, at=time.time()))

    def changed(self, paths: Sequence[str], by: str) -> None:
        """Tell the log, and whoever wants to know, that ``by`` has changed files ("" for programs)."""
        paths = [path for path in paths if not path.endswith(UPLOAD_SUFFIX)]
        if not paths:
            return
        self._log.append(FilesChanged(paths=tuple(paths[:MAX_TOLD]), by=by, at=time.time()))
        for note in self.on_change:
            note(paths)


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn what the sandbox refuses into a sentence about the member's path."""
    try:
        yield
    except SandboxRequestError as exc:
        number = errno.ENOSPC if "No space left" in exc.detail else exc.errno
        reason = _REASONS.get(number, exc.detail or str(exc))
        if number == errno.EFBIG and exc.detail:
            reason = exc.detail
        raise _ERRORS.get(number, WorkspaceError)(exc.path or path, reason) from exc


def _pack(files: Sequence[tuple[str, bytes | None]]) -> io.FileIO:
    """Write the tree as a tar stream into an anonymous file, rewound."""
    stream = io.FileIO(os.memfd_create("project", os.MFD_CLOEXEC), "w+")
    now = int(time.time())
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files:
            member = tarfile.TarInfo(path)
            member.mtime = now
            member.mode = 0o755 if content is None else 0o644
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size = 0 if content is None else len(content)
            archive.addfile(member, None if content is None else io.BytesIO(content))
    stream.seek(0)
    return stream
