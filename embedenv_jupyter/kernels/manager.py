"""The kernels of a room, and of all rooms: started, found, idle ones ended, gone with their room."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from embedenv_jupyter.errors import BusyError, RoomClosedError, UnknownKernelError, UnknownRoomError
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.kernels.magics.surroundings import Accounts, Surroundings
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.rooms.log import Log
from embedenv_jupyter.rooms.manager import RoomManager
from embedenv_jupyter.rooms.room import Room

log = logging.getLogger(__name__)

PYTHON: Final = "python3"
"""The kernel that every room has."""

KERNEL_SPECS: Final[Mapping[str, Mapping[str, Any]]] = {
    PYTHON: {
        "argv": [],
        "display_name": "Python 3",
        "language": "python",
        "interrupt_mode": "signal",
        "env": {},
        "metadata": {"debugger": True},
    }
}
"""What can be started in a room, as Jupyter describes kernels."""

MAX_NOTEBOOKS: Final = 1000
"""Sessions of documents in one room: several can share a kernel, and nothing else bounds them."""

LOOK_EVERY_S: Final = 10.0
_HANDED_ON: Final = ("JPY_SESSION_NAME",)
"""What a kernel may learn of the environment that a client asks for; the room has its own."""


@dataclass(frozen=True)
class KernelSettings:
    """What the operator decides about kernels. Times in seconds, sizes in bytes."""

    max_kernels: int = 16
    """In one room."""
    cull_idle_s: float | None = None
    """End a kernel that no client is connected to and that ran nothing for this long; ``None``: never."""
    log_memory_bytes: int = 4 << 20
    log_disk_bytes: int = 256 << 20


@dataclass
class NotebookSession:
    """A document and the kernel that it uses (Jupyter's ``/api/sessions``)."""

    id: str
    path: str
    name: str
    type: str
    kernel: Kernel


class RoomKernels:
    """The kernels of one room."""

    def __init__(self, room: Room, logs: Path, settings: KernelSettings, surroundings: Surroundings) -> None:
        self.room = room
        self._surroundings = surroundings
        self.notebooks: dict[str, NotebookSession] = {}
        self._logs = logs
        self._settings = settings
        self._kernels: dict[str, Kernel] = {}
        self._is_closed = False
        self.opening = asyncio.Lock()
        """Held by who looks for the session of a document and makes one where there is none."""
        self._closing: set[asyncio.Task[None]] = set()
        self._on_change: list[Callable[[Kernel], None]] = []

    def __iter__(self) -> Iterator[Kernel]:
        return iter(list(self._kernels.values()))

    def __len__(self) -> int:
        return len(self._kernels)

    async def start(
        self,
        name: str | None = None,
        *,
        id: str | None = None,
        path: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Kernel:
        """Start a kernel in the folder of a document at ``path``; ``id`` is one that no other kernel has.

        Raises:
            UnknownKernelError: the room has no kernel of this name, or the kernel was shut down meanwhile.
            BusyError: it has as many kernels as it may.
            RoomClosedError: it has ended.
            SandboxError: it did not start.
        """
        self._require_open()
        name = name or PYTHON
        if name not in KERNEL_SPECS:
            raise UnknownKernelError(name, tuple(KERNEL_SPECS))
        if len(self._kernels) >= self._settings.max_kernels:
            raise BusyError(
                f"This room has {self._settings.max_kernels} kernels already; shut one of them down first."
            )
        kernel = self._make(id or str(uuid.uuid4()), name)
        self._kernels[kernel.id] = kernel
        given = env or {}
        try:
            cwd = await self._folder_of(path)
            await kernel.start(cwd=cwd, env={name: given[name] for name in _HANDED_ON if name in given})
        except BaseException:
            await self._end(kernel)
            raise
        return kernel

    def _require_open(self) -> None:
        """Refuse what nobody would end any more."""
        if self._is_closed or self.room.end_reason is not None:
            raise RoomClosedError(self.room.end_reason or "the gateway stops")

    def add_notebook(self, path: str, name: str, type: str, kernel: Kernel) -> NotebookSession:
        """Note that a document uses a kernel.

        Raises:
            BusyError: so many documents do already that it is not noted.
        """
        if len(self.notebooks) >= MAX_NOTEBOOKS:
            raise BusyError(f"This room has {MAX_NOTEBOOKS} sessions already; end one of them first.")
        session = NotebookSession(str(uuid.uuid4()), path, name, type, kernel)
        self.notebooks[session.id] = session
        return session

    def _make(self, id: str, name: str) -> Kernel:
        kernel_log = Log(
            self._logs / f"{self.room.id}.{uuid.uuid4().hex[:12]}",
            memory_bytes=self._settings.log_memory_bytes,
            unwritten_bytes=2 * self._settings.log_memory_bytes,
            disk_bytes=self._settings.log_disk_bytes,
        )
        return Kernel(
            id, name, self.room, kernel_log, surroundings=self._surroundings, on_change=self._changed
        )

    async def _folder_of(self, path: str) -> str | None:
        """Return the folder of a document if the room has it; the kernel starts in the workspace else."""
        folder = str(PurePosixPath(path.lstrip("/")).parent) if path else "."
        if folder in ("", ".") or ".." in PurePosixPath(folder).parts:
            return None
        try:
            return folder if (await self.room.sandbox.files.stat(folder)).type == "folder" else None
        except Exception as exc:  # noqa: BLE001 (whatever is wrong with it, a kernel can start elsewhere)
            log.info("room %s has no folder %.200r for a kernel: %s", self.room.id, folder, exc)
            return None

    def find(self, id: str) -> Kernel:
        """Return a kernel.

        Raises:
            UnknownKernelError: the room has none with this id.
        """
        kernel = self._kernels.get(id)
        if kernel is None:
            raise UnknownKernelError(id, tuple(self._kernels))
        return kernel

    async def shutdown(self, id: str) -> None:
        """End a kernel and forget it.

        Raises:
            UnknownKernelError: the room has none with this id.
        """
        await self._end(self.find(id))

    async def _end(self, kernel: Kernel) -> None:
        self._kernels.pop(kernel.id, None)
        self.room.changed()
        for notebook in [found for found in self.notebooks.values() if found.kernel is kernel]:
            del self.notebooks[notebook.id]
        closing = asyncio.create_task(self._close(kernel), name=f"close of kernel {kernel.id}")
        self._closing.add(closing)
        try:
            await asyncio.shield(closing)  # who ends idle kernels may be cancelled, and nobody else would
        finally:
            if closing.done():
                self._closing.discard(closing)

    async def _close(self, kernel: Kernel) -> None:
        try:
            await kernel.aclose()
        finally:
            await kernel.log.aclose(delete=True, linger_s=LINGER_S)

    def _changed(self, kernel: Kernel) -> None:
        for call in self._on_change:
            call(kernel)
        self.room.changed()

    async def cull(self, idle_s: float) -> None:
        """End the kernels that nobody has used for ``idle_s`` seconds."""
        now = datetime.now(UTC)
        for kernel in self:
            is_used = kernel.is_busy or kernel.places.connected_within(idle_s)
            if not is_used and (now - kernel.last_activity).total_seconds() >= idle_s:
                log.info("kernel %s of room %s was idle for %g s", kernel.id, self.room.id, idle_s)
                await self._end(kernel)

    async def aclose(self) -> None:
        """End all kernels; idempotent. What fails there is logged: the room ends all the same."""
        self._is_closed = True
        kernels = list(self)
        ends = await asyncio.gather(*map(self._end, kernels), return_exceptions=True)
        await asyncio.gather(*self._closing, return_exceptions=True)
        for kernel, fault in zip(kernels, ends, strict=True):
            if fault is not None:
                log.error("kernel %s did not end cleanly", kernel.id, exc_info=fault)


LINGER_S: Final = 1.0
"""How long those who still read what a kernel said have for that after its end."""


class KernelManagers:
    """Finds the kernels of any open room; owns the task that ends idle ones."""

    def __init__(
        self, rooms: RoomManager, logs: Path, settings: KernelSettings, *, accounts: Accounts
    ) -> None:
        self._rooms = rooms
        self._surroundings = Surroundings(rooms, self, accounts, Languages.shipped())
        self._logs = logs
        self._settings = settings
        self._by_room: dict[str, RoomKernels] = {}
        self._culling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for idle kernels, if they are to be ended."""
        if self._settings.cull_idle_s is not None:
            self._culling = asyncio.create_task(self._cull(self._settings.cull_idle_s), name="idle kernels")

    async def _cull(self, idle_s: float) -> None:
        while True:
            await asyncio.sleep(min(LOOK_EVERY_S, idle_s))
            for kernels in list(self._by_room.values()):
                try:
                    await kernels.cull(idle_s)
                except Exception:
                    log.exception("idle kernels of room %s were not ended", kernels.room.id)

    def of(self, room: Room) -> RoomKernels:
        """Return the kernels of a room; they end with it.

        Raises:
            RoomClosedError: it has ended.
        """
        if room.end_reason is not None:
            raise RoomClosedError(room.end_reason)
        kernels = self._by_room.get(room.id)
        if kernels is None:
            kernels = self._by_room[room.id] = RoomKernels(
                room, self._logs, self._settings, self._surroundings
            )
            room.before_close(lambda: self._forget(kernels))
        return kernels

    def of_id(self, room_id: str) -> RoomKernels:
        """Return the kernels of an open room.

        Raises:
            UnknownRoomError: no open room has this id.
        """
        room = self._rooms.find(room_id)
        if room is None or room.end_reason is not None:
            raise UnknownRoomError(room_id)
        return self.of(room)

    def in_room(self, room: Room) -> list[Kernel]:
        """Return the kernels that a room has, also while it ends."""
        kernels = self._by_room.get(room.id)
        return [] if kernels is None else list(kernels)

    async def _forget(self, kernels: RoomKernels) -> None:
        self._by_room.pop(kernels.room.id, None)
        await kernels.aclose()

    def __iter__(self) -> Iterator[Kernel]:
        for kernels in list(self._by_room.values()):
            yield from kernels

    async def aclose(self) -> None:
        """End the task and all kernels; idempotent."""
        if self._culling is not None:
            self._culling.cancel()
            await asyncio.gather(self._culling, return_exceptions=True)
        await asyncio.gather(*(kernels.aclose() for kernels in list(self._by_room.values())))
