"""What a magic showed, and what the log of a room holds of it."""

from __future__ import annotations

import re
from typing import Any

from embedenv_jupyter.rooms.room import Room
from tests.integration.conftest import Served
from tests.integration.kernels.conftest import OpenRoom, Received


def found(served: Served, room: OpenRoom) -> Room:
    room_found = served.gateway.rooms.find(room.id)
    assert room_found is not None
    return room_found


async def events(room: Room, kind: type) -> list[Any]:
    """Return what the room's log holds of one kind."""
    last = room.log.last
    held: list[Any] = []
    async with room.log.watch(0) as watcher:
        while watcher.position < last:
            held += [record.event for record in await watcher.read()]  # type: ignore[union-attr]
    return [event for event in held if isinstance(event, kind)]


def table(messages: list[Received]) -> str:
    """Return the text of the one table that a magic shows; its HTML says the same."""
    (shown,) = (message for message in messages if message.type == "display_data")
    data = shown.content["data"]
    assert set(data) == {"text/plain", "text/html"}
    return str(data["text/plain"])


def value(text: str, name: str) -> str:
    match = re.search(rf"^  {re.escape(name)} +(.*)$", text, re.MULTILINE)
    assert match is not None, (name, text)
    return match[1]


def types(messages: list[Received]) -> list[str]:
    return [message.state or message.type for message in messages]
