"""What the sockets of things in a room share: terminals, kernels, and text that people write together.

They take who asks REST may ask: Jupyter's login, or a key, before the upgrade, so that a refusal is an
HTTP answer. Whoever comes in is a member of the room for as long as the connection lasts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.websocket import WebSocketHandler

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import CloseCode, EmbedEnvError, RemoteProtocolError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import Principal, entered
from embedenv_jupyter.handlers.base import InBandHandler
from embedenv_jupyter.handlers.problems import refusal_of
from embedenv_jupyter.rooms.members import Member
from embedenv_jupyter.rooms.peer import SEND_TIMEOUT_S, guarded
from embedenv_jupyter.rooms.room import Room

log = logging.getLogger(__name__)


class RoomSocketHandler(InBandHandler):
    """Base: one connection of one member to one thing in a room.

    A subclass says in ``open`` how the member comes in, in :meth:`take` what a message asks, and in
    :meth:`carry` what there is to send.
    """

    kind = ""
    """What sort of thing it is, for the log."""
    action = "execute"
    """What Jupyter has to allow its own users."""
    _room: Room
    _who: Principal
    _about: str

    def initialize(self, *, gateway: Gateway) -> None:  # type: ignore[override]  # no foreign pages here
        super().initialize()
        self._gateway = gateway
        self._member: Member | None = None
        self._carrier: asyncio.Task[None] | None = None
        self._is_over = False

    @allow_unauthenticated
    async def get(self, room_id: str, **named: str) -> None:  # type: ignore[override]  # a route of a room
        """Find out who asks, and for what, before the upgrade; routes name the room and one thing in it."""
        (name,) = named.values()
        try:
            await self._gateway.ready()
            self._room, self._who = await entered(self, self._gateway, room_id, self.action)
            await self.find(self._room, name)
            self._about = f"{self.kind} {name} of room {room_id}"
        except EmbedEnvError as exc:
            raise refusal_of(exc) from exc
        await WebSocketHandler.get(self, room_id, **named)

    async def find(self, room: Room, name: str) -> None:
        """Remember what this name stands for in the room.

        Raises:
            EmbedEnvError: nothing, or it cannot be had.
        """
        raise NotImplementedError

    def enter(self, token: str | None = None) -> Member:
        """Make a member of who asked; ``token`` makes them the one whom they were.

        Raises:
            RoomClosedError: the room has ended.
        """
        self._member = self._room.people.enter(self._who.visitor, token=token, put_out=self._put_out)
        return self._member

    def _put_out(self, reason: str) -> None:
        self.end_with(CloseCode.REVOKED, reason)

    def end_with(self, code: CloseCode, reason: str) -> None:
        """Close, and until the client has heard of it neither send it nor take from it anything more."""
        self._is_over = True
        if self._carrier is not None:
            self._carrier.cancel()
        self.close_with(code, reason)

    async def receive(self, message: str | bytes) -> None:
        if not self._is_over:
            await self._guarded(partial(self._take, message))

    async def _take(self, message: str | bytes) -> None:
        try:
            await self.take(message)
        except RemoteProtocolError as exc:
            log.info("%s closes a client: %s", self._about, exc)
            self.close_with(exc.code, str(exc))

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        await guarded(work, self.close_with, SEND_TIMEOUT_S, self._about)

    async def take(self, message: str | bytes) -> None:
        """Do what a message asks.

        Raises:
            RemoteProtocolError: it is none; its code closes the connection.
            TimeoutError, WebSocketClosedError: the client takes nothing, or is gone.
        """
        raise NotImplementedError

    def start_carrier(self) -> None:
        """Begin to :meth:`carry`."""
        self._carrier = asyncio.create_task(self._guarded(self.carry), name=f"carrier of {self._about}")

    async def carry(self) -> None:
        """Send what there is for this client, at its pace, until there is no more; raises as :meth:`take`."""
        raise NotImplementedError

    async def send_in_time(self, data: bytes) -> None:
        """Write what is framed already.

        Raises:
            TimeoutError: the client has taken nothing for ``SEND_TIMEOUT_S``.
            WebSocketClosedError: it is gone.
        """
        async with deadline(SEND_TIMEOUT_S):
            await self.send_framed(data)

    def on_close(self) -> None:
        super().on_close()
        self._is_over = True
        if self._carrier is not None:
            self._carrier.cancel()
        self.leave()

    def leave(self) -> None:
        """Be no member by this connection any more; idempotent."""
        member, self._member = self._member, None
        if member is not None:
            self._room.people.leave(member, self._put_out)
