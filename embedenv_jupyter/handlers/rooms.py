"""REST ``embedenv/api/rooms``: open rooms, look at them, name them, end them."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.errors import LimitError, RoleError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.access import OwnHandler, Principal, sight_of
from embedenv_jupyter.handlers.problems import ProblemError
from embedenv_jupyter.handlers.room_models import room_model
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.rooms.audience import usage_fields
from embedenv_jupyter.rooms.manager import Opened
from embedenv_jupyter.rooms.members import Role
from embedenv_jupyter.sandbox.spec import MIB, Limits

MAX_NAME_CHARS = 64
MIN_MEMORY_BYTES: Final = 32 * MIB
"""Less, and not even the supervisor of a room comes up."""
MIN_PIDS: Final = 8

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]


class WantedLimits(msgspec.Struct, forbid_unknown_fields=True):
    """What a room may use, within what the operator allows; what is left out is as the operator says."""

    memory_bytes: Annotated[int, msgspec.Meta(ge=MIN_MEMORY_BYTES)] | None = None
    cpu_cores: Annotated[float, msgspec.Meta(ge=0.05)] | None = None
    pids: Annotated[int, msgspec.Meta(ge=MIN_PIDS)] | None = None
    workspace_bytes: Annotated[int, msgspec.Meta(ge=MIB)] | None = None

    def within(self, bounds: Limits, before: Limits | None = None) -> Limits:
        """Return the limits of a room, with those of ``before`` where nothing is asked for.

        Raises:
            LimitError: naming what is more than the operator allows, and how much that is.
        """
        wanted = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        for name, value in wanted.items():
            most = getattr(bounds, name)
            if most is not None and value > most:
                raise LimitError(name, value, most)
        return dataclasses.replace(before or bounds, **wanted)


class NewRoom(msgspec.Struct, forbid_unknown_fields=True):
    """What to open: ``kernel`` starts one at once (its name, or true for the usual one)."""

    name: Name = ""
    kernel: str | bool | None = None
    limits: WantedLimits = msgspec.field(default_factory=WantedLimits)
    network: bool | None = None


class NewName(msgspec.Struct, forbid_unknown_fields=True):
    """What people call a room from now on; its id where this is empty."""

    name: Name


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


def opened_model(gateway: Gateway, opened: Opened) -> dict[str, Any]:
    """Describe a room to who has just opened it."""
    return {
        **room_model(gateway, opened.room, Role.OWN.word),
        "join": opened.join_key,
        "remaining_credits": opened.remaining_credits,
    }


class RoomsHandler(OwnHandler):
    """The rooms of who asks."""

    @allow_unauthenticated
    async def get(self) -> None:
        sight = await sight_of(self, self.gateway)
        seen = ((room, sight.role_in(room)) for room in self.gateway.rooms)
        self.answer([room_model(self.gateway, room, role.word) for room, role in seen if role is not None])

    @allow_unauthenticated
    async def post(self) -> None:
        who = await self.principal()
        wanted, rooms = self.body(NewRoom), self.gateway.rooms
        assert who.account is not None, "without a room, only an account is let in"
        if wanted.network and not rooms.network:
            raise ProblemError(
                400, "Rooms of this gateway have no network; its operator can allow it.", "NoNetwork"
            )
        opened = await rooms.open(
            who.account, space="api", limits=wanted.limits.within(rooms.limits), network=wanted.network,
            warm=bool(wanted.kernel),
        )  # fmt: skip
        room = opened.room
        if wanted.name:
            rooms.rename(room, wanted.name)
        if not wanted.kernel:
            self.answer(opened_model(self.gateway, opened), 201)
            return
        name = wanted.kernel if isinstance(wanted.kernel, str) else None
        try:
            kernel = await self.gateway.kernels.of(room).start(name)
        except BaseException:
            await room.aclose("kernel did not start")
            raise
        self.answer({**opened_model(self.gateway, opened), "kernel": kernel_model(kernel)}, 201)


class RoomHandler(OwnHandler):
    """One room."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        room, who = await self.entered(room_id, "read")
        usage = await room.sandbox.usage()
        self.answer({**room_model(self.gateway, room, who.role.word), "usage": usage_fields(usage)})

    @allow_unauthenticated
    async def patch(self, room_id: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "name the room")
        self.gateway.rooms.rename(room, self.body(NewName).name.strip())
        self.answer(room_model(self.gateway, room, who.role.word))

    @allow_unauthenticated
    async def delete(self, room_id: str) -> None:
        room, who = await self.entered(room_id)
        require(who, Role.OWN, "stop the room")
        await room.aclose("stopped")
        self.set_status(204)
        self.finish()


def require(who: Principal, role: Role, action: str) -> None:
    """Refuse what the role does not allow.

    Raises:
        RoleError: naming the action.
    """
    if who.role < role:
        raise RoleError(action, role.word, who.role.word)
