"""The Python client for rooms and for the Engine; see docs/client.md.

    async with connect("https://host/", public_key=..., secret_key=...) as room:
        run = await room.shell("python -V")
        async for line in run:
            print(line)

    async with Engine("https://host/", api_key=...) as engine:
        answer = await engine.execute("ruby", "puts 'hello'")

Needs websockets and msgspec, and no Jupyter.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from embedenv_jupyter.client.answer import Answer
    from embedenv_jupyter.client.backoff import Retry
    from embedenv_jupyter.client.dialling import Heartbeat
    from embedenv_jupyter.client.engine import Engine
    from embedenv_jupyter.client.engine_run import EngineRun
    from embedenv_jupyter.client.events import Event, Gap, Missed, Notice, RoomEvent, State, StateChange
    from embedenv_jupyter.client.files import Files
    from embedenv_jupyter.client.flow import Buffering
    from embedenv_jupyter.client.frames import Entry
    from embedenv_jupyter.client.opening import connect, open_room
    from embedenv_jupyter.client.refusal import (
        AddressError,
        BlockedError,
        NoCreditsError,
        OutputLostError,
        PlainServerError,
        RefusedError,
        RunStoppedError,
        StalledError,
        TooManyRunsError,
        UnknownLanguageError,
        UnreachableError,
    )
    from embedenv_jupyter.client.room import Room, Watch
    from embedenv_jupyter.client.run import ExitStatus, Run
    from embedenv_jupyter.client.sync import connect_sync
    from embedenv_jupyter.client.sync_engine import SyncEngine, engine_sync

__all__ = [
    "AddressError",
    "Answer",
    "BlockedError",
    "Buffering",
    "Engine",
    "EngineRun",
    "Entry",
    "Event",
    "ExitStatus",
    "Files",
    "Gap",
    "Heartbeat",
    "Missed",
    "NoCreditsError",
    "Notice",
    "OutputLostError",
    "PlainServerError",
    "RefusedError",
    "Retry",
    "Room",
    "RoomEvent",
    "Run",
    "RunStoppedError",
    "StalledError",
    "State",
    "StateChange",
    "SyncEngine",
    "TooManyRunsError",
    "UnknownLanguageError",
    "UnreachableError",
    "Watch",
    "connect",
    "connect_sync",
    "engine_sync",
    "open_room",
]

_MODULES: Final = {
    "AddressError": "refusal",
    "Answer": "answer",
    "BlockedError": "refusal",
    "Buffering": "flow",
    "Engine": "engine",
    "EngineRun": "engine_run",
    "Entry": "frames",
    "Event": "events",
    "ExitStatus": "run",
    "Files": "files",
    "Gap": "events",
    "Heartbeat": "dialling",
    "Missed": "events",
    "NoCreditsError": "refusal",
    "Notice": "events",
    "OutputLostError": "refusal",
    "PlainServerError": "refusal",
    "RefusedError": "refusal",
    "Retry": "backoff",
    "Room": "room",
    "RoomEvent": "events",
    "Run": "run",
    "RunStoppedError": "refusal",
    "StalledError": "refusal",
    "State": "events",
    "StateChange": "events",
    "SyncEngine": "sync_engine",
    "TooManyRunsError": "refusal",
    "UnknownLanguageError": "refusal",
    "UnreachableError": "refusal",
    "Watch": "room",
    "connect": "opening",
    "connect_sync": "sync",
    "engine_sync": "sync_engine",
    "open_room": "opening",
}
"""Where each name is. Imported when it is asked for: a program that wants one of them starts sooner."""


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
