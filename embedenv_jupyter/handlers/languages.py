"""REST ``embedenv/api/languages``: what rooms of this gateway can run."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.handlers.access import OwnHandler


class LanguagesHandler(OwnHandler):
    """The list that ``embedenv languages --json`` prints, for who may look at rooms."""

    @allow_unauthenticated
    async def get(self) -> None:
        who = await self.principal("read")
        assert who.account is not None, "without a room, only an account is let in"
        self.answer(await self.gateway.survey.listing())
