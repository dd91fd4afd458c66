"""REST ``embedenv/api/join``: a join key is handed over once, for a pass (docs/protocols/rooms.md)."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.utils import url_path_join

from embedenv_jupyter.handlers.access import DEFAULT_COLOUR, GUEST, OwnHandler, pass_cookie, pass_of
from embedenv_jupyter.handlers.room_models import room_model
from embedenv_jupyter.protocols.rooms import Colour, User
from embedenv_jupyter.rooms.passes import Pass
from embedenv_jupyter.rooms.room import Room

LEFT = "you have left the room"


class Join(msgspec.Struct, forbid_unknown_fields=True):
    """A join key, and who comes in with it."""

    join: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    user: User | None = None
    color: Colour | None = None


class PassHandler(OwnHandler):
    """Base of what gives passes and takes them back."""

    @property
    def path(self) -> str:
        """Where browsers show passes: to our routes alone."""
        return url_path_join(self.base_url, "embedenv") + "/"

    def keep(self, room: Room, held: Pass, expires_at: float | None) -> None:
        """Let the browser keep a pass: no script reads it, and no other site makes the browser show it."""
        left_s = None if expires_at is None else max(1, round(expires_at - time.time()))
        self.set_cookie(
            pass_cookie(room.id), held.secret, path=self.path, httponly=True, samesite="Strict",
            secure=self.request.protocol == "https", max_age=left_s,
        )  # fmt: skip


class JoinHandler(PassHandler):
    """Which room a join key opens, and as what; the browser gets a pass for it."""

    def check_xsrf_cookie(self) -> None:
        """The key in the body is the proof; what comes from the page of another origin is refused before."""

    @allow_unauthenticated
    async def post(self) -> None:
        wanted = self.body(Join)
        room, key = self.gateway.rooms.redeem(wanted.join)
        held = pass_of(self, room)
        if held is not None and held.key != key.key:
            room.people.passes.give_back(held)
            held = None
        if held is None:
            name, colour = self._self
            held = room.people.passes.issue(key, wanted.user or name, wanted.color or colour)
        else:
            held.user, held.colour = wanted.user or held.user, wanted.color or held.colour
        self.keep(room, held, key.expires_at)
        _ = self.xsrf_token  # sets its cookie: who has no login needs one for the requests that follow
        self.answer(room_model(self.gateway, room, held.role.word))

    @property
    def _self(self) -> tuple[str, str]:
        """The name and the colour of a user of this server; else what all guests have."""
        user = self.current_user
        if not user:
            return GUEST, DEFAULT_COLOUR
        return user.display_name or user.username, user.color or DEFAULT_COLOUR


class LeaveHandler(PassHandler):
    """The pass of a room, to give it back."""

    @allow_unauthenticated
    async def delete(self, room_id: str) -> None:
        room = self.gateway.rooms.find(room_id)
        held = None if room is None else pass_of(self, room)
        if room is not None and held is not None:
            room.people.passes.give_back(held)
            for member in room.members:
                if member.identity == held.identity:
                    room.people.put_out(member, LEFT)
        self.clear_cookie(pass_cookie(room_id), path=self.path)
        self.set_status(204)
        self.finish()
