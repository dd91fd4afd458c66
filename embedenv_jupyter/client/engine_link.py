"""The connection of an engine: made, read, written, kept alive, made again.

Like :class:`~embedenv_jupyter.client.link.Link` for rooms: one task owns it, and while a
connection is open a TaskGroup inside that task holds a reader, a writer and a heart.
Only the reader decides that a connection has ended, after it has read all that had arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from embedenv_jupyter.client.backoff import Backoff, Retry
from embedenv_jupyter.client.dialling import (
    Ending,
    Transport,
    ending_of,
    open_socket,
    raise_if_final,
    shut_socket,
)
from embedenv_jupyter.client.engine_faults import PASSING, fault_of
from embedenv_jupyter.client.flow import Gate
from embedenv_jupyter.client.heart import Heart
from embedenv_jupyter.client.link import USEFUL_S
from embedenv_jupyter.client.refusal import UnreachableError
from embedenv_jupyter.errors import ConnectionLostError, EmbedEnvError, RemoteProtocolError
from embedenv_jupyter.protocols.engine.reports import Refused, Report
from embedenv_jupyter.protocols.engine.streams import EngineStreams, Phase

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Whom a link reports to. All calls come from its task, never two at once."""

    def reported(self, report: Report) -> None: ...

    def lost(self, reason: str) -> None: ...

    def ended(self, failure: Exception) -> None: ...


class EngineLink:
    """See the module's text. :meth:`open` first, then :meth:`run` in a task that the engine owns."""

    def __init__(
        self,
        transport: Transport,
        streams: EngineStreams,
        gate: Gate,
        listener: Listener,
        retry: Retry,
        random: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._streams = streams
        self._gate = gate
        self._listener = listener
        self._retry = retry
        self._random = random
        self._socket: ClientConnection | None = None
        self._heart: Heart | None = None
        self._outgoing = asyncio.Event()
        self._opened_s = 0.0
        self._progress = 0

    def wake(self) -> None:
        """Something is to be sent."""
        self._outgoing.set()

    async def open(self) -> None:
        """Make the first connection.

        Raises:
            UnreachableError: it did not come about in the time that the policy allows.
            AuthenticationError: the key is nobody's.
            RefusedError: the gateway said no.
        """
        backoff = self._backoff(self._retry.first_s)
        while True:
            try:
                self._socket = await self._dial()
            except ConnectionLostError as exc:
                if not await self._pause(backoff):
                    raise UnreachableError(f"{self._transport.endpoint}: {exc.reason}") from exc
            else:
                return

    async def run(self) -> None:
        """Serve the connection, and the ones after it, until one ends for good or this is cancelled."""
        try:
            await self._serve()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            # Whatever ends this task must reach those who wait for something.
            if not isinstance(exc, EmbedEnvError):
                log.exception("the client of %s failed", self._transport.endpoint)
            self._listener.ended(exc)
        finally:
            if self._socket is not None:
                await shut_socket(self._socket, self._transport.close_s)

    async def _serve(self) -> None:
        backoff = self._backoff(self._retry.give_up_s)
        while True:
            assert self._socket is not None
            ending = await self._pump(self._socket)
            await shut_socket(self._socket, self._transport.close_s)
            self._socket = None
            self._lost(str(ending), ending.code)
            raise_if_final(ending)
            if self._was_useful():
                backoff = self._backoff(self._retry.give_up_s)
            await self._reconnect(backoff, str(ending))

    async def _reconnect(self, backoff: Backoff, reason: str) -> None:
        while await self._pause(backoff):
            try:
                self._socket = await self._dial()
            except ConnectionLostError as exc:
                reason = exc.reason
                log.info("attempt %d to reconnect failed: %s", backoff.attempts, reason)
            else:
                return
        raise ConnectionLostError(reason, self._streams.last_n or 0)

    def _lost(self, reason: str, code: int | None = None) -> None:
        self._listener.lost(reason)
        self._report(self._streams.lost(code))

    def _was_useful(self) -> bool:
        lived_s = asyncio.get_running_loop().time() - self._opened_s
        return self._streams.progress != self._progress or lived_s >= USEFUL_S

    async def _pause(self, backoff: Backoff) -> bool:
        delay_s = backoff.next_delay_s(asyncio.get_running_loop().time())
        if delay_s is None:
            return False
        await asyncio.sleep(delay_s)
        return True

    def _backoff(self, budget_s: float) -> Backoff:
        return Backoff(self._retry, self._random, asyncio.get_running_loop().time(), budget_s)

    # One connection: its beginning

    async def _dial(self) -> ClientConnection:
        """Open a socket and greet.

        Raises:
            ConnectionLostError: not this time.
            EmbedEnvError: no attempt will do better.
        """
        socket = await open_socket(self._transport)
        self._opened_s = asyncio.get_running_loop().time()
        self._progress = self._streams.progress
        try:
            await self._greet(socket)
        except BaseException as exc:
            self._lost(str(exc))
            socket.transport.abort()
            raise
        self._outgoing.set()
        return socket

    async def _greet(self, socket: ClientConnection) -> None:
        limit_s = self._transport.greeting_s
        self._streams.connected()
        try:
            async with asyncio.timeout(limit_s):
                while self._streams.phase is not Phase.OPEN:
                    await self._write_all(socket)
                    await self._receive_one(socket)
        except TimeoutError:
            raise ConnectionLostError(f"no answer to the greeting within {limit_s:g} s") from None
        except ConnectionClosed as exc:
            ending = ending_of(exc)
            raise_if_final(ending)
            raise ConnectionLostError(str(ending)) from None

    # One connection: its life

    async def _pump(self, socket: ClientConnection) -> Ending:
        """Serve one connection until the peer or the network ends it.

        Raises:
            RemoteProtocolError: the gateway sent what is no frame.
        """
        self._heart = Heart(socket, self._gate, self._transport.heartbeat)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._write(socket), name="writer of an engine"),
                group.create_task(self._heart.beat(), name="heart of an engine"),
            ]
            outcome = await self._read(socket)
            for task in tasks:
                task.cancel()
        if isinstance(outcome, EmbedEnvError):
            raise outcome
        return outcome

    async def _read(self, socket: ClientConnection) -> Ending | EmbedEnvError:
        try:
            while True:
                await self._gate.passage()
                await self._receive_one(socket)
        except ConnectionClosed as exc:
            try:
                return ending_of(exc)
            except RemoteProtocolError as fault:
                return fault  # Raised here it would reach nobody but as a group of exceptions.
        except EmbedEnvError as exc:
            return exc

    async def _receive_one(self, socket: ClientConnection) -> None:
        data = await socket.recv(decode=False)
        if self._heart is not None:
            self._heart.heard()
        self._report(self._streams.receive_frame(data))
        self._outgoing.set()  # an answer may be what something waited for that is to be sent

    def _report(self, reports: list[Report]) -> None:
        for report in reports:
            if isinstance(report, Refused):
                if report.error.error in PASSING:
                    raise ConnectionLostError(report.error.message)
                raise fault_of(report.error)
            self._listener.reported(report)

    async def _write(self, socket: ClientConnection) -> None:
        # After a failed write the reader still reads what had arrived, then ends the connection.
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._outgoing.wait()
                self._outgoing.clear()
                await self._write_all(socket)

    async def _write_all(self, socket: ClientConnection) -> None:
        for data in self._streams.frames_to_send():
            await socket.send(data, text=True)
