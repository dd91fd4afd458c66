"""Pictures wait like text does: whoever does not read holds up the program, and not our memory."""

from __future__ import annotations

import asyncio

import pytest

from embedenv_jupyter.engine.events import Displayed, Output, Stage, Stream
from embedenv_jupyter.engine.pace import EventQueue


async def test_what_is_shown_waits_for_its_reader() -> None:
    queue = EventQueue(100)
    picture = Displayed(Stage.RUN, {"image/png": "x"}, 80)
    await queue.put(picture)
    await queue.put(picture)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await queue.put(picture)
    reader = queue.events()
    assert await anext(reader) is picture
    async with asyncio.timeout(5):
        await queue.put(Output(Stage.RUN, Stream.STDOUT, b"x"))
