"""``embedenv/rooms/{id}/api/ports`` and ``/previews``: what listens in a room, and addresses that show it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.utils import url_path_join

from embedenv_jupyter.handlers.access import OwnHandler
from embedenv_jupyter.handlers.rooms import require
from embedenv_jupyter.previews.manager import Preview
from embedenv_jupyter.rooms.members import Role
from embedenv_jupyter.rooms.room import Room

DAY_S = 86_400.0
MAX_LIFE_S = 7 * DAY_S


class NewPreview(msgspec.Struct, forbid_unknown_fields=True):
    """Which port to show, and for how many seconds."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    expires_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_LIFE_S)] = DAY_S


class OfPreviewsHandler(OwnHandler):
    """Base of what is about the ports and previews of a room."""

    async def room(self, room_id: str, role: Role, action: str) -> Room:
        """Return a room for somebody who may do this in it.

        Raises:
            EmbedEnvError: there is no such room, or the role does not allow it.
        """
        room, who = await self.entered(room_id, "read" if role is Role.VIEW else "execute")
        require(who, role, action)
        return room

    def model(self, preview: Preview) -> dict[str, Any]:
        """Describe a preview to somebody who may share it."""
        return {
            "capability": preview.capability,
            "url": url_path_join(self.base_url, "embedenv/previews", preview.capability) + "/",
            "port": preview.port,
            "expires_at": preview.expires_at,
        }


class PortsHandler(OfPreviewsHandler):
    """The ports that programs of a room listen on now."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        room = await self.room(room_id, Role.VIEW, "see ports")
        self.answer([{"port": port} for port in sorted(await room.sandbox.ports())])


class PreviewsHandler(OfPreviewsHandler):
    """The previews of a room. Who knows one sees the port, so who may only look is not told."""

    @allow_unauthenticated
    async def get(self, room_id: str) -> None:
        room = await self.room(room_id, Role.RUN, "see previews")
        self.answer([self.model(preview) for preview in self.gateway.previews.of(room)])

    @allow_unauthenticated
    async def post(self, room_id: str) -> None:
        room = await self.room(room_id, Role.RUN, "make previews")
        wanted = self.body(NewPreview)
        self.answer(self.model(self.gateway.previews.make(room, wanted.port, wanted.expires_s)), 201)


class OnePreviewHandler(OfPreviewsHandler):
    """One preview of a room."""

    @allow_unauthenticated
    async def get(self, room_id: str, capability: str) -> None:
        room = await self.room(room_id, Role.RUN, "see previews")
        self.answer(self.model(self.gateway.previews.find_in(room, capability)))

    @allow_unauthenticated
    async def delete(self, room_id: str, capability: str) -> None:
        room = await self.room(room_id, Role.RUN, "take previews back")
        self.gateway.previews.revoke(self.gateway.previews.find_in(room, capability))
        self.set_status(204)
        self.finish()
