"""Which limits this machine lets a gateway put on rooms from outside, and what stands in for the rest."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator

from embedenv_jupyter.sandbox import cgroup_claim, confine
from embedenv_jupyter.sandbox.cgroups import Group
from embedenv_jupyter.sandbox.confine import Layer
from embedenv_jupyter.sandbox.spec import Limits


class HostLimits:
    """A claim on cgroups, if there is one to be had, and what stands in for it."""

    def __init__(self, *, use_cgroups: bool = True) -> None:
        self._claim: cgroup_claim.Claim | None = None
        self.why_no_cgroups = "" if use_cgroups else "switched off"
        """Why no cgroup limits the rooms; empty if one does."""
        if use_cgroups:
            try:
                self._claim = cgroup_claim.claim()
            except OSError as exc:
                self.why_no_cgroups = exc.strerror or str(exc)
        self._numbers = itertools.count(1)
        self._next_core = itertools.count()

    @property
    def controllers(self) -> frozenset[str]:
        """Which cgroup controllers hold the rooms' limits."""
        return self._claim.controllers if self._claim is not None else frozenset()

    @property
    def version(self) -> int | None:
        """The version of cgroups that is used."""
        return self._claim.version if self._claim is not None else None

    @property
    def folders(self) -> tuple[str, ...]:
        """Where the cgroups of rooms lie, one folder for each hierarchy."""
        return self._claim.folders if self._claim is not None else ()

    @property
    def watched(self) -> bool:
        """Whether rooms must be sampled, as no cgroup counts and holds everything."""
        return not {"memory", "pids"} <= self.controllers

    def create_group(self, limits: Limits | None = None) -> Group | None:
        """Make the cgroup of one room, if there are cgroups; what it limits may be said later.

        Raises:
            OSError: the kernel refused.
        """
        if self._claim is None:
            return None
        return self._claim.create(f"room-{next(self._numbers)}", limits)

    def layers(self, base: Iterable[str], *, pinned: bool) -> tuple[str, ...]:
        """Return ``base`` and the layers that hold what no cgroup holds."""
        layers: list[str] = [*base]
        if "pids" not in self.controllers:
            layers.append(Layer.PROCESSES)
        if "memory" not in self.controllers:
            layers += confine.WITHOUT_MEMORY_CGROUP
        if pinned:
            layers.append(Layer.NO_AFFINITY)
        return tuple(layers)

    def cores(self, limits: Limits) -> tuple[int, ...] | None:
        """Choose the cores of a room whose time no cgroup limits: each room gets the next ones."""
        if "cpu" in self.controllers or limits.cpu_cores is None:
            return None
        available = sorted(os.sched_getaffinity(0))
        wanted = math.ceil(limits.cpu_cores)
        if wanted >= len(available):
            return None
        return tuple(available[next(self._next_core) % len(available)] for _ in range(wanted))

    def what_is_left(self) -> Iterator[str]:
        """Say what the absence of cgroup controllers leaves open."""
        if "memory" not in self.controllers:
            yield (
                "No cgroup limits memory: several programs together exceed the room's limit until the next "
                "sample, a tenth of a second."
            )
        if "cpu" not in self.controllers:
            yield "No cgroup limits processor time: rooms are pinned to cores, and share those with others."

    def close(self) -> None:
        """Give the cgroups up; idempotent."""
        if self._claim is not None:
            self._claim.close()
