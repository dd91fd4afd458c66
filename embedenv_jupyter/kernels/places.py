"""The places of a kernel's clients: kept for who lost the connection, given up when that is long ago."""

from __future__ import annotations

import time
from typing import Final

from embedenv_jupyter.errors import BusyError
from embedenv_jupyter.kernels.session import KernelSession

MAX_SESSIONS: Final = 256
MAX_AWAY: Final = 32
"""How many clients that lost their connection have their place kept."""

LINGER_S: Final = 3600.0
"""How long the place of a client that lost its connection is kept."""


class Places:
    """The clients of one kernel, by the session id that each chose."""

    def __init__(self) -> None:
        self.by_id: dict[str, KernelSession] = {}

    def connected_within(self, seconds: float) -> bool:
        """Tell whether a client is connected, or was a moment ago: a page that is loaded again comes back."""
        since_s = time.monotonic() - seconds
        return any(place.is_connected or place.left_at_s > since_s for place in self.by_id.values())

    async def make_room(self) -> None:
        """Give up the places of those who left long ago, or of too many: each holds three sockets.

        Raises:
            BusyError: there are as many clients as there may be all the same.
        """
        now_s = time.monotonic()
        away = [place for place in self.by_id.values() if not place.is_connected and not place.is_visiting]
        away.sort(key=lambda place: place.left_at_s, reverse=True)
        for number, place in enumerate(away, 1):
            if number > MAX_AWAY or now_s - place.left_at_s > LINGER_S:
                await self.forget(place)
        if len(self.by_id) >= MAX_SESSIONS:
            raise BusyError(f"This kernel has {MAX_SESSIONS} clients already; close one of them first.")

    async def forget(self, session: KernelSession) -> None:
        """Give up the place of a client; idempotent."""
        self.by_id.pop(session.id, None)
        await session.disconnect()

    async def forget_all(self) -> None:
        for session in list(self.by_id.values()):
            await self.forget(session)
