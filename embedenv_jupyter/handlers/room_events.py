"""WS ``embedenv/rooms/{id}/events`` and ``embedenv/rooms/events`` (docs/protocols/rooms.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.websocket import WebSocketHandler

from embedenv_jupyter.errors import CloseCode, EmbedEnvError, UnknownRoomError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import Principal, Sight, entered, pass_cookie, sight_of
from embedenv_jupyter.handlers.base import ConversationHandler, InBandHandler
from embedenv_jupyter.handlers.problems import ProblemError, refusal_of
from embedenv_jupyter.handlers.room_models import room_model
from embedenv_jupyter.protocols import rooms as protocol
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.rooms.room_events import ROOM_ENDED, RoomConversation
from embedenv_jupyter.rooms.room_list import RoomsConversation


class WatchingHandler(ConversationHandler):
    """Base of both: authenticated as REST is. A browser is not told why an upgrade fails, so none does."""

    def initialize(  # type: ignore[override]  # each handler has options of its own
        self, *, gateway: Gateway, hello_timeout_s: float, send_timeout_s: float
    ) -> None:
        super().initialize(allowed_origins=frozenset(), hello_timeout_s=hello_timeout_s)
        self._gateway = gateway
        self._send_timeout_s = send_timeout_s
        self._refusal: tuple[CloseCode, str] | None = None

    @property
    def max_message_size(self) -> int:
        return protocol.MAX_MESSAGE_BYTES

    @allow_unauthenticated
    async def get(self, *args: str, **kwargs: str) -> None:
        """Find out who asks, and for what; whom nothing is told, :meth:`open` says why."""
        try:
            await self._gateway.ready()
        except EmbedEnvError as exc:
            raise refusal_of(exc) from exc
        try:
            await self.authenticate(**kwargs)
        except ProblemError as exc:
            self._refusal = CloseCode.REVOKED, exc.message
        except EmbedEnvError as exc:
            self._refusal = CloseCode.REVOKED, str(exc)
        await WebSocketHandler.get(self, *args, **kwargs)

    async def authenticate(self, **kwargs: str) -> None:
        """Remember who asks for what.

        Raises:
            ProblemError, EmbedEnvError: they get nothing.
        """
        raise NotImplementedError

    def open(self, *args: str, **kwargs: str) -> None:
        if self._refusal is None:
            super().open(*args, **kwargs)
            return
        InBandHandler.open(self)
        code, reason = self._refusal
        self.part_with(protocol.encode(protocol.Bye(reason)), code, reason)

    async def receive(self, message: str | bytes) -> None:
        if self._refusal is None:  # else it crossed our goodbye
            await super().receive(message)


class RoomEventsHandler(WatchingHandler):
    """One member of a room, who watches it."""

    hello_is = "say hello"
    _room: Room
    _who: Principal

    async def authenticate(self, **kwargs: str) -> None:
        room_id = kwargs["room_id"]
        try:
            self._room, self._who = await entered(self, self._gateway, room_id, "read")
        except (ProblemError, UnknownRoomError) as exc:
            end = self._gateway.rooms.endings.find(room_id)
            was_theirs = (
                isinstance(exc, UnknownRoomError) or self.get_cookie(pass_cookie(room_id)) is not None
            )
            if end is not None and was_theirs:
                self._refusal = ROOM_ENDED, f"the room has ended: {end.shown['reason']}"
            elif isinstance(exc, UnknownRoomError):
                self._refusal = CloseCode.ROOM_ENDED, str(exc)
            else:
                raise

    def converse(self, **kwargs: str) -> RoomConversation:
        return RoomConversation(
            self._room, self._who.visitor, self, self._describe, send_timeout_s=self._send_timeout_s
        )

    def _describe(self, room: Room, role: str) -> Mapping[str, Any]:
        return room_model(self._gateway, room, role)


class RoomsEventsHandler(WatchingHandler):
    """Somebody who watches the list of their rooms; has nothing to say first."""

    _sight: Sight

    async def authenticate(self, **kwargs: str) -> None:
        self._sight = await sight_of(self, self._gateway)

    def converse(self, **kwargs: str) -> RoomsConversation:
        conversation = RoomsConversation(
            self._gateway.rooms, self._describe, self, send_timeout_s=self._send_timeout_s
        )
        conversation.begin()
        return conversation

    def _describe(self, room: Room) -> Mapping[str, Any] | None:
        role = self._sight.role_in(room)
        return None if role is None else room_model(self._gateway, room, role.word)
