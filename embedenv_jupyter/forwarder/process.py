"""The forwarder as a process: from the start that Jupyter gives it to its end.

Sockets are bound before anything else, so that clients find a heart that beats; the
room is opened meanwhile. What goes wrong with that is told by each cell, not only by
a log that nobody looks at.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import ConnectionLostError
from embedenv_jupyter.forwarder.connection import ConnectionInfo, Sockets
from embedenv_jupyter.forwarder.language_link import LANGUAGE_VARIABLE, in_language
from embedenv_jupyter.forwarder.link import Link, OpeningLink
from embedenv_jupyter.forwarder.memory import Memory, MemoryFile
from embedenv_jupyter.forwarder.publisher import SETTLE_S
from embedenv_jupyter.forwarder.relay import Relay

log = logging.getLogger(__name__)

END_TIMEOUT_S: Final = 10.0
RUNTIME_DIR_VARIABLE: Final = "JUPYTER_RUNTIME_DIR"
_UNAUTHORIZED: Final = 401


class Place(Protocol):
    """A kernel in a room, wherever that is."""

    @property
    def memory(self) -> Memory:
        """What brings a later process back to it."""

    def link(self) -> Link:
        """Return a way to it."""

    async def suspend(self) -> None:
        """Prepare for a restart: this process ends, the room's files stay."""

    async def end(self) -> None:
        """End the kernel for good."""


OpenOwn = Callable[[Memory | None, Path], Awaitable[Place]]
"""Opens a room in a gateway of this process; the path is the connection file's."""


class ForwarderProcess:
    """What one process holds."""

    def __init__(
        self, connection_file: Path, open_own: OpenOwn, environment: Mapping[str, str] | None = None
    ) -> None:
        self._connection_file = connection_file
        self._open_own = open_own
        self._environment = os.environ if environment is None else environment
        self._memory = MemoryFile(connection_file)
        self._place: Place | None = None
        self._interrupts: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the end.

        Raises:
            OSError: the connection file cannot be read.
            LocalProtocolError: it is none.
        """
        sockets = Sockets(ConnectionInfo.read(self._connection_file))
        link = OpeningLink(self._open())
        is_restart = self._memory.read() is not None
        relay = Relay(sockets, link, settle_s=SETTLE_S if is_restart else 0.0)
        self._obey(relay)
        try:
            shutdown = await relay.run()
        finally:
            for task in self._interrupts:
                task.cancel()
            await asyncio.gather(*self._interrupts, return_exceptions=True)
            await link.aclose()
        await self._end(restart=shutdown.restart)
        await sockets.aclose()

    def _obey(self, relay: Relay) -> None:
        """Interrupt at SIGINT, and end at SIGTERM, as a local kernel does."""

        def interrupt() -> None:
            task = asyncio.create_task(relay.interrupt(), name="interrupt")
            self._interrupts.add(task)
            task.add_done_callback(self._interrupts.discard)

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, interrupt)
        loop.add_signal_handler(signal.SIGTERM, relay.stop)

    async def _open(self) -> Link:
        self._place = place = await self._find()
        try:
            await asyncio.to_thread(self._memory.write, place.memory)
        except OSError as exc:
            log.warning("a restart of this kernel will not find its room: %s", exc)
        return in_language(place.link(), self._environment.get(LANGUAGE_VARIABLE, ""))

    async def _find(self) -> Place:
        from embedenv_jupyter.forwarder import discovery
        from embedenv_jupyter.forwarder.remote import open_kernel

        before = self._memory.read()
        if (named := discovery.from_environment(self._environment)) is not None:
            return await open_kernel(named, before)
        for found in discovery.from_servers(self._environment, self._runtime_dir()):
            try:
                return await open_kernel(found, before)
            except ConnectionLostError as exc:
                log.info("not that server: %s", exc.reason)
            except RefusedError as exc:
                if exc.code != _UNAUTHORIZED or found.join:
                    raise
                log.info("not that server: %s", exc)
        return await self._open_own(before, self._connection_file)

    def _runtime_dir(self) -> Path:
        if named := self._environment.get(RUNTIME_DIR_VARIABLE):
            return Path(named)
        from jupyter_core.paths import jupyter_runtime_dir

        return Path(jupyter_runtime_dir())

    async def _end(self, *, restart: bool) -> None:
        if not restart:
            self._memory.remove()
        if self._place is None:
            return
        try:
            async with deadline(END_TIMEOUT_S):
                await (self._place.suspend() if restart else self._place.end())
        except TimeoutError:
            log.warning("the kernel in the room was not ended within %g s", END_TIMEOUT_S)
