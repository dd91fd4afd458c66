"""WS ``ws/spaces/{space}/``: the Spaces protocol (docs/protocols/spaces.md)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from tornado.websocket import WebSocketClosedError

from embedenv_jupyter.errors import CloseCode, EmbedEnvError, RemoteProtocolError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.base import InBandHandler
from embedenv_jupyter.protocols import spaces
from embedenv_jupyter.rooms.spaces import Managers, SpacesConversation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpacesOptions:
    """What an operator decides about this endpoint."""

    hello_timeout_s: float = 10.0
    line_end_frames: bool = True


class SpacesHandler(InBandHandler):
    """One peer of the Spaces protocol."""

    def initialize(
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
        return spaces.MAX_FRAME_BYTES

    def open(self, space: str) -> None:
        super().open()
        self._space = space
        self._hello = asyncio.get_running_loop().call_later(self._options.hello_timeout_s, self._too_late)

    def _too_late(self) -> None:
        if self._conversation is None or not self._conversation.is_open:
            self.close_with(CloseCode.HELLO_TIMEOUT, "say init or join first, and sooner")

    async def on_message(self, message: str | bytes) -> None:
        try:
            if self._conversation is None:
                self._conversation = await self._begin()
            await self._conversation.receive(message)
        except RemoteProtocolError as exc:
            self.close_with(exc.code, str(exc))
        except EmbedEnvError as exc:
            self.close_with(CloseCode.INTERNAL_ERROR, str(exc))
        except (WebSocketClosedError, TimeoutError):
            self.close_with(CloseCode.TOO_SLOW, "takes no data")
        except Exception:
            log.exception("a frame of the Spaces protocol was not handled")
            self.close_with(CloseCode.INTERNAL_ERROR, "the gateway failed; its log says why")

    async def _begin(self) -> SpacesConversation:
        await self._gateway.ready()
        managers = Managers(self._gateway.accounts, self._gateway.rooms)
        return SpacesConversation(
            managers, self, self._space, line_end_frames=self._options.line_end_frames
        )

    def on_close(self) -> None:
        if self._hello is not None:
            self._hello.cancel()
        if self._conversation is not None:
            self._leaving = asyncio.create_task(self._conversation.aclose(), name="leave")
