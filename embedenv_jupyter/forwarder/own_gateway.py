"""A gateway of the forwarder's own, where no server has one: it ends with the process.

Only a restart is more than that: the files of the room are kept beside the
connection file until the next process takes them over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.forwarder.link import Link
from embedenv_jupyter.forwarder.memory import Memory
from embedenv_jupyter.forwarder.room_link import RoomLink
from embedenv_jupyter.gateway import Gateway, GatewaySettings
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.rooms.manager import RoomSettings
from embedenv_jupyter.rooms.room import Room

HERE: Final = "here"
"""What stands for the URL of a gateway that has none."""

FILES_SUFFIX: Final = ".embedenv-files"


class OwnRoom:
    """The one room of the process, with its one kernel."""

    def __init__(self, kernel: Kernel, room: Room, files: Path, stack: AsyncExitStack) -> None:
        self._kernel = kernel
        self._room = room
        self._files = files
        self._stack = stack

    @classmethod
    async def open(cls, before: Memory | None, connection_file: Path) -> OwnRoom:
        """Start a gateway, a room and a kernel; take over the files of the process before.

        Raises:
            EmbedEnvError: one of them does not start; the text says why.
        """
        files = connection_file.with_suffix(FILES_SUFFIX)
        async with AsyncExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="embedenv-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            settings = GatewaySettings(
                data_dir=folder, pool_size=0, kernel_pool_size=0, rooms=RoomSettings(idle_s=None)
            )
            gateway = Gateway(settings)
            stack.push_async_callback(gateway.aclose)
            await gateway.start()
            room = (await gateway.rooms.open(LOCAL_ACCOUNT, space="kernel", warm=True)).room
            if before is not None and before.url == HERE:
                await _restore(room, files)
            files.unlink(missing_ok=True)
            kernel = await gateway.kernels.of(room).start()
            return cls(kernel, room, files, stack.pop_all())
        raise AssertionError("no exception is swallowed")

    @property
    def memory(self) -> Memory:
        return Memory(HERE, self._room.id, self._kernel.id, is_own_room=True)

    def link(self) -> Link:
        return RoomLink(self._kernel)

    async def suspend(self) -> None:
        """Keep the files for the next process, and end."""
        with contextlib.suppress(EmbedEnvError, OSError):
            await _save(self._room, self._files)
        await self.end()

    async def end(self) -> None:
        """End kernel, room and gateway."""
        await self._stack.aclose()


async def _save(room: Room, files: Path) -> None:
    """Write the workspace into a file that only its owner can read.

    Raises:
        EmbedEnvError, OSError: it is not whole, and there is no file.
    """
    snapshot = await room.sandbox.files.snapshot()
    assert snapshot.stdout is not None, "a snapshot is written there"
    part = files.with_suffix(".part")
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while data := await snapshot.stdout.read():
                await asyncio.to_thread(_write, fd, data)
        finally:
            os.close(fd)
        if (await snapshot.wait()).code == 0:
            part.rename(files)
    finally:
        snapshot.close()
        part.unlink(missing_ok=True)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


async def _restore(room: Room, files: Path) -> None:
    try:
        fd = os.open(files, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # the process before had no time to keep them
    try:
        await room.sandbox.files.restore(fd)
    finally:
        os.close(fd)
