"""Prometheus metrics of one gateway; Jupyter's own ``/metrics`` shows them beside its own.

The gateway keeps its counters in a registry of its own and shows them through
one collector, which is taken back when the gateway closes: two gateways in one
process, one after the other, do not disturb each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from embedenv_jupyter.rooms.manager import RoomManager, Starter
from embedenv_jupyter.rooms.room import Room
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec

_START_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics(Collector):
    """Counts rooms, their ends, breaches of limits and how long sandboxes take to start."""

    def __init__(self) -> None:
        own = self._own = CollectorRegistry()
        self._starts = Histogram(
            "embedenv_sandbox_start_seconds", "Time until a sandbox was handed out.",
            buckets=_START_BUCKETS, registry=own,
        )  # fmt: skip
        self._failures = Counter(
            "embedenv_sandbox_start_failures", "Sandboxes that did not start.", registry=own
        )
        self._ends = Counter("embedenv_rooms_ended", "Rooms that have ended.", ["reason"], registry=own)
        self._breaches = Counter(
            "embedenv_limit_breaches", "Limits that rooms ran into.", ["limit"], registry=own
        )
        self._rooms: RoomManager | None = None

    def show(self, rooms: RoomManager) -> None:
        """Begin to appear in the process's metrics."""
        self._rooms = rooms
        REGISTRY.register(self)

    def hide(self) -> None:
        """Disappear from the process's metrics; idempotent."""
        if self._rooms is not None:
            self._rooms = None
            REGISTRY.unregister(self)

    def timed(self, starter: Starter) -> Starter:
        """Return a starter that measures another one."""
        return _TimedStarter(starter, self._starts, self._failures)

    def room_ended(self, room: Room) -> None:
        """Count the end of a room and the limits that it ran into."""
        self._ends.labels(room.end_reason or "unknown").inc()
        for breach in room.sandbox.breaches:
            self._breaches.labels(breach.value).inc()

    def collect(self) -> Iterable[Metric]:
        yield from self._own.collect()
        rooms = list(self._rooms or ())
        yield GaugeMetricFamily("embedenv_rooms", "Rooms that are open.", value=len(rooms))
        yield GaugeMetricFamily(
            "embedenv_members", "Members that are connected.",
            value=sum(len(room.members.present) for room in rooms),
        )  # fmt: skip
        yield GaugeMetricFamily(
            "embedenv_runs", "Runs that have not ended.", value=sum(room.running for room in rooms)
        )
        yield GaugeMetricFamily(
            "embedenv_log_events", "Numbered events in the logs of open rooms.",
            value=sum(room.log.last for room in rooms),
        )  # fmt: skip


class _TimedStarter:
    def __init__(self, starter: Starter, seconds: Histogram, failures: Counter) -> None:
        self._starter = starter
        self._seconds = seconds
        self._failures = failures

    async def start(self, spec: SandboxSpec) -> Sandbox:
        began = time.perf_counter()
        try:
            sandbox = await self._starter.start(spec)
        except BaseException:
            self._failures.inc()
            raise
        self._seconds.observe(time.perf_counter() - began)
        return sandbox
