"""Links: how the messages of a kernel reach a room and come back.

A :class:`Link` is all that a relay knows of the other side: it takes messages, and
gives an ordered stream of messages and of news about itself. One task receives; it
is what connects and reads, so a relay that does not receive is a pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from embedenv_jupyter.errors import ConnectionLostError, EmbedEnvError
from embedenv_jupyter.protocols.kernels import Message

FINISH_S: Final = 3.0


@dataclass(frozen=True)
class Away:
    """The connection was lost and is tried again."""

    reason: str


@dataclass(frozen=True)
class Back:
    """The connection is there again; nothing was lost unless :class:`Missed` says so."""


@dataclass(frozen=True)
class Missed:
    """So many messages are lost: the room no longer had them."""

    count: int


@dataclass(frozen=True)
class Gone:
    """There is no way back to the kernel; nothing follows."""

    reason: str


Event = Message | Away | Back | Missed | Gone


class Link(Protocol):
    """A way to one kernel in a room."""

    async def send(self, message: Message) -> None:
        """Send, now or when the connection is back; waits while too much waits already.

        Raises:
            EmbedEnvError: this message will never get there.
        """

    async def receive(self) -> Event:
        """Return what comes next; called by one task, and not after :class:`Gone`."""

    async def aclose(self) -> None:
        """Say goodbye; idempotent."""


class OpeningLink:
    """Stands for a link while it is being made, so that clients are served from the first moment."""

    def __init__(self, opening: Coroutine[Any, Any, Link]) -> None:
        self._opening = asyncio.create_task(opening, name="opening the link")

    async def _link(self) -> Link:
        # The others who wait for it must not lose it with this one.
        return await asyncio.shield(self._opening)

    async def send(self, message: Message) -> None:
        await (await self._link()).send(message)

    async def receive(self) -> Event:
        try:
            link = await self._link()
        except EmbedEnvError as exc:
            return Gone(str(exc))
        return await link.receive()

    async def aclose(self) -> None:
        """Close what was opened; stop opening what takes too long for that. Idempotent."""
        # Half a room would be left behind, so it may become a whole one that can be ended.
        await asyncio.wait({self._opening}, timeout=FINISH_S)
        self._opening.cancel()
        (outcome,) = await asyncio.gather(self._opening, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            await outcome.aclose()


def gone_error(gone: Gone) -> ConnectionLostError:
    """Return what a message meets that is sent after the end."""
    return ConnectionLostError(gone.reason)
