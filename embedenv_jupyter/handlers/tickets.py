"""REST ``embedenv/api/tickets``: a page of this server's user gets what the published protocols ask for."""

from __future__ import annotations

import time

from jupyter_server.auth.decorator import allow_unauthenticated

from embedenv_jupyter.accounts.tickets import LIFE_S, PUBLIC_KEY
from embedenv_jupyter.handlers.access import OwnHandler
from embedenv_jupyter.handlers.problems import ProblemError


class TicketsHandler(OwnHandler):
    """Makes tickets (:mod:`embedenv_jupyter.accounts.tickets`)."""

    @allow_unauthenticated
    async def post(self) -> None:
        """Make one for who is logged in to Jupyter; who has a key needs none."""
        await self.principal("execute")
        if not self.current_user:
            raise ProblemError(
                403, "Tickets are for users of this Jupyter server; send the key itself.", "NoLogin"
            )
        expires_at = time.time() + LIFE_S
        self.set_header("Cache-Control", "no-store")
        self.answer(
            {"ticket": self.gateway.tickets.issue(), "public_key": PUBLIC_KEY, "expires_at": expires_at}, 201
        )
