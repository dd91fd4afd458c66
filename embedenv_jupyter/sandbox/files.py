"""The files of a sandbox, as the gateway reads and changes them.

Paths are relative to the workspace and never leave it: the room's own kernel
resolves them, and what it hands out is a descriptor, which is looked at before use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal as signals
import stat
from typing import Any

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox.contents import file_info, in_thread, list_folder, read_up_to, write_all
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.received import check, close_all, is_file_or_folder, is_pipe
from embedenv_jupyter.sandbox.requests import Requests
from embedenv_jupyter.sandbox.spec import FileInfo
from embedenv_jupyter.sandbox.streams import ByteSource

LONG_TIMEOUT_S = 120.0
"""For what takes as long as there are bytes or files."""


class SandboxFiles:
    """The workspace of one sandbox; all methods raise what :class:`~.sandbox.Sandbox` says."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
        """Open a file or folder of the workspace; the descriptor is the caller's."""
        _, fds = await self._requests.request("open", path=path, flags=flags, mode=mode)
        check(fds, 1, is_file_or_folder, "file")
        return fds[0]

    async def read(self, path: str, limit_bytes: int = 64 << 20) -> bytes:
        """Read a whole file of at most ``limit_bytes``."""
        fd = await self.open(path)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise SandboxRequestError("read", errno.EISDIR, path)
            if found.st_size > limit_bytes:
                detail = f"has {found.st_size} bytes, {limit_bytes} are allowed"
                raise SandboxRequestError("read", errno.EFBIG, path, detail)
            return await in_thread(fd, lambda own: read_up_to(own, limit_bytes))
        finally:
            os.close(fd)

    async def write(
        self,
        path: str,
        content: bytes,
        *,
        mode: int | None = None,
        expected_sha256: str | None = None,
        exclusive: bool = False,
    ) -> str:
        """Replace a file in one step; parents are made. Returns the content's SHA-256 in hex.

        With ``expected_sha256`` only if the present content has this hash ("" for
        no file), with ``exclusive`` only if there is no such file.
        """
        answer = await self._send_content(
            "write", content, path=path, mode=mode, expected_sha256=expected_sha256, exclusive=exclusive
        )
        return str(answer.get("sha256", ""))

    async def append(self, path: str, content: bytes, *, at: int) -> None:
        """Write at the end of a file that has ``at`` bytes; ``ESTALE`` where it has another number."""
        await self._send_content("append", content, path=path, at=at)

    async def _send_content(self, op: str, content: bytes, **fields: Any) -> dict[str, Any]:
        """Ask for something with ``content``, which the supervisor writes: so it counts for the room."""
        fd = os.memfd_create("content", os.MFD_CLOEXEC)
        try:
            await in_thread(fd, lambda own: write_all(own, content))
            answer, fds = await self._requests.request(op, [fd], timeout_s=LONG_TIMEOUT_S, **fields)
            close_all(fds)
        finally:
            os.ftruncate(fd, 0)  # a supervisor that keeps the descriptor must not keep our memory
            os.close(fd)
        return answer

    async def copy(self, path: str, to: str) -> None:
        """Copy a file, its mode included; ``EEXIST`` where the new name is taken."""
        fd = await self.open(path)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise SandboxRequestError("copy", errno.EISDIR, path)
            _, fds = await self._requests.request(
                "write", [fd], timeout_s=LONG_TIMEOUT_S, path=to, mode=stat.S_IMODE(found.st_mode),
                expected_sha256=None, exclusive=True,
            )  # fmt: skip
            close_all(fds)
        finally:
            os.close(fd)

    async def copy_folder(self, path: str, to: str) -> None:
        """Copy a folder with all that it holds; ``EEXIST`` where the new name is taken."""
        await self.make_dir(to, exclusive=True)
        argv = ["/bin/cp", "-a", "--", f"./{path}/.", f"./{to}/"]
        answer, fds = await self._requests.request("spawn", argv=argv, cwd=".", env={})
        await self._finish(Process.piped(self._requests, answer, fds), "copy", path)

    async def make_dir(self, path: str, *, exclusive: bool = False) -> None:
        """Make a folder and its parents."""
        await self._requests.request("make_dir", path=path, exclusive=exclusive)

    async def rename(self, path: str, to: str, *, replace: bool = False) -> None:
        """Rename within the workspace."""
        await self._requests.request("rename", path=path, to=to, replace=replace)

    async def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, or with ``recursive`` a folder with all that it holds."""
        answer, fds = await self._requests.request("remove", path=path, recursive=recursive)
        if answer.get("job") is None:
            return
        process = Process.piped(self._requests, answer, fds)
        await self._finish(process, "remove", path)

    async def stat(self, path: str) -> FileInfo:
        """Describe one file or folder, without following a symbolic link."""
        return file_info(path.rstrip("/").rpartition("/")[2], await self.look(path, follow=False))

    async def look(self, path: str, *, follow: bool = True) -> os.stat_result:
        """Return what stat(2) says of a path; links are followed inside the workspace, and no farther."""
        _, fds = await self._requests.request(
            "open", path=path, flags=os.O_PATH | (0 if follow else os.O_NOFOLLOW)
        )
        check(fds, 1, lambda found: True, "file")
        try:
            return os.fstat(fds[0])
        finally:
            os.close(fds[0])

    async def list(self, path: str = "") -> list[FileInfo]:
        """List a folder in the order of names, at most ``MAX_LISTED`` entries."""
        fd = await self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return await in_thread(fd, list_folder)
        finally:
            os.close(fd)

    async def snapshot(self) -> Process:
        """Write the workspace as tar: read ``stdout`` to its end, then ``wait``."""
        answer, fds = await self._requests.request("snapshot")
        process = Process.started(self._requests, answer, fds, 2, is_pipe, "pipe")
        process.stdout = ByteSource(fds[0])
        process.stderr = ByteSource(fds[1])
        return process

    async def restore(self, source: int) -> None:
        """Unpack the tar stream behind the descriptor ``source`` into the workspace."""
        answer, fds = await self._requests.request("restore", [source])
        process = Process.started(self._requests, answer, fds, 1, is_pipe, "pipe")
        process.stderr = ByteSource(fds[0])
        await self._finish(process, "restore", "")

    async def _finish(self, process: Process, op: str, path: str) -> None:
        """Wait for a job that does one request's work; raise what it complained about."""
        assert process.stderr is not None
        try:
            async with deadline(LONG_TIMEOUT_S):
                complaint = b""
                while data := await process.stderr.read():
                    complaint = (complaint + data)[-2000:]
                status = await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                await process.signal(signals.SIGKILL)
            raise SandboxTimeoutError(op, LONG_TIMEOUT_S) from None
        finally:
            process.close()
        if status.code != 0:
            lines = complaint.decode(errors="replace").strip().splitlines()
            raise SandboxRequestError(op, errno.EIO, path, lines[-1] if lines else str(status))
