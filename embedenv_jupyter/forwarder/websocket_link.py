"""The link over a WebSocket that may be cut at any byte: resumed, nothing lost, nothing doubled.

The protocol and its client's half are in :mod:`embedenv_jupyter.protocols.kernels`;
here are the sockets, the clock and the dice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from embedenv_jupyter.client.address import Endpoint
from embedenv_jupyter.client.backoff import Backoff, Retry
from embedenv_jupyter.client.dialling import Transport, ending_of, open_socket, raise_if_final
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import (
    CloseCode,
    ConnectionLostError,
    EmbedEnvError,
    LocalProtocolError,
    RemoteProtocolError,
)
from embedenv_jupyter.forwarder.link import Away, Back, Event, Gone, Missed, gone_error
from embedenv_jupyter.protocols import kernels as protocol
from embedenv_jupyter.protocols.kernels import Message

log = logging.getLogger(__name__)

MAX_FRAME_BYTES: Final = protocol.MAX_MESSAGE_BYTES + (1 << 20)
"""A message and what goes before it: its number, and a table of offsets."""

OVERHEAD_BYTES: Final = 1 << 16
PATIENT: Final = Retry(give_up_s=300.0, first_s=30.0)
NOT_FOUND: Final = 404
KERNEL_ENDED: Final = "The kernel in the room has ended, or its room has."


class WebSocketLink:
    """A link to the kernel whose channels are at ``transport.endpoint``, as the client ``session_id``."""

    def __init__(
        self,
        transport: Transport,
        session_id: str,
        *,
        retry: Retry = PATIENT,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._transport = transport
        self._url = f"{transport.endpoint.url}?session_id={session_id}"
        self._retry = retry
        self._dice = dice
        self._session = protocol.ClientSession()
        self._first_n: int | None = None
        """The newest number when we came: what is before it is not ours."""
        self._reading: ClientConnection | None = None
        self._writing: ClientConnection | None = None
        self._pong: Awaitable[float] | None = None
        self._resending: asyncio.Task[None] | None = None
        self._in_order = asyncio.Lock()
        self._has_space = asyncio.Event()
        self._has_space.set()
        self._gone: Gone | None = None

    # Sending.

    async def send(self, message: Message) -> None:
        """Send; one that meets a cut is kept, and sent again after it."""
        if message.size_bytes + OVERHEAD_BYTES > protocol.MAX_MESSAGE_BYTES:
            raise LocalProtocolError(
                f"a message has {message.size_bytes} bytes, of {protocol.MAX_MESSAGE_BYTES} at most"
            )
        await self._has_space.wait()
        async with self._in_order:
            if self._gone is not None:
                raise gone_error(self._gone)
            frame = self._session.send(message)
            if self._session.is_full:
                self._has_space.clear()
            if self._writing is not None:
                with contextlib.suppress(ConnectionClosed):  # who reads finds out, and connects again
                    await self._writing.send(frame)

    async def _resend(self, socket: ClientConnection, hello: protocol.Hello) -> None:
        """Send what the server has not got, then let new messages follow."""
        async with self._in_order:
            with contextlib.suppress(ConnectionClosed):
                for frame in self._session.reconnected(hello):
                    await socket.send(frame)
                self._writing = socket

    def _acknowledged(self, received: int) -> None:
        self._session.acknowledged(received)
        if not self._session.is_full:
            self._has_space.set()

    # Receiving.

    async def receive(self) -> Event:
        while True:
            try:
                if self._reading is None:
                    event: Event | None = await self._connect()
                else:
                    event = await self._read(self._reading)
            except ConnectionLostError as exc:
                await self._let_go()
                event = Away(exc.reason)
            except EmbedEnvError as exc:
                await self._let_go()
                event = Gone(_explained(exc))
            if isinstance(event, Gone):
                self._gone = event
                self._has_space.set()
            if event is not None:
                return event

    async def _read(self, socket: ClientConnection) -> Event | None:
        """Return what the next frame says, if it says anything to us.

        Raises:
            ConnectionLostError: the connection was cut, or is silent.
            RoomClosedError, RefusedError, RemoteProtocolError: there will be no other one.
        """
        if self._resending is not None and self._resending.done():
            resent, self._resending = self._resending, None
            await resent  # raises what it met
        try:
            data = await self._next(socket)
        except ConnectionClosed as exc:
            ending = ending_of(exc)
            raise_if_final(ending)
            raise ConnectionLostError(str(ending)) from exc
        if isinstance(data, bytes):
            return self._session.receive(data)
        match protocol.decode_notice(data):
            case protocol.Ack(received):
                self._acknowledged(received)
            case protocol.Gap() as gap:
                count = self._session.missed(gap)
                return Missed(count) if count else None
            case protocol.Hello():
                raise RemoteProtocolError("the server said hello twice")
        return None

    async def _next(self, socket: ClientConnection) -> str | bytes:
        """Receive a frame; where none comes for a while, ask for a sign of life."""
        heartbeat = self._transport.heartbeat
        while True:
            seconds = heartbeat.every_s if self._pong is None else heartbeat.deadline_s
            try:
                async with deadline(seconds):
                    data = await socket.recv()
            except TimeoutError:
                if self._pong is None:
                    self._pong = await socket.ping()
                elif isinstance(self._pong, asyncio.Future) and self._pong.done():
                    self._pong = None
                else:
                    raise ConnectionLostError(f"no sign of life for {seconds:g} s") from None
            else:
                self._pong = None
                return data

    # Connections.

    async def _connect(self) -> Event | None:
        """Try until there is a connection that greets.

        Raises:
            RefusedError, RoomClosedError, RemoteProtocolError: there will be none.
        """
        is_first = self._first_n is None
        budget_s = self._retry.first_s if is_first else self._retry.give_up_s
        now_s = asyncio.get_running_loop().time
        backoff = Backoff(self._retry, self._dice, now_s(), budget_s)
        while True:
            try:
                await self._try_once()
            except ConnectionLostError as exc:
                log.info("no connection to the room: %s", exc.reason)
                delay_s = backoff.next_delay_s(now_s())
                if delay_s is None:
                    return Gone(f"The room could not be reached for {budget_s:g} s: {exc.reason}")
                await asyncio.sleep(delay_s)
            else:
                return None if is_first else Back()

    async def _try_once(self) -> None:
        url = self._url
        if self._first_n is not None:
            url += f"&resume={max(self._session.last, self._first_n)}"
        transport = replace(self._transport, endpoint=Endpoint(url))
        socket = await open_socket(transport, (protocol.RESUMABLE,), MAX_FRAME_BYTES)
        try:
            if socket.subprotocol != protocol.RESUMABLE:
                raise RefusedError("This server cannot resume a kernel's connection.")
            hello = await self._greeting(socket)
        except BaseException:
            await socket.close(CloseCode.GOING_AWAY)
            raise
        if self._first_n is None:
            self._first_n = hello.n
        self._acknowledged(hello.received)
        self._reading, self._pong = socket, None
        # While we read: a server that waits for its reader does not read.
        self._resending = asyncio.create_task(self._resend(socket, hello), name="resending")

    async def _greeting(self, socket: ClientConnection) -> protocol.Hello:
        try:
            async with deadline(self._transport.greeting_s):
                data = await socket.recv()
        except TimeoutError:
            raise ConnectionLostError("the server did not greet") from None
        except ConnectionClosed as exc:
            ending = ending_of(exc)
            raise_if_final(ending)
            raise ConnectionLostError(str(ending)) from exc
        notice = protocol.decode_notice(data)
        if not isinstance(notice, protocol.Hello):
            raise RemoteProtocolError("the server did not say hello first")
        return notice

    async def _let_go(self, code: CloseCode = CloseCode.GOING_AWAY) -> None:
        """Close the connection and stop what writes to it."""
        socket, self._reading, self._writing = self._reading, None, None
        resending, self._resending = self._resending, None
        if resending is not None:
            resending.cancel()
            await asyncio.gather(resending, return_exceptions=True)
        if socket is not None:
            await socket.close(code)

    async def aclose(self) -> None:
        """Say that we will not come back, and close; idempotent."""
        self._gone = self._gone or Gone("The kernel was shut down.")
        self._has_space.set()
        await self._let_go(CloseCode.NORMAL)


def _explained(exc: EmbedEnvError) -> str:
    if isinstance(exc, RefusedError) and exc.code == NOT_FOUND:
        return KERNEL_ENDED
    return str(exc)
