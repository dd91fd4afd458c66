"""The terminals of rooms: who has which, by name; they end with their room."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import PurePosixPath
from typing import Any

from terminado.management import NamedTermManager

from embedenv_jupyter.errors import (
    BusyError,
    RoomClosedError,
    SandboxError,
    SandboxRequestError,
    UnknownTerminalError,
)
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.terminals.terminal import Terminal

log = logging.getLogger(__name__)

MAX_TERMINALS = 32
SIZE = (24, 80)
"""Rows and columns until the first client says what it can show."""
SHELLS = ("bash", "sh")
"""Login shells: the first one that the room has."""


class RoomTerminals(NamedTermManager):
    """The terminals of one room, by name: terminado's table, with shells that a supervisor has started."""

    terminals: dict[str, Terminal]  # type: ignore[assignment]  # new_terminal() makes no others

    def __init__(self, room: Room) -> None:
        # Nothing here blocks, so the executor in which terminado writes is none.
        super().__init__(MAX_TERMINALS, shell_command=SHELLS[0], blocking_io_executor=Executor())
        self.room = room
        self._starting = 0
        self._is_closed = False
        room.terminals = self.terminals.keys()

    async def create(self, name: str | None = None, cwd: str | None = None) -> Terminal:
        """Start a login shell in a folder of the workspace; in the workspace where there is no such folder.

        Raises:
            BusyError: the room has as many terminals as it may, or one of this name.
            RoomClosedError: it has ended.
            SandboxError: the shell did not start.
        """
        self._require_open()
        if len(self.terminals) + self._starting >= MAX_TERMINALS:
            raise BusyError(f"This room has {MAX_TERMINALS} terminals already; close one of them first.")
        self._starting += 1
        try:
            process = await self._start_shell(await self._folder(cwd))
        finally:
            self._starting -= 1
        try:
            self._require_open()
            if name is not None and name in self.terminals:
                raise BusyError(f"This room has a terminal {name} already.")
            _, terminal = self.new_named_terminal(process=process, **({"name": name} if name else {}))
        except BaseException:
            process.close()
            raise
        assert isinstance(terminal, Terminal)
        self.room.changed()
        return terminal

    def _require_open(self) -> None:
        if self._is_closed or self.room.end_reason is not None:
            raise RoomClosedError(self.room.end_reason or "the gateway stops")

    async def _folder(self, cwd: str | None) -> str | None:
        folder = str(PurePosixPath("/", cwd or "")).lstrip("/")
        if not folder or ".." in PurePosixPath(folder).parts:
            return None
        try:
            return folder if (await self.room.sandbox.files.stat(folder)).type == "folder" else None
        except (SandboxError, ValueError) as exc:
            log.info("room %s has no folder %.200r for a terminal: %s", self.room.id, folder, exc)
            return None

    async def _start_shell(self, cwd: str | None) -> Process:
        *preferred, last = SHELLS
        for shell in preferred:
            try:
                return await self.room.sandbox.spawn_pty([shell, "-l"], cwd=cwd, size=SIZE)
            except SandboxRequestError as exc:
                if exc.errno != errno.ENOENT:
                    raise
        return await self.room.sandbox.spawn_pty([last, "-l"], cwd=cwd, size=SIZE)

    def new_terminal(self, *, process: Process, **_: Any) -> Terminal:  # type: ignore[override]
        """Make a terminal of a shell that has been started; terminado calls this."""
        return Terminal(process, SIZE, on_change=self._changed)

    def start_reading(self, terminal: Terminal) -> None:  # type: ignore[override]
        """Begin to read a terminal that has its name now; terminado calls this."""
        terminal.start()

    def _changed(self, terminal: Terminal) -> None:
        """Note that somebody came or went, or that the shell has ended."""
        work = f"terminal {terminal.term_name}"
        if terminal.ended.is_set() and self.terminals.get(terminal.term_name) is terminal:
            del self.terminals[terminal.term_name]
            self.room.changed()
        if terminal.clients and not terminal.ended.is_set():
            self.room.work_began(work)
        else:
            self.room.work_ended(work)

    def get_terminal(self, term_name: str) -> Terminal:  # type: ignore[override]  # as terminado has it
        """Return a terminal; terminado's own makes one where there is none.

        Raises:
            UnknownTerminalError: the room has none of this name.
        """
        if term_name not in self.terminals:
            raise UnknownTerminalError(term_name, tuple(self.terminals))
        return self.terminals[term_name]

    def __iter__(self) -> Iterator[Terminal]:
        return iter(list(self.terminals.values()))

    async def close(self, name: str) -> None:
        """End the programs of a terminal; raises what :meth:`get_terminal` raises."""
        await self.get_terminal(name).stop()

    async def aclose(self) -> None:
        """End all terminals; idempotent."""
        self._is_closed = True
        await asyncio.gather(*(terminal.aclose() for terminal in self))


class TerminalManagers:
    """Finds the terminals of any open room."""

    def __init__(self) -> None:
        self._by_room: dict[str, RoomTerminals] = {}

    def of(self, room: Room) -> RoomTerminals:
        """Return the terminals of a room; they end with it.

        Raises:
            RoomClosedError: it has ended.
        """
        if room.end_reason is not None:
            raise RoomClosedError(room.end_reason)
        terminals = self._by_room.get(room.id)
        if terminals is None:
            terminals = self._by_room[room.id] = RoomTerminals(room)
            room.before_close(lambda: self._forget(terminals))
        return terminals

    def in_room(self, room: Room) -> list[Terminal]:
        """Return the terminals that a room has, also while it ends."""
        terminals = self._by_room.get(room.id)
        return [] if terminals is None else list(terminals)

    async def _forget(self, terminals: RoomTerminals) -> None:
        self._by_room.pop(terminals.room.id, None)
        await terminals.aclose()
