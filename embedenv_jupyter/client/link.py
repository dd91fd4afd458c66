"""A connection to a gateway: made, read, written, kept alive, made again. Rooms and engines have one each.

One task owns all of it (:meth:`Link.run`); while a connection is open, a
TaskGroup inside that task holds a reader, a writer and a heart. Only the reader
decides that a connection has ended, after it has read all that had arrived.

What is said over it is a :class:`Dialogue`, which outlives any one connection.
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
from embedenv_jupyter.client.flow import Gate
from embedenv_jupyter.client.heart import Heart
from embedenv_jupyter.client.refusal import UnreachableError
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import ConnectionLostError, EmbedEnvError, RemoteProtocolError

log = logging.getLogger(__name__)

USEFUL_S = 10.0
"""When a connection is lost that lived this long, or brought anything forward, the back-off starts anew."""


class Dialogue(Protocol):
    """What is said over one connection after another; the link's tasks call, never two at once."""

    @property
    def progress(self) -> int:
        """Grows with whatever a connection brings forward."""

    @property
    def last_n(self) -> int:
        """The number of the newest frame that came; 0 before the first."""

    @property
    def is_over(self) -> bool:
        """Whether no other connection may be tried."""

    async def greet(self, socket: ClientConnection) -> None:
        """Say who we are, and wait until that was heard.

        Raises:
            ConnectionLostError: not this time.
            EmbedEnvError: and no attempt will do better.
        """

    def greeted_silently(self) -> bool:
        """Whether no answer to a greeting may be taken for a good one."""

    def explained(self, problem: str) -> str:
        """A greeting was not answered: return what is to be said of that."""

    def wants_another(self) -> bool:
        """Whether the first connection is to be made anew, now that its greeting was answered."""

    def receive(self, data: bytes) -> bool:
        """Take a frame; tells whether there may be something to send now.

        Raises:
            EmbedEnvError: it is none, or ends everything.
        """

    async def write(self, socket: ClientConnection) -> None:
        """Write all that is to be sent."""

    def connected(self) -> None:
        """Another connection is there, in the place of one that was lost."""

    def not_greeted(self, reason: str) -> None:
        """A connection is given up, for whatever reason, before it was greeted."""

    def lost(self, reason: str, code: int | None) -> None:
        """A connection has ended, with this close code."""

    def ended(self, failure: Exception) -> None:
        """There will be no other connection."""


class Link:
    """See the module's text. :meth:`open` first, then :meth:`run` in a task of the owner's."""

    def __init__(
        self,
        transport: Transport,
        dialogue: Dialogue,
        gate: Gate,
        retry: Retry,
        random: Callable[[], float],
        *,
        of: str,
    ) -> None:
        self._transport = transport
        self._dialogue = dialogue
        self._gate = gate
        self._retry = retry
        self._random = random
        self._of = of
        self._socket: ClientConnection | None = None
        self._outgoing = asyncio.Event()
        self._heart: Heart | None = None
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
                if self._dialogue.wants_another():
                    await self._shut()
                    self._socket = await self._dial()
                return
            except ConnectionLostError as exc:
                if self._dialogue.is_over or not await self._pause(backoff):
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
            self._dialogue.ended(exc)
        finally:
            await self._shut()

    async def _serve(self) -> None:
        backoff = self._backoff(self._retry.give_up_s)
        while True:
            assert self._socket is not None
            ending = await self._pump(self._socket)
            await self._shut()
            self._dialogue.lost(str(ending), ending.code)
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
                self._dialogue.connected()
                return
        raise ConnectionLostError(reason, self._dialogue.last_n)

    def _was_useful(self) -> bool:
        lived_s = asyncio.get_running_loop().time() - self._opened_s
        return self._dialogue.progress != self._progress or lived_s >= USEFUL_S

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
            ConnectionLostError: not this time; worth another attempt unless the dialogue is over.
            EmbedEnvError: and no attempt will do better.
        """
        socket = await open_socket(self._transport)
        self._opened_s = asyncio.get_running_loop().time()
        try:
            await self._greet(socket)
        except BaseException as exc:
            self._dialogue.not_greeted(str(exc))
            socket.transport.abort()
            raise
        self._progress = self._dialogue.progress
        self._outgoing.set()
        return socket

    async def _greet(self, socket: ClientConnection) -> None:
        limit_s = self._transport.greeting_s
        try:
            async with deadline(limit_s):
                await self._dialogue.greet(socket)
        except TimeoutError:
            if self._dialogue.greeted_silently():
                return
            problem = f"no answer to the greeting within {limit_s:g} s"
        except ConnectionClosed as exc:
            ending = ending_of(exc)
            raise_if_final(ending)
            problem = str(ending)
        else:
            return
        raise ConnectionLostError(self._dialogue.explained(problem), self._dialogue.last_n)

    # One connection: its life

    async def _pump(self, socket: ClientConnection) -> Ending:
        """Serve one connection until the peer or the network ends it.

        Raises:
            RemoteProtocolError: the gateway sent what is no frame.
            EmbedEnvError: it ended everything.
        """
        self._heart = Heart(socket, self._gate, self._transport.heartbeat)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._write(socket), name=f"writer of {self._of}"),
                group.create_task(self._heart.beat(), name=f"heart of {self._of}"),
            ]
            outcome = await self._read(socket, self._heart)
            for task in tasks:
                task.cancel()
        if isinstance(outcome, EmbedEnvError):
            raise outcome
        return outcome

    async def _read(self, socket: ClientConnection, heart: Heart) -> Ending | EmbedEnvError:
        """Read to the end. Faults are returned: raised here they would reach nobody but as a group."""
        try:
            while True:
                await self._gate.passage()
                data = await socket.recv(decode=False)
                heart.heard()
                if self._dialogue.receive(data):
                    self._outgoing.set()
        except ConnectionClosed as exc:
            try:
                return ending_of(exc)
            except RemoteProtocolError as fault:
                return fault
        except EmbedEnvError as exc:
            return exc

    async def _write(self, socket: ClientConnection) -> None:
        # After a failed write the reader still reads what had arrived, then ends the connection.
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._outgoing.wait()
                self._outgoing.clear()
                await self._dialogue.write(socket)

    async def _shut(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await shut_socket(socket, self._transport.close_s)
