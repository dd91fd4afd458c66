"""A log on a real disk beside a model of it, and threads that can be held."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from embedenv_jupyter.rooms.events import Output, RoomError
from embedenv_jupyter.rooms.log import Gap, Log, Record, Watcher
from embedenv_jupyter.rooms.log.disk import SUFFIX
from tests.unit.rooms.log_model import Model, lines

DEADLINE_S = 60.0
KIB, MIB = 1 << 10, 1 << 20
CHUNK_LINES = 160


def chunk(index: int) -> Output:
    """Make 16 KiB of output that no other index has."""
    return lines("".join(f"{index:06d} {line:06d} {'x' * 88}\n" for line in range(CHUNK_LINES)))


class Threads(ThreadPoolExecutor):
    """Counts what is done in threads, and can hold calls by name until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(4)
        self.calls: list[str] = []
        self.held = ""
        self.go_on = threading.Event()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.calls.append(fn.__name__)

        def call() -> Any:
            if fn.__name__ == self.held:
                assert self.go_on.wait(DEADLINE_S)
            return fn(*args, **kwargs)

        return super().submit(call)


class Recorded:
    """A log beside the model of it; :meth:`produce` does as a program's output does."""

    def __init__(self, path: Path | None, **options: Any) -> None:
        self.log = Log(path, clock=lambda: 5.0, **options)
        self.model = Model()
        history = self.log._history
        append = history.append

        def noted(event: Any) -> Record:
            self.model.append(event)
            return append(event)

        history.append = noted  # type: ignore[method-assign]

    async def produce(self, chunks: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            for index in range(chunks):
                self.log.append(chunk(index))
                await self.log.writable()
                await asyncio.sleep(0)

    async def spilled(self) -> None:
        """Wait until everything beyond the bound of memory is on disk."""
        await until(lambda: self.log.memory_bytes <= self.log._memory_bytes)

    async def read_all(self, watcher: Watcher, *, pause: int = 0) -> list[Gap]:
        """Read to the newest number, checking everything; return the gaps."""
        gaps = []
        position = watcher.position
        async with asyncio.timeout(DEADLINE_S):
            while watcher.lag_events:
                items = await watcher.read()
                position = self.model.check(position, items)
                gaps += [item for item in items if isinstance(item, Gap)]
                for _ in range(pause):
                    await asyncio.sleep(0)
        return gaps

    async def resume(self, after: int) -> list[Gap]:
        async with self.log.watch(after) as watcher:
            return await self.read_all(watcher)

    def errors(self) -> list[str]:
        events = {id(event): event for _, event in self.model._events.values()}
        return [event.text for event in events.values() if isinstance(event, RoomError)]


MakeLog = Callable[..., Recorded]


def segments(path: Path) -> list[Path]:
    return sorted(path.glob(f"*{SUFFIX}"))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.001)
