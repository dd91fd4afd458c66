"""The connection of a room: made, read, written, kept alive, made again.

One task owns all of it (:meth:`Link.run`); while a connection is open, a
TaskGroup inside that task holds a reader, a writer and a heart. Only the reader
decides that a connection has ended, after it has read all that had arrived.
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
from embedenv_jupyter.client.events import Gap
from embedenv_jupyter.client.flow import Gate
from embedenv_jupyter.client.frames import ServerFrame
from embedenv_jupyter.client.heart import Heart
from embedenv_jupyter.client.refusal import UnreachableError
from embedenv_jupyter.client.session import Pending, Phase, Session
from embedenv_jupyter.errors import ConnectionLostError, EmbedEnvError, RemoteProtocolError

log = logging.getLogger(__name__)

USEFUL_S = 10.0
"""When a connection is lost that lived this long, or brought anything forward, the back-off starts anew."""


class Listener(Protocol):
    """Whom a link reports to. All calls come from its task, never two at once."""

    def received(self, frame: ServerFrame | Gap) -> None: ...

    def written(self, pending: Pending) -> None: ...

    def connected(self) -> None: ...

    def lost(self, reason: str, failed: list[str]) -> None: ...

    def ended(self, failure: Exception) -> None: ...


class Link:
    """See the module's text. :meth:`open` first, then :meth:`run` in a task that the room owns."""

    def __init__(
        self,
        transport: Transport,
        session: Session,
        gate: Gate,
        listener: Listener,
        retry: Retry,
        random: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._session = session
        self._gate = gate
        self._listener = listener
        self._retry = retry
        self._random = random
        self._socket: ClientConnection | None = None
        self._outgoing = asyncio.Event()
        self._heart: Heart | None = None
        self._opened_s = 0.0
        self._progress = 0

    def wake(self) -> None:
        """Something was submitted to the session."""
        self._outgoing.set()

    async def open(self) -> None:
        """Make the first connection.

        Raises:
            UnreachableError: it did not come about in the time that the policy allows.
            RefusedError: the server said no.
        """
        backoff = self._backoff(self._retry.first_s)
        while True:
            try:
                self._socket = await self._dial()
                if self._session.should_join_again:
                    await self._shut()
                    self._session.lost()
                    self._socket = await self._dial()
                return
            except ConnectionLostError as exc:
                if self._session.phase is Phase.CLOSED or not await self._pause(backoff):
                    raise UnreachableError(f"{self._transport.endpoint}: {exc.reason}") from exc

    async def run(self) -> None:
        """Serve the connection, and the ones after it, until one ends for good or this is cancelled."""
        try:
            await self._serve()
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            # Whatever ends this task must reach those who wait for answers.
            if not isinstance(exc, EmbedEnvError):
                log.exception("the client of %s failed", self._transport.endpoint)
            self._session.close(exc)
            self._listener.ended(exc)
        finally:
            await self._shut()

    async def _serve(self) -> None:
        backoff = self._backoff(self._retry.give_up_s)
        while True:
            assert self._socket is not None
            ending = await self._pump(self._socket)
            await self._shut()
            self._listener.lost(str(ending), self._session.lost(ending.code))
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
                self._listener.connected()
                return
        raise ConnectionLostError(reason, self._session.last_n)

    def _was_useful(self) -> bool:
        lived_s = asyncio.get_running_loop().time() - self._opened_s
        return self._session.progress != self._progress or lived_s >= USEFUL_S

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
            ConnectionLostError: not this time; worth another attempt unless the session is closed.
            RefusedError, RoomClosedError, RemoteProtocolError: and no attempt will do better.
        """
        socket = await open_socket(self._transport)
        self._opened_s = asyncio.get_running_loop().time()
        try:
            await self._greet(socket)
        except BaseException:
            self._session.lost()
            socket.transport.abort()
            raise
        self._progress = self._session.progress
        self._outgoing.set()
        return socket

    async def _greet(self, socket: ClientConnection) -> None:
        session = self._session
        makes_room = not session.is_welcomed and not session.join_key
        limit_s = self._transport.greeting_s
        try:
            async with asyncio.timeout(limit_s):
                await socket.send(session.connected(), text=True)
                while session.phase is Phase.GREETING:
                    await self._receive_one(socket)
        except TimeoutError:
            if session.welcomed_silently():
                return
            problem = f"no answer to the greeting within {limit_s:g} s"
        except ConnectionClosed as exc:
            ending = ending_of(exc)
            raise_if_final(ending)
            problem = str(ending)
        else:
            return
        if makes_room:
            # The server may have made the room and charged for it: a second init could do both again.
            session.close()
            problem += "; a room may have been made, so init is not repeated"
        raise ConnectionLostError(problem, session.last_n)

    # One connection: its life

    async def _pump(self, socket: ClientConnection) -> Ending:
        """Serve one connection until the peer or the network ends it.

        Raises:
            RemoteProtocolError: the server sent what is no frame.
        """
        self._heart = Heart(socket, self._gate, self._transport.heartbeat)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._write(socket), name="writer of a room"),
                group.create_task(self._heart.beat(), name="heart of a room"),
            ]
            outcome = await self._read(socket)
            for task in tasks:
                task.cancel()
        if isinstance(outcome, RemoteProtocolError):
            raise outcome
        return outcome

    async def _read(self, socket: ClientConnection) -> Ending | RemoteProtocolError:
        try:
            return await self._read_to_the_end(socket)
        except RemoteProtocolError as exc:
            return exc  # Raised here it would reach nobody but as a group of exceptions.

    async def _read_to_the_end(self, socket: ClientConnection) -> Ending:
        try:
            while True:
                await self._gate.passage()
                await self._receive_one(socket)
        except ConnectionClosed as exc:
            return ending_of(exc)

    async def _receive_one(self, socket: ClientConnection) -> None:
        data = await socket.recv(decode=False)
        if self._heart is not None:
            self._heart.heard()
        for frame in self._session.receive(data):
            self._listener.received(frame)

    async def _write(self, socket: ClientConnection) -> None:
        # After a failed write the reader still reads what had arrived, then ends the connection.
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._outgoing.wait()
                self._outgoing.clear()
                for pending, data in self._session.frames_to_send():
                    await socket.send(data, text=True)
                    self._listener.written(pending)

    async def _shut(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await shut_socket(socket, self._transport.close_s)
