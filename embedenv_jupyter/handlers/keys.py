"""REST ``embedenv/api/rooms/{id}/keys`` and ``…/members``: who may come into a room, and as what."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.handlers.access import OwnHandler
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.handlers.room_models import member_model
from embedenv_jupyter.handlers.rooms import require
from embedenv_jupyter.rooms.members import JoinKey, Role

MAX_KEY_LIFE_S = 365 * 86_400.0

RoleName = Annotated[str, msgspec.Meta(pattern="^(view|run|edit)$")]


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """A further join key: what it allows, and for how many seconds it can be used."""

    role: RoleName = "run"
    expires_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_KEY_LIFE_S)] | None = None


class NewRole(msgspec.Struct, forbid_unknown_fields=True):
    """What a member may do from now on."""

    role: RoleName


class KeysHandler(OwnHandler):
    """The join keys of a room; the owner's alone."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        room, who = await self.entered(room_id, "read")
        require(who, Role.OWN, "see the keys of the room")
        self.answer([key_model(key) for key in room.people.keys])

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "let people into the room")
        wanted = self.body(NewKey)
        expires_at = None if wanted.expires_s is None else time.time() + wanted.expires_s
        self.answer(key_model(room.people.keys.issue(Role[wanted.role.upper()], expires_at=expires_at)), 201)


class KeyHandler(OwnHandler):
    """One join key of a room, to revoke it: nobody comes in with it any more, and who did is put out."""

    @allow_unauthenticated
    async def delete(self, room_id: str, key: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "revoke keys of the room")
        room.people.revoke(key)
        self.set_status(204)
        self.finish()


class KeyRotationHandler(OwnHandler):
    """A new join key in place of one that is revoked."""

    @allow_unauthenticated
    async def post(self, room_id: str, key: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "rotate keys of the room")
        known = next((found for found in room.people.keys if found.key == key), None)
        if known is None:
            raise ProblemError(
                404, "This room has no such join key; it may be revoked already.", "UnknownKey"
            )
        self.answer(key_model(room.people.replace_key(known)), 201)


class MemberHandler(OwnHandler):
    """One member of a room, to make them something else, also on the connections that they have."""

    @allow_unauthenticated
    async def patch(self, room_id: str, member_id: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "change roles")
        role = Role[self.body(NewRole).role.upper()]
        member = room.members.find(member_id)
        if member is None:
            raise ProblemError(404, f"This room has no member {member_id!r}.", "UnknownMember")
        if member.role is Role.OWN:
            raise ProblemError(409, "Who owns the room stays its owner.", "OwnerRole")
        room.people.set_role(member, role, by=who.user)
        self.answer(member_model(member))


def key_model(key: JoinKey) -> dict[str, Any]:
    return {"join": key.key, "role": key.role.word, "expires_at": key.expires_at}
