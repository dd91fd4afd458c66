"""WS ``ws/spaces/{space}/``: the Spaces protocol (docs/protocols/spaces.md)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from embedenv_jupyter.accounts import LOCAL_ACCOUNT, Account
from embedenv_jupyter.accounts.tickets import PUBLIC_KEY
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.base import ConversationHandler
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.rooms.peer import SEND_TIMEOUT_S
from embedenv_jupyter.rooms.spaces import Managers, SpacesConversation

log = logging.getLogger(__name__)

MAX_STRANGER_BYTES = 64 << 10
"""What a message may have before its sender is in a room. A hello beyond its own bound gets an error."""


@dataclass(frozen=True)
class SpacesOptions:
    """What an operator decides about this endpoint."""

    hello_timeout_s: float = 10.0
    send_timeout_s: float = SEND_TIMEOUT_S
    line_end_frames: bool = True


class SpacesHandler(ConversationHandler):
    """One peer of the Spaces protocol."""

    hello_is = "say init or join"

    def initialize(  # type: ignore[override]  # each handler has options of its own
        self, *, gateway: Gateway, options: SpacesOptions, allowed_origins: frozenset[str]
    ) -> None:
        super().initialize(allowed_origins=allowed_origins, hello_timeout_s=options.hello_timeout_s)
        self._gateway = gateway
        self._options = options
        self._spaces: SpacesConversation | None = None

    @property
    def max_message_size(self) -> int:
        return spaces.MAX_MESSAGE_BYTES

    def open(self, *args: str, **kwargs: str) -> None:
        super().open(*args, **kwargs)
        self.limit_messages(MAX_STRANGER_BYTES)

    def converse(self, **kwargs: str) -> SpacesConversation:
        options = self._options
        self._spaces = SpacesConversation(
            self._managers, self, kwargs["space"],
            line_end_frames=options.line_end_frames, send_timeout_s=options.send_timeout_s,
        )  # fmt: skip
        return self._spaces

    async def _managers(self) -> Managers:
        await self._gateway.ready()
        return Managers(self._account, self._gateway.rooms)

    async def _account(self, public_key: str, secret_key: str) -> Account:
        """Return whose keys these are.

        Raises:
            AuthenticationError: nobody's.
        """
        if public_key != PUBLIC_KEY:
            return await self._gateway.accounts.authenticate(public_key, secret_key)
        self._gateway.tickets.redeem(secret_key)
        return LOCAL_ACCOUNT

    async def receive(self, message: str | bytes) -> None:
        await super().receive(message)
        if self._spaces is not None and self._spaces.is_open:
            self.limit_messages(spaces.MAX_MESSAGE_BYTES)
