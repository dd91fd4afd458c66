"""The link of a forwarder to a kernel of this very process: no socket, nothing to resume.

It has the methods that :class:`embedenv_jupyter.forwarder.link.Link` asks for.
"""

from __future__ import annotations

import math
import uuid
from collections import deque

from embedenv_jupyter.errors import RoomClosedError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.authors import Author, Login
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols.kernels import Message
from embedenv_jupyter.rooms.events import KernelMessage
from embedenv_jupyter.rooms.log import Gap, Watcher
from embedenv_jupyter.rooms.members import Member, Role

LEFT_OUT = "[{events} messages ({bytes} bytes) are no longer kept by the room and were left out]\n"


class KernelLink:
    """One client of a kernel, by direct calls. Made by :meth:`join`."""

    def __init__(self, kernel: Kernel, member: Member, session: KernelSession, watcher: Watcher) -> None:
        self._kernel = kernel
        self._member = member
        self._session = session
        self._watcher = watcher
        self._ready: deque[Message] = deque()

    @classmethod
    async def join(cls, kernel: Kernel, user: str, colour: str, *, is_prepaid: bool = False) -> KernelLink:
        """Become a client of a kernel; one that is ``is_prepaid`` pays for its cells itself.

        Raises:
            BusyError: it has too many.
        """
        member = kernel.room.people.admit(user, colour, Role.OWN, is_program=True)
        session = await kernel.join(uuid.uuid4().hex, member)
        session.connection = cls
        session.is_prepaid = is_prepaid
        watcher = kernel.log.watch(session.position)
        await watcher.__aenter__()
        return cls(kernel, member, session, watcher)

    async def send(self, message: Message, login: Login | None = None) -> None:
        """Give the kernel a message that a user of the server sent; waits while it takes none.

        Raises:
            RemoteProtocolError: there is no kernel now.
        """
        author = None if login is None else Author.behind(login, self._kernel.room.members)
        await self._kernel.receive(self._session, message, author)

    async def receive(self) -> Message:
        """Return what the kernel says next.

        Raises:
            RoomClosedError: it has ended, and everything was read.
        """
        while not self._ready:
            records = await self._watcher.read()
            if not records:
                raise RoomClosedError(self._kernel.reason or "the kernel was shut down")
            for record in records:
                if isinstance(record, Gap):
                    text = LEFT_OUT.format(events=record.events, bytes=record.bytes)
                    self._ready.append(messages.make("iopub", "stream", {"name": "stderr", "text": text}))
                elif isinstance(event := record.event, KernelMessage) and event.to in ("", self._session.id):
                    self._ready.append(Message(event.channel, event.parts))
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Leave; idempotent."""
        self._watcher.detach()
        if self._session.connection is not None:
            self._session.connection = None
            self._session.left_at_s = -math.inf  # it does not come back
            self._kernel.room.people.leave(self._member)
