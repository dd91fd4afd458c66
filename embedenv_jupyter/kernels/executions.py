"""Cells on their way: who runs what since when, from the request to the receipt."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from embedenv_jupyter.kernels.authors import Author

MAX_WAITING_BYTES: Final = 16 << 20
"""What all of them may make us keep until they are answered."""

MAX_REMEMBERED: Final = 256

MAX_WAITING: Final = 10_000
"""How many cells one kernel may have before it: run one after another, they are work for days."""


@dataclass
class Execution:
    """One cell: its run in the room, and what its answers need."""

    run: str
    msg_id: str
    session: str
    header: bytes
    """The header of the request, for messages of our own that answer it."""
    code: str
    author: Author
    cell: str = ""
    """The cell's id in its notebook, if the client told one."""
    cost: int = 0
    is_silent: bool = False
    stop_on_error: bool = True
    started_at: float = field(default_factory=time.time)
    began_s: float = field(default_factory=time.monotonic)
    is_running: bool = False

    @property
    def kept_bytes(self) -> int:
        return len(self.header) + len(self.code)

    def begin(self) -> None:
        """The kernel has come to this cell: from now on its time counts."""
        if not self.is_running:
            self.is_running = True
            self.started_at = time.time()
            self.began_s = time.monotonic()

    @property
    def duration_s(self) -> float:
        return round(time.monotonic() - self.began_s, 6)

    def receipt(self, room: str, status: str) -> dict[str, Any]:
        """Return what the metadata of the reply says of this run."""
        return {
            "run": self.run,
            "room": room,
            "author": self.author.user,
            "started_at": self.started_at,
            "duration_s": self.duration_s,
            "status": status,
            "cost": self.cost,
        }


class Executions:
    """The cells that one kernel has not answered, by the id of their request, oldest first."""

    def __init__(self) -> None:
        self._by_id: dict[str, Execution] = {}
        self._bytes = 0
        self._seen: deque[tuple[str, str]] = deque(maxlen=MAX_REMEMBERED)
        self._none = asyncio.Event()
        self._none.set()

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Execution]:
        return iter(list(self._by_id.values()))

    @property
    def is_full(self) -> bool:
        return len(self._by_id) >= MAX_WAITING or self._bytes >= MAX_WAITING_BYTES

    def add(self, execution: Execution) -> None:
        assert execution.msg_id not in self._by_id, "who adds has looked"
        self._by_id[execution.msg_id] = execution
        self._bytes += execution.kept_bytes
        self._none.clear()

    def remember(self, session: str, msg_id: str) -> None:
        """Note that a client has sent this cell, wherever it is run."""
        self._seen.append((session, msg_id))

    def had(self, session: str, msg_id: str) -> bool:
        """Tell whether a client has sent this cell before: kernels drop what comes a second time."""
        return (session, msg_id) in self._seen

    async def answered(self) -> None:
        """Wait until all that the kernel got is answered."""
        await self._none.wait()

    def find(self, msg_id: str) -> Execution | None:
        return self._by_id.get(msg_id)

    def take(self, msg_id: str) -> Execution | None:
        """Return a cell that is over, and forget it."""
        found = self._by_id.pop(msg_id, None)
        if found is not None:
            self._bytes -= found.kept_bytes
        if not self._by_id:
            self._none.set()
        return found

    def take_all(self) -> list[Execution]:
        """Return all, and forget them: the kernel is gone."""
        executions, self._by_id, self._bytes = list(self._by_id.values()), {}, 0
        self._none.set()
        return executions
