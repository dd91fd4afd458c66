"""Keeps one connection alive, and finds out when it is not.

The library's own keepalive would take a socket that we do not read
(because the program does not, see :mod:`embedenv_jupyter.client.flow`) for a
dead one. So it is done here: every ``every_s`` a ping is sent and anything heard
within ``deadline_s`` counts as life, except while we do not read; then nothing
can be heard, and the server's pings cannot be either. For its sake an
unsolicited pong goes out in their place (RFC 6455 section 5.5.3 calls this a
unidirectional heartbeat). A server that drops us all the same costs a reconnect,
no data.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from embedenv_jupyter.client.dialling import Heartbeat
from embedenv_jupyter.client.flow import Gate
from embedenv_jupyter.deadlines import deadline

log = logging.getLogger(__name__)


class Heart:
    """See the module's text. The reader says what it hears; the owner of the connection runs :meth:`beat`."""

    def __init__(self, socket: ClientConnection, gate: Gate, heartbeat: Heartbeat) -> None:
        self._socket = socket
        self._gate = gate
        self._heartbeat = heartbeat
        self._heard = 0

    def heard(self) -> None:
        """A message came."""
        self._heard += 1

    async def beat(self) -> None:
        """Ping until the connection ends, and cut it when there is no sign of life."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self._heartbeat.every_s)
                if not self._gate.is_open:
                    await self._socket.pong()
                elif not await self._answers():
                    log.info("no sign of life within %g s of a ping", self._heartbeat.deadline_s)
                    self._socket.transport.abort()
                    return

    async def _answers(self) -> bool:
        """Ping; anything heard counts as an answer, and a time in which we did not read proves nothing."""
        heard = self._heard
        pong = await self._socket.ping()
        try:
            async with deadline(self._heartbeat.deadline_s):
                await pong
        except TimeoutError:
            return self._heard != heard or not self._gate.is_open
        return True
