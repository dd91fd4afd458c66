"""REST ``embedenv/api/account`` and ``embedenv/api/ended-rooms``: what is known of who asks."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.accounts import COSTS, INIT_COST, LOCAL_ACCOUNT
from embedenv_jupyter.handlers.access import OwnHandler
from embedenv_jupyter.rooms.room_events import limits_fields


class AccountHandler(OwnHandler):
    """The account: what it has left, what things cost, and what a room of it may use."""

    @allow_unauthenticated
    async def get(self) -> None:
        who = await self.principal("read")
        assert who.account is not None, "without a room, only an account is let in"
        balance = await self.gateway.accounts.balance(who.account.id)
        rooms = self.gateway.rooms
        self.answer(
            {
                "name": who.user if who.account == LOCAL_ACCOUNT else who.account.name,
                "credits": None if who.account.unlimited else balance.total,
                "costs": {
                    "room": INIT_COST, "free": COSTS.free_cost, "standard": COSTS.standard_cost,
                    "heavy": COSTS.heavy_cost,
                },
                "tier": self.gateway.tier.name,
                "limits": {**limits_fields(rooms.limits), "network": rooms.network},
            }
        )  # fmt: skip


class EndedRoomsHandler(OwnHandler):
    """How the last rooms of the account ended."""

    @allow_unauthenticated
    async def get(self) -> None:
        who = await self.principal("read")
        assert who.account is not None, "without a room, only an account is let in"
        self.answer([end.shown for end in self.gateway.rooms.endings.of(who.account.id)])
