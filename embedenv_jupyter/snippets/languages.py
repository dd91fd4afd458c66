"""Which languages the rooms of a gateway can run, as one of its rooms says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from embedenv_jupyter.engine.survey import survey
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.protocols.engine.listing import LanguageList
from embedenv_jupyter.rooms.manager import RoomManager

SPACE: Final = "languages"
HOLDS_S: Final = 300.0
"""How long an answer holds: what is installed on the machine of a gateway seldom changes."""


class LanguageSurvey:
    """Asks a room now and then; who comes meanwhile waits for its answer."""

    def __init__(
        self, rooms: RoomManager, languages: Languages, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rooms = rooms
        self._languages = languages
        self._clock = clock
        self._asking = asyncio.Lock()
        self._listed: LanguageList | None = None
        self._asked_at_s = 0.0

    async def listing(self) -> LanguageList:
        """Return what is known, or else ask a room of this gateway's own: nobody else can be in it.

        Raises:
            BusyError: the gateway holds as many rooms as it may.
            SandboxError: no room could be started, or it has ended.
        """
        async with self._asking:
            if self._listed is None or self._clock() - self._asked_at_s >= HOLDS_S:
                self._listed = await self._asked()
                self._asked_at_s = self._clock()
            return self._listed

    def forget(self) -> None:
        """Ask again next time: something was installed."""
        self._listed = None

    async def _asked(self) -> LanguageList:
        opened = await self._rooms.open(LOCAL_ACCOUNT, space=SPACE, cost=0, is_listed=False)
        try:
            findings = await survey(opened.room.sandbox, self._languages)
        finally:
            await opened.room.aclose("surveyed")
        return LanguageList([finding.entry() for finding in findings])
