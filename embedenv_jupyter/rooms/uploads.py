"""Uploads in pieces, as JupyterLab sends large files: the file is replaced when the last piece is there.

Until then the pieces are in a hidden file beside it. So an upload that breaks off
leaves what was there before, and nobody sees half a file under its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field
from typing import Final

from embedenv_jupyter.errors import BusyError, ContentError, WorkspaceError
from embedenv_jupyter.rooms.files import UPLOAD_SUFFIX, Files
from embedenv_jupyter.rooms.members import Member

LAST: Final = -1
"""The number of the last piece; the others count from 1."""

MAX_UPLOADS: Final = 32
"""In one room at once."""

FORGOTTEN_S: Final = 600.0
"""An upload that nothing was heard of for this long makes room for another one."""


@dataclass
class _Upload:
    hidden: str
    heard_s: float
    next: int = 1
    size_bytes: int = 0
    taking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Uploads:
    """The uploads of one room that are under way."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._under_way: dict[tuple[str, str], _Upload] = {}

    async def receive(self, member: Member, path: str, number: int, piece: bytes) -> tuple[int, str]:
        """Take a piece; return how many bytes there are now, and in which file.

        Raises:
            ContentError: it is not the piece that comes next.
            BusyError: too many uploads are under way.
        """
        key = (member.id, path)
        if number == 1:
            await self._begin(member, key, path)
        upload = self._under_way.get(key)
        if upload is None:
            raise ContentError(path, f"there is no upload that piece {number} belongs to; begin with piece 1")
        async with upload.taking:
            return await self._take(member, key, upload, number, piece)

    async def _take(
        self, member: Member, key: tuple[str, str], upload: _Upload, number: int, piece: bytes
    ) -> tuple[int, str]:
        path = key[1]
        if number not in (upload.next, LAST):
            raise ContentError(path, f"piece {upload.next} of the upload comes next, not {number}")
        await self._files.append(member, upload.hidden, piece, at=upload.size_bytes)
        upload.size_bytes += len(piece)
        upload.next += 1
        upload.heard_s = asyncio.get_running_loop().time()
        if number == LAST:
            await self._files.rename(member, upload.hidden, path, replace=True)
            self._under_way.pop(key, None)
            return upload.size_bytes, path
        return upload.size_bytes, upload.hidden

    async def _begin(self, member: Member, key: tuple[str, str], path: str) -> None:
        """Begin anew, also where an earlier upload to the same path broke off."""
        now_s = asyncio.get_running_loop().time()
        await self._drop(member, key)
        for other, upload in list(self._under_way.items()):
            if now_s - upload.heard_s > FORGOTTEN_S:
                await self._drop(member, other)
        if len(self._under_way) >= MAX_UPLOADS:
            raise BusyError(f"{MAX_UPLOADS} uploads are under way in this room, which is as many as may be.")
        folder, slash, name = path.rpartition("/")
        upload = _Upload(f"{folder}{slash}.{name[:40]}.{secrets.token_hex(4)}{UPLOAD_SUFFIX}", now_s)
        self._under_way[key] = upload
        try:
            await self._files.create(member, upload.hidden, folder=False)
        except BaseException:
            self._under_way.pop(key, None)
            raise

    async def _drop(self, member: Member, key: tuple[str, str]) -> None:
        """Forget an upload, if there is one, and remove what there is of it."""
        upload = self._under_way.pop(key, None)
        if upload is not None:
            with contextlib.suppress(WorkspaceError):
                await self._files.delete(member, upload.hidden)
