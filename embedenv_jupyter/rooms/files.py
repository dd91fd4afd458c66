"""The files of a room as its members change them."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tarfile
import time
from collections.abc import Iterator, Sequence

from embedenv_jupyter.errors import SandboxRequestError, WorkspaceError
from embedenv_jupyter.rooms.events import FilesChanged
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.members import Member, Role
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
}


class Files:
    """Changes files for members with the role to do so, and tells the log."""

    def __init__(self, sandbox: Sandbox, log: Log) -> None:
        self._sandbox = sandbox
        self._log = log

    async def deploy(self, member: Member, files: Sequence[tuple[str, bytes | None]]) -> None:
        """Lay a tree over the workspace: (path, content) or (path, ``None``) for a folder."""
        member.require(Role.EDIT, "deploy a project")
        archive = _pack(files)
        with _named(files[0][0] if files else ""), archive:
            await self._sandbox.restore(archive.fileno())
        self._changed(member, [path for path, content in files if content is not None])

    async def create(self, member: Member, path: str, *, folder: bool) -> None:
        """Make an empty file or a folder; what exists already stays and is an error."""
        member.require(Role.EDIT, "create files")
        with _named(path):
            if folder:
                await self._sandbox.make_dir(path, exclusive=True)
            else:
                await self._sandbox.write_file(path, b"", exclusive=True)
        self._changed(member, [path])

    async def write(self, member: Member, path: str, content: bytes) -> None:
        """Replace a file in one step."""
        member.require(Role.EDIT, "write files")
        with _named(path):
            await self._sandbox.write_file(path, content)
        self._changed(member, [path])

    async def rename(self, member: Member, path: str, to: str) -> None:
        """Rename a file or folder; the new name must be free."""
        member.require(Role.EDIT, "rename files")
        with _named(path):
            await self._sandbox.rename(path, to)
        self._changed(member, [path, to])

    async def delete(self, member: Member, path: str) -> None:
        """Remove a file, or a folder with all that it holds."""
        member.require(Role.EDIT, "delete files")
        with _named(path):
            await self._sandbox.remove(path, recursive=True)
        self._changed(member, [path])

    async def read(self, member: Member, path: str) -> bytes:
        """Return a file's content."""
        member.require(Role.VIEW, "read files")
        with _named(path):
            return await self._sandbox.read_file(path)

    async def list(self, member: Member, path: str) -> list[FileInfo]:
        """Return a folder's entries in the order of their names."""
        member.require(Role.VIEW, "list files")
        with _named(path):
            return await self._sandbox.list(path)

    def _changed(self, member: Member, paths: Sequence[str]) -> None:
        self._log.append(FilesChanged(paths=tuple(paths[:100]), by=member.user, at=time.time()))


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    """Turn what the sandbox refuses into a sentence about the member's path."""
    try:
        yield
    except SandboxRequestError as exc:
        reason = _REASONS.get(exc.errno, exc.detail or str(exc))
        if "No space left" in exc.detail:
            reason = _REASONS[errno.ENOSPC]
        raise WorkspaceError(exc.path or path, reason) from exc


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
