"""Watches what rooms use, and tells each one which of its limits it has run into."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.sandbox import watchdog as watchdogs
from embedenv_jupyter.sandbox.contents import in_thread
from embedenv_jupyter.sandbox.keeper import Counters, Keeper
from embedenv_jupyter.sandbox.spec import MIB, Breach, ExitStatus, SandboxSpec
from embedenv_jupyter.sandbox.watchdog import Watchdog

log = logging.getLogger(__name__)

INTERVAL_S = 0.5
QUIET_S = 5.0
"""A limit that is run into again and again is reported once in this time."""

WALK_INTERVAL_S = 5.0
"""How often a workspace that is a folder of the host is measured, as every file must be looked at."""

MAX_DEPTH = 256
_FULL_BYTES = 64 << 10
_FILE_TOO_LARGE = ExitStatus(signal=signal.SIGXFSZ).shell_code

# The workspace.


def tree_bytes(root: int, enough: int) -> int:
    """Return what the files below an open folder occupy on the disk, or some number over ``enough``.

    No link is followed. A tree deeper than ``MAX_DEPTH`` cannot be measured and
    counts as too large.
    """
    return _occupied(root, enough, 0)


def _occupied(folder: int, enough: int, depth: int) -> int:
    total = 0
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.scandir(folder) as entries:
        for entry in entries:
            if total > enough:
                break
            try:
                total += entry.stat(follow_symlinks=False).st_blocks * 512
                if not entry.is_dir(follow_symlinks=False):
                    continue
                below = os.open(entry.name, flags, dir_fd=folder)
            except OSError:  # the room changes its tree while we look
                continue
            try:
                total += enough + 1 if depth == MAX_DEPTH else _occupied(below, enough - total, depth + 1)
            finally:
                os.close(below)
    return total


def _is_full(folder: int) -> bool:
    """Tell whether the file system of an open folder takes no more bytes, or no more files."""
    found = os.fstatvfs(folder)
    return found.f_bavail * found.f_frsize < _FULL_BYTES or found.f_favail == 0


# All rooms.


class Watched(Protocol):
    """What the monitor needs of a :class:`~embedenv_jupyter.sandbox.sandbox.Sandbox`."""

    spec: SandboxSpec
    keeper: Keeper
    own_disk: bool
    on_exit: Callable[[ExitStatus], None]
    look_at_limits: Callable[[], Awaitable[None]]

    @property
    def running_jobs(self) -> int: ...

    @property
    def workspace_fd(self) -> int: ...

    def breached(self, breach: Breach, detail: str) -> None: ...


class _Room:
    """What the monitor knows of one sandbox."""

    def __init__(self, sandbox: Watched, watchdog: Watchdog | None) -> None:
        self.sandbox = sandbox
        self.watchdog = watchdog
        self.last = Counters()
        self.was_busy = False
        self.next_walk_s = 0.0
        self._reported_s: dict[Breach, float] = {}
        self._was_full = False
        self._has_failed = False

    @property
    def is_due(self) -> bool:
        """Programs run, or ran when we last looked, or some were left behind by those that ended."""
        busy = self.sandbox.running_jobs > 0 or (self.last.pids or 0) > 1
        due = busy or self.was_busy
        self.was_busy = busy
        return due

    @property
    def needs_walk(self) -> bool:
        """The workspace is a folder of the host, and was not measured for a while."""
        sandbox = self.sandbox
        return not sandbox.own_disk and sandbox.workspace_fd >= 0 and time.monotonic() >= self.next_walk_s

    def sample(self) -> Counters | None:
        """Let the watchdog enforce, and count; slow, so not in the loop's thread.

        ``None`` if that fails, which must not blind us to other rooms.
        """
        try:
            if self.watchdog is not None:
                self.watchdog.look()
            now = self.sandbox.keeper.counters()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is this room's alone
            self._note_failure(exc)
            return None
        return now

    def report(self, now: Counters) -> None:
        """Report what a sample shows; no failure leaves this room."""
        try:
            self._compare(now)
            if self.sandbox.own_disk and self.sandbox.workspace_fd >= 0:
                self.note_disk(is_full=_is_full(self.sandbox.workspace_fd))
        except Exception as exc:  # noqa: BLE001 - as in sample()
            self._note_failure(exc)
        else:
            self._has_failed = False

    def _note_failure(self, failure: Exception) -> None:
        """Log a failure once, as the next sample comes in a moment."""
        if not self._has_failed:
            log.error("limits of %s could not be sampled", self.sandbox.spec.id, exc_info=failure)
        self._has_failed = True

    def _compare(self, now: Counters) -> None:
        """Report what has happened since the last sample."""
        limits = self.sandbox.spec.limits
        if now.oom_kills > self.last.oom_kills:
            size = f"{(limits.memory_bytes or 0) // MIB} MiB"
            self._report(Breach.OOM, f"the memory limit of {size} was reached, and a program was ended")
        if now.pid_refusals > self.last.pid_refusals:
            self._report(Breach.PIDS, f"the limit of {limits.pids} processes and threads was reached")
        self.last = now

    def note_end(self, status: ExitStatus) -> None:
        """Report a program that a file of too many bytes has ended, itself or below a shell that says so.

        A program that ignores the signal, as Python does, gets ``EFBIG`` instead
        (setrlimit(2)), and nobody but itself learns of that.
        """
        if status.shell_code == _FILE_TOO_LARGE:
            size = f"{(self.sandbox.spec.limits.file_bytes or 0) // MIB} MiB"
            self._report(Breach.DISK, f"a file reached the limit of {size}, and a program was ended")

    def note_disk(self, *, is_full: bool) -> None:
        """Report that the workspace has become full."""
        if is_full and not self._was_full:
            size = f"{self.sandbox.spec.limits.workspace_bytes // MIB} MiB"
            self._report(Breach.DISK, f"the workspace of {size} is full")
        self._was_full = is_full

    def _report(self, breach: Breach, detail: str) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s.get(breach, -QUIET_S) >= QUIET_S:
            self._reported_s[breach] = now_s
            self.sandbox.breached(breach, detail)


class Monitor:
    """Watches the rooms of one tier in one task, which :meth:`aclose` ends.

    A room is sampled every ``INTERVAL_S`` while programs run in it, when one of
    them has ended, and at once on :meth:`check`.
    """

    def __init__(self) -> None:
        self._rooms: dict[Watched, _Room] = {}
        self._poked: set[Watched] = set()
        self._wake = asyncio.Event()
        self._sampling = asyncio.Lock()
        # Its own: what rooms have the gateway do in asyncio's threads must not keep limits from being held.
        self._thread = ThreadPoolExecutor(1, "limits")
        self._task: asyncio.Task[None] | None = None
        self._walks: set[asyncio.Task[None]] = set()
        self._closing = False

    def add(self, sandbox: Watched, watchdog: Watchdog | None = None) -> None:
        """Watch a sandbox until :meth:`remove`; a watchdog is sampled, and so enforces, more often."""
        self._rooms[sandbox] = _Room(sandbox, watchdog)
        sandbox.on_exit = lambda status: self._program_ended(sandbox, status)
        sandbox.look_at_limits = lambda: self.check(sandbox)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="monitor of limits")

    def remove(self, sandbox: Watched) -> None:
        """Watch a sandbox no more; idempotent."""
        if self._rooms.pop(sandbox, None) is not None:
            sandbox.on_exit = lambda _: None
        self._poked.discard(sandbox)

    def _program_ended(self, sandbox: Watched, status: ExitStatus) -> None:
        room = self._rooms.get(sandbox)
        if room is not None:
            room.note_end(status)
            self.poke(sandbox)

    def poke(self, sandbox: Watched) -> None:
        """Ask for a sample soon, without waiting for it."""
        self._poked.add(sandbox)
        self._wake.set()

    async def check(self, sandbox: Watched) -> None:
        """Sample a sandbox now; what it ran into is reported when this returns."""
        room = self._rooms.get(sandbox)
        if room is not None:
            await self._sample([room])
            if room.needs_walk:
                await self._walk(room)

    async def _run(self) -> None:
        while not self._closing:
            due = [room for key, room in self._rooms.items() if room.is_due or key in self._poked]
            self._poked.clear()
            self._wake.clear()
            await self._sample(due)
            for room in due:
                if room.needs_walk:
                    self._begin_walk(room)
            guarded = any(room.watchdog is not None and room.was_busy for room in self._rooms.values())
            with contextlib.suppress(TimeoutError):
                async with deadline(watchdogs.INTERVAL_S if guarded else INTERVAL_S):
                    await self._wake.wait()

    async def _sample(self, rooms: list[_Room]) -> None:
        if not rooms:
            return
        async with self._sampling:
            if self._closing:
                return
            # /proc and a memory.stat are slow enough to hold the loop up when rooms are many.
            samples = await asyncio.get_running_loop().run_in_executor(
                self._thread, lambda: [room.sample() for room in rooms]
            )
        for room, counters in zip(rooms, samples, strict=True):
            if counters is not None and self._rooms.get(room.sandbox) is room:
                room.report(counters)

    def _begin_walk(self, room: _Room) -> None:
        """Measure a workspace on the host beside the samples, which must not wait for it."""
        room.next_walk_s = math.inf
        task = asyncio.create_task(self._walk(room), name=f"size of {room.sandbox.spec.id}")
        self._walks.add(task)
        task.add_done_callback(self._walks.discard)

    async def _walk(self, room: _Room) -> None:
        began_s = time.monotonic()
        limit = room.sandbox.spec.limits.workspace_bytes
        try:
            used = await in_thread(room.sandbox.workspace_fd, lambda own: tree_bytes(own, limit))
        except OSError as exc:
            log.warning("the workspace of %s could not be measured: %s", room.sandbox.spec.id, exc)
            used = 0
        ended_s = time.monotonic()
        room.next_walk_s = ended_s + max(WALK_INTERVAL_S, 10 * (ended_s - began_s))
        if self._rooms.get(room.sandbox) is room:
            room.note_disk(is_full=used > limit)

    async def aclose(self) -> None:
        """End the task, after the sample that it may be taking; idempotent."""
        self._rooms.clear()
        self._closing = True
        self._wake.set()
        for walk in self._walks:
            walk.cancel()
        task, self._task = self._task, None
        await asyncio.gather(*self._walks, *filter(None, [task]), return_exceptions=True)
        self._thread.shutdown(wait=False)
