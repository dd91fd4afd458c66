"""What a room's client says over its link: a session of the Spaces protocol, reported to the room's hub."""

from __future__ import annotations

from typing import Protocol

from websockets.asyncio.client import ClientConnection

from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.frames import ServerFrame
from embedenv_jupyter.client.session import Pending, Phase, Session


class Listener(Protocol):
    """Whom a room's connection reports to."""

    def received(self, frame: ServerFrame | Gap) -> None: ...

    def written(self, pending: Pending) -> None: ...

    def connected(self) -> None: ...

    def lost(self, reason: str, failed: list[str]) -> None: ...

    def ended(self, failure: Exception) -> None: ...


class RoomDialogue:
    """See :class:`~embedenv_jupyter.client.link.Dialogue`."""

    def __init__(self, session: Session, listener: Listener) -> None:
        self._session = session
        self._listener = listener
        self._makes_room = False

    @property
    def progress(self) -> int:
        return self._session.progress

    @property
    def last_n(self) -> int:
        return self._session.last_n

    @property
    def is_over(self) -> bool:
        return self._session.phase is Phase.CLOSED

    async def greet(self, socket: ClientConnection) -> None:
        self._makes_room = not self._session.is_welcomed and not self._session.join_key
        await socket.send(self._session.connected(), text=True)
        while self._session.phase is Phase.GREETING:
            self.receive(await socket.recv(decode=False))

    def greeted_silently(self) -> bool:
        return self._session.welcomed_silently()

    def explained(self, problem: str) -> str:
        if not self._makes_room:
            return problem
        # The server may have made the room and charged for it: a second init could do both again.
        self._session.close()
        return f"{problem}; a room may have been made, so init is not repeated"

    def wants_another(self) -> bool:
        if not self._session.should_join_again:
            return False
        self._session.lost()
        return True

    def receive(self, data: bytes) -> bool:
        for frame in self._session.receive(data):
            self._listener.received(frame)
        return False  # whoever submits something wakes the link

    async def write(self, socket: ClientConnection) -> None:
        for pending, data in self._session.frames_to_send():
            await socket.send(data, text=True)
            self._listener.written(pending)

    def connected(self) -> None:
        self._listener.connected()

    def not_greeted(self, reason: str) -> None:
        self._session.lost()

    def lost(self, reason: str, code: int | None) -> None:
        self._listener.lost(reason, self._session.lost(code))

    def ended(self, failure: Exception) -> None:
        self._session.close(failure)
        self._listener.ended(failure)
