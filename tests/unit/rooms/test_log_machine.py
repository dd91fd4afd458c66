"""Whatever producers, readers and the disk do: every number once, in order, or in an exact gap."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from embedenv_jupyter.rooms.events import Event
from embedenv_jupyter.rooms.log import Log, Watcher
from embedenv_jupyter.rooms.log.disk import SUFFIX
from embedenv_jupyter.rooms.log.records import RECORD_WEIGHT
from tests.unit.rooms.log_model import Inline, Model, lines, member_left, run_ended

T = TypeVar("T")

DEADLINE_S = 10.0
TURNS = 10
RESUMES = 40
LARGEST_TEXT = 600

texts = st.one_of(
    st.text("ab\n", min_size=1, max_size=40),
    st.text("aé€😀\n", min_size=1, max_size=20),
    st.integers(1, LARGEST_TEXT).map(lambda size: "z" * size),
    st.integers(1, 60).map(lambda count: "line\n" * count),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(lines, texts, prompt=st.booleans()),
    st.builds(run_ended),
    st.builds(member_left),
)


class LogMachine(RuleBasedStateMachine):
    """Readers come, read at their own pace and go; producers wait or do not; the disk fails."""

    watchers: Bundle[Watcher] = Bundle("watchers")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "log"
        self.model = Model()
        self.positions: dict[Watcher, int] = {}
        self.error: int | None = None
        self.threads = Inline(self.fault)
        self.now_s = 100.0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def within_deadline() -> T:
            async with asyncio.timeout(DEADLINE_S):
                return await work

        return self.loop.run_until_complete(within_deadline())

    async def settle(self) -> None:
        """Turn the loop until nothing is done in threads any more."""
        done = -1
        while len(self.threads.calls) > done:
            done = len(self.threads.calls)
            for _ in range(TURNS):
                await asyncio.sleep(0)

    def fault(self, name: str) -> OSError | None:
        if self.error is None or name not in ("append", "prepare"):
            return None
        return OSError(self.error, os.strerror(self.error))

    @initialize(
        memory_bytes=st.integers(1, 8 * RECORD_WEIGHT),
        unwritten_bytes=st.integers(1, 8 * RECORD_WEIGHT),
        disk_bytes=st.sampled_from((0, 50, 700, 3_000, 3_000, 8_000, 8_000, 20_000)),
        segment_bytes=st.integers(1, 3_000),
    )
    def begin(self, **bounds: int) -> None:
        self.bounds = bounds
        self.log = Log(
            self.path,
            **bounds,
            executor=self.threads,
            clock=lambda: 5.0,
            monotonic=lambda: self.now_s,
        )
        # The log appends an event of its own when the disk fails; the model must see it.
        history = self.log._history
        append = history.append

        def noted(event: Event) -> Any:
            self.model.append(event)
            return append(event)

        history.append = noted  # type: ignore[method-assign]

    @rule(batch=st.lists(events, min_size=1, max_size=20), settle=st.booleans())
    def produce(self, batch: list[Event], settle: bool) -> None:
        """Append as a program's output is: asking after each event whether more may come."""

        async def produce() -> None:
            for event in batch:
                async with asyncio.timeout(0):
                    await self.log.writable()
                record = self.log.append(event)
                assert record.last == self.log.last
                if settle:
                    await self.settle()

        with contextlib.suppress(TimeoutError):
            self.run(produce())

    @rule(batch=st.lists(events, min_size=1, max_size=6))
    def intrude(self, batch: list[Event]) -> None:
        """Append without asking."""
        for event in batch:
            self.run(self._append(event))

    async def _append(self, event: Event) -> None:
        self.log.append(event)

    @rule(target=watchers, data=st.data())
    def come(self, data: st.DataObject) -> Watcher:
        after = data.draw(st.integers(0, self.log.last))
        watcher = self.log.watch(after)
        self.run(watcher.__aenter__())
        self.positions[watcher] = after
        return watcher

    @rule(watcher=watchers, limit=st.integers(1, 9), times=st.integers(1, 9))
    def read(self, watcher: Watcher, limit: int, times: int) -> None:
        for _ in range(times):
            if watcher.lag_events:
                items = self.run(watcher.read(limit))
                assert 1 <= len(items) <= limit
                self.take(watcher, items)

    def take(self, watcher: Watcher, items: list[Any]) -> None:
        position = self.model.check(self.positions[watcher], items)
        assert watcher.position == position
        assert watcher.lag_events == self.model.last - position
        assert watcher.lag_bytes == self.model.total_bytes - self.model.before_bytes(position + 1)
        self.positions[watcher] = position

    @rule(watcher=watchers)
    def read_and_think_better_of_it(self, watcher: Watcher) -> None:
        async def read_impatiently() -> None:
            async with asyncio.timeout(0):
                self.take(watcher, await watcher.read(3))

        with contextlib.suppress(TimeoutError):
            self.run(read_impatiently())

    @rule(watcher=consumes(watchers))
    def go(self, watcher: Watcher) -> None:
        self.run(watcher.__aexit__(None, None, None))
        del self.positions[watcher]

    @rule(error=st.sampled_from((None, errno.ENOSPC, errno.EIO)))
    def disk_state(self, error: int | None) -> None:
        self.error = error

    @rule(seconds=st.floats(0.1, 100))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.run(self.settle())

    @rule()
    def idle(self) -> None:
        self.run(self.settle())

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "log"):
            bound = self.bounds["memory_bytes"] + 2 * self.bounds["unwritten_bytes"]
            assert self.log.memory_bytes <= bound or len(self.log._history.window) == 1

    @invariant()
    def disk_is_bounded(self) -> None:
        if hasattr(self, "log"):
            assert self.log.disk_bytes <= self.bounds["disk_bytes"]

    @invariant()
    def files_are_what_the_log_thinks(self) -> None:
        self.run(self.settle())
        on_disk = sum(path.stat().st_size for path in self.path.glob(f"*{SUFFIX}"))
        assert not hasattr(self, "log") or on_disk == self.log.disk_bytes

    def teardown(self) -> None:
        try:
            if hasattr(self, "log"):
                self.run(self.end())
        finally:
            self.loop.close()
            self.directory.cleanup()

    async def end(self) -> None:
        """Anybody may resume anywhere; everybody reads to the end; then nothing is left."""
        for after in range(0, self.log.last, 1 + self.log.last // RESUMES):
            async with self.log.watch(after) as watcher:
                self.model.check(after, await watcher.read())
        self.log.finish()
        for watcher in self.positions:
            while items := await watcher.read():
                self.take(watcher, items)
            assert watcher.position == self.model.last
        await self.log.aclose(delete=True, linger_s=0)
        assert not self.path.exists()


def test_every_number_is_seen_once_or_inside_an_exact_gap() -> None:
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=80,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
