"""One client's place at a kernel: what it may do, its own sockets, and how far it has read.

A client is known by the session id that it chose (Jupyter's ``session_id``). It
may lose its WebSocket and come back; for a while its place is kept, its replies
go on into the kernel's log, and it reads on from the number that it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Final

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.kernels.channels import Channel
from embedenv_jupyter.kernels.process import KernelProcess
from embedenv_jupyter.protocols.kernels import ServerReceiver
from embedenv_jupyter.rooms.members import Member

Batches = AsyncIterator[list[tuple[bytes, ...]]]
OnReply = Callable[["KernelSession", KernelProcess, str, Batches], Coroutine[None, None, None]]
"""What reads the replies of one channel of a session (see :meth:`Kernel.read_replies`)."""

SOCKET_TYPES: Final = {"shell": "DEALER", "control": "DEALER", "stdin": "DEALER"}


class KernelSession:
    """What the gateway holds for one client of one kernel."""

    def __init__(self, id: str, member: Member, owner: str = "") -> None:
        self.id = id
        self.member = member
        self.owner = owner
        """Who may come back to this place: ids are in every message, so others know them."""
        self.receiver = ServerReceiver()
        self.taking = asyncio.Lock()
        """Held while a message is handed on: after a cut the next one may come by another socket."""
        self.position = 0
        """The number up to which a client of Jupyter's own protocol was sent everything."""
        self.connection: object | None = None
        """Whoever serves the client's WebSocket now; the newest one wins."""
        self.left_at_s = time.monotonic()
        """Since when no connection serves it, where none does."""
        self.is_prepaid = False
        """Whether whoever sends its cells has charged for them already."""
        self.is_visiting = False
        """Whether this is the place of a notebook of another room, which sends single cells here."""
        self._channels: dict[str, Channel] = {}
        self._process: KernelProcess | None = None
        self._readers: list[asyncio.Task[None]] = []

    @property
    def is_connected(self) -> bool:
        return self.connection is not None

    async def connect(self, process: KernelProcess, on_reply: OnReply) -> None:
        """Connect the client's own sockets to a kernel process, in place of those to an earlier one.

        Raises:
            SandboxError: the room has no such sockets.
            OSError: nobody listens there.
        """
        await self.disconnect()
        try:
            await self._connect(process, on_reply)
        except BaseException:
            await self.disconnect()
            raise

    async def _connect(self, process: KernelProcess, on_reply: OnReply) -> None:
        self._process = process
        # ZMQ's ROUTER tells its peers apart by this, and the kernel answers stdin by that of shell.
        # At most 255 bytes go, and an id may be longer.
        identity = f"client-{hashlib.sha256(self.id.encode()).hexdigest()}".encode()
        for name, socket_type in SOCKET_TYPES.items():
            channel = await process.connect(name, socket_type, identity)
            self._channels[name] = channel
            self._readers.append(
                asyncio.create_task(
                    on_reply(self, process, name, channel.messages()), name=f"{name} of {self.id}"
                )
            )

    async def send(self, channel: str, parts: tuple[bytes, ...]) -> None:
        """Give the kernel a message of this client; waits while the kernel takes none.

        Raises:
            RemoteProtocolError: there is no kernel now.
        """
        if self._process is None or channel not in self._channels:
            raise RemoteProtocolError("the kernel is not running, or does not answer; restart it")
        await self._channels[channel].send(self._process.signer.wrapped(parts))

    async def disconnect(self) -> None:
        """Close the client's sockets; idempotent."""
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.aclose()
        self._process = None
