"""REST ``embedenv/api/rooms``: open rooms, look at them, let people in, end them."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.errors import RoleError
from embedenv_jupyter.handlers.access import OwnHandler, Principal
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.rooms.members import JoinKey, Role
from embedenv_jupyter.rooms.room import Room

MAX_NAME_CHARS = 64
MAX_KEY_LIFE_S = 365 * 86_400.0

RoleName = Annotated[str, msgspec.Meta(pattern="^(view|run|edit)$")]


class NewRoom(msgspec.Struct, forbid_unknown_fields=True):
    """What to open: ``kernel`` starts one at once (its name, or true for the usual one)."""

    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)] = ""
    kernel: str | bool | None = None


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """A further join key: what it allows, and for how many seconds it can be used."""

    role: RoleName = "run"
    expires_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_KEY_LIFE_S)] | None = None


class Join(msgspec.Struct, forbid_unknown_fields=True):
    """A join key, to learn which room it opens."""

    join: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


def room_model(room: Room) -> dict[str, Any]:
    """Describe a room, for members of any role."""
    limits = room.sandbox.spec.limits
    return {
        "id": room.id,
        "name": room.name or room.id,
        "space": room.space,
        "tier": room.sandbox.tier_name,
        "created_at": room.created_at,
        "members": [
            {"id": member.id, "user": member.user, "color": member.colour, "role": member.role.word}
            for member in room.members.present
        ],
        "runs": room.running,
        "limits": {
            "memory_bytes": limits.memory_bytes,
            "pids": limits.pids,
            "cpu_cores": limits.cpu_cores,
            "workspace_bytes": limits.workspace_bytes,
        },
    }


def kernel_model(kernel: Kernel) -> dict[str, Any]:
    """Describe a kernel as Jupyter's ``/api/kernels`` does."""
    return {
        "id": kernel.id,
        "name": kernel.name,
        "last_activity": kernel.last_activity.isoformat().replace("+00:00", "Z"),
        "execution_state": kernel.state,
        "reason": kernel.reason,
        "connections": sum(session.is_connected for session in kernel.sessions.values()),
    }


class RoomsHandler(OwnHandler):
    """The rooms of who asks."""

    @allow_unauthenticated
    async def get(self) -> None:
        who = await self.principal("read")
        self.answer([room_model(room) for room in self.gateway.rooms if may_see(who, room)])

    @allow_unauthenticated
    async def post(self) -> None:
        who = await self.principal()
        wanted = self.body(NewRoom)
        assert who.account is not None, "without a room, only an account is let in"
        opened = await self.gateway.rooms.open(who.account, space="api", warm=bool(wanted.kernel))
        room = opened.room
        if wanted.name:
            self.gateway.rooms.rename(room, wanted.name)
        answer: dict[str, Any] = {**room_model(room), "join": opened.join_key}
        answer["remaining_credits"] = opened.remaining_credits
        if wanted.kernel:
            name = wanted.kernel if isinstance(wanted.kernel, str) else None
            try:
                kernel = await self.gateway.kernels.of(room).start(name)
            except BaseException:
                await room.aclose("kernel did not start")
                raise
            answer["kernel"] = kernel_model(kernel)
        self.answer(answer, 201)


def may_see(who: Principal, room: Room) -> bool:
    """Tell whether a room belongs to an account."""
    return who.account is not None and room.account == who.account.id


class RoomHandler(OwnHandler):
    """One room."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        room, _ = await self.entered(room_id, "read")
        usage = await room.sandbox.usage()
        self.answer({**room_model(room), "usage": msgspec.to_builtins(usage)})

    @allow_unauthenticated
    async def delete(self, room_id: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "stop the room")
        await room.aclose("stopped")
        self.set_status(204)
        self.finish()


class KeysHandler(OwnHandler):
    """The join keys of a room; the owner's alone."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        room, who = await self.entered(room_id, "read")
        require(who, Role.OWN, "see the keys of the room")
        self.answer([key_model(key) for key in room.keys])

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "let people into the room")
        wanted = self.body(NewKey)
        expires_at = None if wanted.expires_s is None else time.time() + wanted.expires_s
        self.answer(key_model(room.keys.issue(Role[wanted.role.upper()], expires_at=expires_at)), 201)


class KeyHandler(OwnHandler):
    """One join key of a room, to revoke it: nobody comes in with it any more, and who did is put out."""

    @allow_unauthenticated
    async def delete(self, room_id: str, key: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "revoke keys of the room")
        room.revoke(key)
        self.set_status(204)
        self.finish()


class JoinHandler(OwnHandler):
    """Which room a join key opens, and as what."""

    @allow_unauthenticated
    async def post(self) -> None:
        room, key = self.gateway.rooms.redeem(self.body(Join).join)
        self.answer({**room_model(room), "role": key.role.word})

    def check_xsrf_cookie(self) -> None:
        """Nothing is changed, and the key is in the body."""


def key_model(key: JoinKey) -> dict[str, Any]:
    return {"join": key.key, "role": key.role.word, "expires_at": key.expires_at}


def require(who: Principal, role: Role, action: str) -> None:
    """Refuse what the role does not allow.

    Raises:
        RoleError: naming the action.
    """
    if who.role < role:
        raise RoleError(action, role.word, who.role.word)
