"""A log that forgets nothing, to hold the real one against; and an executor without threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Any

from embedenv_jupyter.rooms.events import Event, MemberLeft, Output, RunEnded
from embedenv_jupyter.rooms.log import Gap, Record


def lines(*texts: str, prompt: bool = False) -> Output:
    return Output("r1", "".join(texts), prompt=prompt, at=1.0)


def run_ended() -> RunEnded:
    return RunEnded("r1", 0, None, 1.5, at=2.0)


def member_left() -> MemberLeft:
    return MemberLeft("m1", "ada", at=3.0)


class Inline(Executor):
    """Does everything at once; ``fault`` may say that a call fails."""

    def __init__(self, fault: Callable[[str], OSError | None] = lambda name: None) -> None:
        self._fault = fault
        self.calls: list[str] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        name = getattr(fn, "__name__", "?")
        self.calls.append(name)
        future: Future[Any] = Future()
        try:
            if (error := self._fault(name)) is not None:
                raise error
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - whatever it is belongs to the caller's future
            future.set_exception(exc)
        return future


class Model:
    """Every event by number."""

    def __init__(self) -> None:
        self.last = 0
        self.total_bytes = 0
        self._events: dict[int, tuple[int, Event]] = {}
        self._befores: dict[int, int] = {}

    def append(self, event: Event) -> None:
        first, size = self.last + 1, len(event.text.encode()) if isinstance(event, Output) else 0
        self.last += event.count
        for number in range(first, self.last + 1):
            self._events[number] = (first, event)
            self._befores[number] = self.total_bytes
        self.total_bytes += size

    def before_bytes(self, number: int) -> int:
        """The output before the record that holds a number."""
        return self._befores.get(number, self.total_bytes)

    def check(self, position: int, items: Iterable[Record | Gap]) -> int:
        """Check what a reader got who had the numbers up to ``position``; return its new position."""
        for item in items:
            if isinstance(item, Gap):
                assert item.first == position + 1
                assert item.last >= item.first
                assert item.events == item.last - position
                assert item.bytes == self.before_bytes(item.last + 1) - self.before_bytes(item.first)
            else:
                assert item.first + item.skip == position + 1
                assert 0 <= item.skip < item.count, "a record that the reader has in full"
                assert self._events[item.first] == (item.first, item.event)
                assert item.last - item.first + 1 == item.count == item.event.count
                assert item.before_bytes == self.before_bytes(item.first)
            position = item.last
        assert position <= self.last
        return position
