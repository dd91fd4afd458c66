"""What a forwarder leaves for the one that takes its place when the kernel is restarted.

A file beside Jupyter's connection file, which stays the same over a restart. There
are no keys in it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

SUFFIX: Final = ".embedenv"


class Memory(msgspec.Struct, frozen=True):
    """The kernel in a room of the gateway at ``url``; ``is_own_room`` says that we opened the room."""

    url: str
    room: str
    kernel: str
    is_own_room: bool


class MemoryFile:
    """The file for one connection file."""

    def __init__(self, connection_file: Path) -> None:
        self._path = connection_file.with_suffix(SUFFIX)

    def read(self) -> Memory | None:
        """Return what was left, if anything is there that is ours and can be read."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                if os.fstat(fd).st_uid != os.geteuid():
                    return None
                return msgspec.json.decode(file.read(), type=Memory)
        except (OSError, msgspec.MsgspecError):
            return None

    def write(self, memory: Memory) -> None:
        """Leave something; without the file, a restart gets a new room."""
        write_private(self._path, msgspec.json.encode(memory))

    def remove(self) -> None:
        """Leave nothing; idempotent."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in place of an older one.

    Raises:
        OSError: it cannot be written.
    """
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
