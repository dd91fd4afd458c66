"""WS ``ws/spaces/{space}/``: the Spaces protocol (docs/protocols/spaces.md)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from tornado.websocket import WebSocketClosedError

from embedenv_jupyter.errors import CloseCode
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.base import InBandHandler
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.rooms.spaces import SEND_TIMEOUT_S, Managers, SpacesConversation

log = logging.getLogger(__name__)

MAX_STRANGER_BYTES = 64 << 10
"""What a message may have before its sender is in a room. A hello beyond its own bound gets an error."""


@dataclass(frozen=True)
class SpacesOptions:
    """What an operator decides about this endpoint."""

    hello_timeout_s: float = 10.0
    send_timeout_s: float = SEND_TIMEOUT_S
    line_end_frames: bool = True


class SpacesHandler(InBandHandler):
    """One peer of the Spaces protocol."""

    def initialize(  # type: ignore[override]  # each handler has options of its own
        self, *, gateway: Gateway, options: SpacesOptions, allowed_origins: frozenset[str]
    ) -> None:
        super().initialize(allowed_origins=allowed_origins)
        self._gateway = gateway
        self._options = options
        self._conversation: SpacesConversation | None = None
        self._hello: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    @property
    def max_message_size(self) -> int:
        return spaces.MAX_MESSAGE_BYTES

    def open(self, *args: str, **kwargs: str) -> None:
        super().open()
        self.limit_messages(MAX_STRANGER_BYTES)
        options = self._options
        self._conversation = SpacesConversation(
            self._managers, self, kwargs["space"],
            line_end_frames=options.line_end_frames, send_timeout_s=options.send_timeout_s,
        )  # fmt: skip
        self._hello = asyncio.get_running_loop().call_later(options.hello_timeout_s, self._too_late)

    def _too_late(self) -> None:
        self.close_with(CloseCode.HELLO_TIMEOUT, "say init or join first, and sooner")

    async def _managers(self) -> Managers:
        await self._gateway.ready()
        return Managers(self._gateway.accounts, self._gateway.rooms)

    async def receive(self, message: str | bytes) -> None:
        assert self._conversation is not None, "open() comes first"
        if self._hello is not None:
            self._hello.cancel()  # whatever it says, it gets an answer
        try:
            await self._conversation.receive(message)
        except TimeoutError:
            self.close_with(CloseCode.TOO_SLOW, "takes no data; come back and resume")
        except WebSocketClosedError:
            return
        except Exception:
            log.exception("a frame of the Spaces protocol was not handled")
            self.close_with(CloseCode.INTERNAL_ERROR, "the gateway failed; its log says why")
        if self._conversation.is_open:
            self.limit_messages(spaces.MAX_MESSAGE_BYTES)

    def on_close(self) -> None:
        super().on_close()
        if self._hello is not None:
            self._hello.cancel()
        if self._conversation is not None:
            self._leaving = asyncio.create_task(self._conversation.aclose(), name="leave")
