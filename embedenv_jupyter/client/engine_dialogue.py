"""What an engine says over its link: a session of the Engine protocol, reported to the engine."""

from __future__ import annotations

from typing import Protocol

from websockets.asyncio.client import ClientConnection

from embedenv_jupyter.client.engine_faults import PASSING, fault_of
from embedenv_jupyter.errors import ConnectionLostError
from embedenv_jupyter.protocols.engine.reports import Refused, Report
from embedenv_jupyter.protocols.engine.streams import EngineStreams, Phase


class Listener(Protocol):
    """Whom an engine's connection reports to."""

    def reported(self, report: Report) -> None: ...

    def lost(self, reason: str) -> None: ...

    def ended(self, failure: Exception) -> None: ...


class EngineDialogue:
    """See :class:`~embedenv_jupyter.client.link.Dialogue`."""

    is_over = False

    def __init__(self, streams: EngineStreams, listener: Listener) -> None:
        self._streams = streams
        self._listener = listener

    @property
    def progress(self) -> int:
        return self._streams.progress

    @property
    def last_n(self) -> int:
        return self._streams.last_n or 0

    async def greet(self, socket: ClientConnection) -> None:
        self._streams.connected()
        while self._streams.phase is not Phase.OPEN:
            await self.write(socket)
            self.receive(await socket.recv(decode=False))

    def greeted_silently(self) -> bool:
        return False

    def explained(self, problem: str) -> str:
        return problem

    def wants_another(self) -> bool:
        return False

    def receive(self, data: bytes) -> bool:
        self._report(self._streams.receive_frame(data))
        return True  # an answer may be what something waited for that is to be sent

    async def write(self, socket: ClientConnection) -> None:
        for data in self._streams.frames_to_send():
            await socket.send(data, text=True)

    def connected(self) -> None:
        """The engine heard it from the streams, which were welcomed."""

    def not_greeted(self, reason: str) -> None:
        self.lost(reason, None)

    def lost(self, reason: str, code: int | None) -> None:
        self._listener.lost(reason)
        self._report(self._streams.lost(code))

    def ended(self, failure: Exception) -> None:
        self._listener.ended(failure)

    def _report(self, reports: list[Report]) -> None:
        for report in reports:
            if isinstance(report, Refused):
                if report.error.error in PASSING:
                    raise ConnectionLostError(report.error.message)
                raise fault_of(report.error)
            self._listener.reported(report)
