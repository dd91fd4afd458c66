"""REST: what can be done with a room as a whole: pause, keep, fork, take its files, start anew."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.accounts import Account
from embedenv_jupyter.errors import EmbedEnvError, UnknownRoomError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import OwnHandler, Principal
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.handlers.room_models import room_model
from embedenv_jupyter.handlers.rooms import Name, WantedLimits, opened_model, require
from embedenv_jupyter.rooms.copying import packed
from embedenv_jupyter.rooms.manager import Opened
from embedenv_jupyter.rooms.members import Role
from embedenv_jupyter.rooms.room import Room

MAX_KEEP_S = 7 * 86_400.0


class Keep(msgspec.Struct, forbid_unknown_fields=True):
    """For how many seconds the idle time does not begin."""

    seconds: Annotated[float, msgspec.Meta(gt=0, le=MAX_KEEP_S)]


class Fork(msgspec.Struct, forbid_unknown_fields=True):
    """What the new room is called."""

    name: Name = ""


class Restart(msgspec.Struct, forbid_unknown_fields=True):
    """What the room may use from now on; what is left out stays as it was."""

    limits: WantedLimits = msgspec.field(default_factory=WantedLimits)


class PauseHandler(OwnHandler):
    """``pause`` stops the clock of all programs in a room, ``resume`` lets them run on."""

    @allow_unauthenticated
    async def post(self, room_id: str, action: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, f"{action} the room")
        await (room.pause() if action == "pause" else room.resume())
        self.answer(room_model(self.gateway, room, who.role.word))


class KeepHandler(OwnHandler):
    """Puts the idle stop off."""

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.RUN, "keep the room")
        room.keep(self.body(Keep).seconds)
        self.answer(room_model(self.gateway, room, who.role.word))


class ForkHandler(OwnHandler):
    """A new room with a copy of the files."""

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        room, who = await self.entered(room_id)
        account = owner(who, "fork the room")
        name = self.body(Fork).name.strip()
        opened = await self.gateway.rooms.fork(account, room)
        if name:
            self.gateway.rooms.rename(opened.room, name)
        self.answer(copied_model(self.gateway, opened), 201)


class RestartHandler(OwnHandler):
    """The same files, name and keys in a new sandbox, perhaps with other limits; the room so far ends."""

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        room, who = await self._entered_or_ended(room_id)
        account = owner(who, "restart the room")
        rooms = self.gateway.rooms
        limits = self.body(Restart).limits.within(rooms.limits, room.sandbox.spec.limits)
        self.answer(copied_model(self.gateway, await rooms.restart(account, room, limits)), 201)

    async def _entered_or_ended(self, room_id: str) -> tuple[Room, Principal]:
        try:
            return await self.entered(room_id)
        except UnknownRoomError:
            who = await self.principal()
            ends = self.gateway.rooms.endings.of(who.account.id) if who.account is not None else []
            if all(end.room != room_id for end in ends):
                raise
        raise ProblemError(
            409,
            "This room has ended, and its files with it; there is nothing left to start anew.",
            "WorkspaceGone",
        )


class SnapshotHandler(OwnHandler):
    """The workspace as a tar file, streamed."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        room, who = await self.entered(room_id, "read")
        require(who, Role.OWN, "take all files of the room")
        room.require_awake()
        room.touch()
        self.set_header("Content-Type", "application/x-tar")
        self.set_header(
            "Content-Disposition", f"attachment; filename*=UTF-8''{quote(room.name or room.id, safe='')}.tar"
        )
        pieces = packed(room.sandbox)
        try:
            async for piece in pieces:
                self.write(piece)
                await self.flush()
        except EmbedEnvError as exc:
            if not self._headers_written:
                raise
            self.log.warning("the files of room %s were not sent to their end: %s", room.id, exc)
            self._cut()
            return
        finally:
            await pieces.aclose()
        self.finish()

    def _cut(self) -> None:
        """Break the connection off: a proper end would make a torn archive look whole."""
        self.request.connection.stream.close()  # type: ignore[union-attr]


def copied_model(gateway: Gateway, opened: Opened) -> dict[str, Any]:
    """Describe a room with the files of another one, and which of those it does not have."""
    return {**opened_model(gateway, opened), "left_out": opened.left_out}


def owner(who: Principal, action: str) -> Account:
    """Return the account of a room's owner, who pays for one more.

    Raises:
        RoleError: it is somebody else who asks.
    """
    require(who, Role.OWN, action)
    assert who.account is not None, "only accounts own rooms"
    return who.account
