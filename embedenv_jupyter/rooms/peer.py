"""One peer of a published WebSocket protocol, as the conversation with it sees it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from tornado.websocket import WebSocketClosedError

from embedenv_jupyter.errors import CloseCode

log = logging.getLogger(__name__)

FAILED: Final = "the gateway failed; its log says why"
SEND_TIMEOUT_S: Final = 60.0
"""A peer that takes nothing for so long is cut off; it may come back and resume."""


class Socket(Protocol):
    """The side of the WebSocket that a conversation needs."""

    async def send_frames(self, frames: list[bytes]) -> None:
        """Write frames in order; returns when the socket has taken them."""

    async def send_framed(self, data: bytes) -> None:
        """Write what is framed for the wire already, in the same way."""

    def close_with(self, code: CloseCode, reason: str) -> None:
        """Begin to close."""

    @property
    def is_cut(self) -> bool:
        """Whether the peer has gone, as far as the machine knows by now."""


async def guarded(
    work: Callable[[], Awaitable[None]],
    close: Callable[[CloseCode, str], None],
    send_timeout_s: float,
    about: str,
) -> None:
    """Do something for a connection, and close it when that fails: nobody would see that it is gone.

    ``about`` tells, in the log, what it is a connection to.
    """
    try:
        await work()
    except TimeoutError:
        close(CloseCode.TOO_SLOW, f"took no data for {send_timeout_s:g} s; come back and resume")
    except WebSocketClosedError:
        return
    except Exception:
        log.exception("a connection to %s failed", about)
        close(CloseCode.INTERNAL_ERROR, FAILED)
