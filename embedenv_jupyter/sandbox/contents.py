"""What the gateway reads and writes through descriptors of a room's files; all of it may block."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import stat
from collections.abc import Callable
from typing import TypeVar

from embedenv_jupyter.sandbox.spec import FileInfo

MAX_LISTED = 10_000

T = TypeVar("T")


async def in_thread(fd: int, work: Callable[[int], T]) -> T:
    """Call ``work`` in a thread with a duplicate of ``fd`` that is the thread's own.

    A caller that is cancelled closes its descriptor while the thread goes on; the
    number may be another room's file by then.
    """
    own = [os.dup(fd)]

    def run() -> T:
        mine = own.pop()
        try:
            return work(mine)
        finally:
            os.close(mine)

    try:
        return await asyncio.to_thread(run)
    finally:
        with contextlib.suppress(IndexError):  # the thread has it, or had it
            os.close(own.pop())


def read_up_to(fd: int, limit: int) -> bytes:
    """Read a file to its end, at most ``limit`` bytes; it may grow meanwhile."""
    parts = []
    while limit > 0 and (block := os.read(fd, min(limit, 1 << 20))):
        parts.append(block)
        limit -= len(block)
    return b"".join(parts)


def write_all(fd: int, content: bytes) -> None:
    """Write everything."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def sha256_of(fd: int) -> str:
    """Hash a file from where the descriptor stands, in hex."""
    with os.fdopen(os.dup(fd), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_folder(fd: int) -> list[FileInfo]:
    """Describe the entries of an open folder in the order of names, at most ``MAX_LISTED``."""
    found: list[FileInfo] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found.append(file_info(entry.name, entry.stat(follow_symlinks=False)))
            if len(found) == MAX_LISTED:
                break
    return sorted(found, key=lambda info: info.name)


def file_info(name: str, found: os.stat_result) -> FileInfo:
    """Put what stat(2) says in our words."""
    if stat.S_ISDIR(found.st_mode):
        kind = "folder"
    elif stat.S_ISREG(found.st_mode):
        kind = "file"
    else:
        kind = "link" if stat.S_ISLNK(found.st_mode) else "other"
    mode = stat.S_IMODE(found.st_mode)
    return FileInfo(name, kind, found.st_size, found.st_mtime, mode, found.st_ctime)
