"""``GET embedenv/rooms/{room}/files/PATH``: a file of a room as it is, in a stream.

What comes is what others wrote, and it comes from the address of the Jupyter server:
it is sent as an attachment that runs nothing, whatever it is.
"""

from __future__ import annotations

import mimetypes
import os
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.iostream import StreamClosedError

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.handlers.contents import FilesHandler
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.rooms.contents import api_path
from embedenv_jupyter.sandbox.contents import in_thread

PIECE_BYTES: Final = 1 << 20
TAKE_TIMEOUT_S: Final = 60.0
"""How long one piece may wait for a reader who takes nothing."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True)
class Part:
    """What of a file is sent: from ``start`` up to, not with, ``stop``."""

    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


class NoSuchPartError(ProblemError):
    """A part was asked for that a file of ``size_bytes`` has not."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(416, f"The file has {size_bytes} bytes, and this part is not of them.", "BadRange")


def part_of(header: str, size_bytes: int) -> Part | None:
    """Return what a ``Range`` header asks for; ``None`` where it is to be ignored (RFC 9110, section 14.2).

    Raises:
        NoSuchPartError: the file has no such part.
    """
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if match[1]:
        start = int(match[1])
        stop = min(int(match[2]) + 1, size_bytes) if match[2] else size_bytes
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, stop = max(0, size_bytes - int(match[2])), size_bytes
    if start >= stop:
        raise NoSuchPartError(size_bytes)
    return Part(start, stop)


class DownloadHandler(FilesHandler):
    """One file."""

    @allow_unauthenticated
    async def get(self, room_id: str, path: str) -> None:
        path = api_path(path)
        fd = await self.room.files.open(self.member, path)
        size_bytes = os.fstat(fd).st_size
        try:
            part = self._begin(path, size_bytes)
            if self.request.method == "HEAD":
                self.finish(set_content_type=self._type)
                return
            await self._send(fd, part)
        except NoSuchPartError as exc:
            self.set_header("Content-Range", f"bytes */{size_bytes}")
            self.answer({"message": exc.message, "reason": exc.problem}, 416)
        finally:
            os.close(fd)

    head = get

    def _begin(self, path: str, size_bytes: int) -> Part:
        """Send the headers, and return what they announce."""
        name = path.rpartition("/")[2]
        self._type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        self.set_header("Accept-Ranges", "bytes")
        asked = part_of(self.request.headers.get("Range", ""), size_bytes)
        part = asked or Part(0, size_bytes)
        if asked is not None:
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{size_bytes}")
        self.set_header("Content-Type", self._type)
        self.set_header("Content-Length", str(part.size_bytes))
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='')}")
        self.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-cache")
        return part

    async def _send(self, fd: int, part: Part) -> None:
        """Send a part at the pace of who reads it."""
        at = part.start
        try:
            while at < part.stop:
                wanted, offset = min(PIECE_BYTES, part.stop - at), at
                piece = await in_thread(fd, lambda own: os.pread(own, wanted, offset))  # noqa: B023
                if not piece:
                    raise StreamClosedError  # it became shorter: only a cut tells that bytes are missing
                at += len(piece)
                self.write(piece)
                async with deadline(TAKE_TIMEOUT_S):
                    await self.flush()
            self.finish(set_content_type=self._type)
        except (StreamClosedError, TimeoutError) as exc:
            self.log.info("a download ended %d bytes early: %s", part.stop - at, type(exc).__name__)
            self.request.connection.close()  # type: ignore[union-attr]  # HTTP/1 connections can be closed
