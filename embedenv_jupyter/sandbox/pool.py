"""Sandboxes that stand ready before anybody asks for one."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
from collections.abc import Callable
from typing import Protocol

from embedenv_jupyter.errors import SandboxError, SandboxUnavailableError
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
LAST_RETRY_S = 60.0
REFILL_AFTER_S = 0.03


class Starter(Protocol):
    """What starts sandboxes: a tier."""

    async def start(self, spec: SandboxSpec) -> Sandbox: ...


def default_spec() -> SandboxSpec:
    """Make a spec with default limits and an id of its own."""
    return SandboxSpec(id=secrets.token_hex(8))


class Pool:
    """Keeps ``size`` sandboxes ready, filled in the background by one task.

    A sandbox that dies in the pool is replaced. Where starting fails, for whatever
    reason, the pool tries again, ever less often; who asks meanwhile is served, or told why not,
    by the tier itself. Made in a running loop; :meth:`aclose` ends what was not
    taken. A pool can stand wherever a tier's ``start`` is called.
    """

    def __init__(self, tier: Starter, size: int, make_spec: Callable[[], SandboxSpec] = default_spec) -> None:
        self._tier = tier
        self._size = size
        self._make_spec = make_spec
        self._shape = _shape(make_spec())
        self._asked_last: SandboxSpec | None = None
        self._ready: dict[Sandbox, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._full = asyncio.Event()
        self._task = asyncio.create_task(self._keep_full(), name="pool of sandboxes")
        self._closed = False

    @property
    def ready(self) -> int:
        """How many sandboxes stand ready."""
        return len(self._ready)

    async def wait_full(self) -> None:
        """Wait until the pool is full; the caller sets the deadline."""
        await self._full.wait()

    async def take(self) -> Sandbox:
        """Return a ready sandbox, now the caller's, or start one.

        Raises:
            SandboxUnavailableError: none is ready and none can be started.
        """
        return self._pop() or await self._start_now(self._spec())

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Return a ready sandbox if they are such as ``spec`` asks for, else start one.

        A ready one keeps its own id. When a different kind is asked for twice in
        a row, the pool changes to that kind.

        Raises:
            SandboxUnavailableError: none is ready and none can be started.
        """
        asked = _shape(spec)
        if asked != self._shape:
            if asked == self._asked_last and _can_be_pooled(spec):
                self._change(asked)
            self._asked_last = asked
        elif (sandbox := self._pop()) is not None:
            return sandbox
        return await self._start_now(spec)

    async def _start_now(self, spec: SandboxSpec) -> Sandbox:
        if self._closed:
            raise SandboxUnavailableError("This pool was closed.")
        return await self._tier.start(spec)

    def _pop(self) -> Sandbox | None:
        for sandbox in list(self._ready):
            self._note_change()
            if not self._is_right(sandbox):
                continue  # the task ends it
            self._ready.pop(sandbox).cancel()
            if sandbox.is_alive:
                return sandbox
        return None

    def _is_right(self, sandbox: Sandbox) -> bool:
        return _shape(sandbox.spec) == self._shape and not sandbox.is_outdated

    def _note_change(self) -> None:
        self._full.clear()
        self._changed.set()

    def _change(self, shape: SandboxSpec) -> None:
        """Keep another kind ready; the task ends those of the old kind."""
        self._shape = shape
        self._note_change()

    def _spec(self) -> SandboxSpec:
        """Make the next spec: of the kind that is asked for, with the id that ``make_spec`` gives."""
        return dataclasses.replace(self._shape, id=self._make_spec().id)

    async def _keep_full(self) -> None:
        retry_s = FIRST_RETRY_S
        try:
            async with asyncio.TaskGroup() as guards:
                while True:
                    self._changed.clear()
                    await self._end_others()
                    if len(self._ready) >= self._size:
                        self._full.set()
                        await self._changed.wait()
                        # Who took one is being served right now; a start would slow just that down.
                        await asyncio.sleep(REFILL_AFTER_S)
                    elif await self._add_one(guards):
                        retry_s = FIRST_RETRY_S
                    else:
                        await asyncio.sleep(retry_s)
                        retry_s = min(2 * retry_s, LAST_RETRY_S)
        finally:
            for sandbox in list(self._ready):
                await _end(sandbox, "pool closed")
            self._ready.clear()

    async def _add_one(self, guards: asyncio.TaskGroup) -> bool:
        try:
            sandbox = await self._tier.start(self._spec())
        except SandboxError as exc:
            log.warning("the pool could not start a sandbox: %s", exc)
            return False
        except Exception:  # a pool that ends here is never refilled, and nobody would hear of it
            log.exception("the pool could not start a sandbox, for a reason that no tier should let through")
            return False
        self._ready[sandbox] = guards.create_task(self._guard(sandbox))
        return True

    async def _guard(self, sandbox: Sandbox) -> None:
        """Wait for the death of a ready sandbox; cancelled when it is taken."""
        cause = await sandbox.wait_gone()
        log.warning("a sandbox died in the pool: %s", cause)
        self._ready.pop(sandbox, None)
        self._note_change()
        await _end(sandbox, "closed")

    async def _end_others(self) -> None:
        for sandbox in [found for found in self._ready if not self._is_right(found)]:
            self._ready.pop(sandbox).cancel()
            await _end(sandbox, "no longer asked for")

    async def aclose(self) -> None:
        """End the task and the sandboxes that were not taken; idempotent."""
        self._closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def _end(sandbox: Sandbox, cause: str) -> None:
    """End a sandbox that nobody has taken; what goes wrong with one is not the pool's end."""
    try:
        await sandbox.aclose(cause)
    except Exception:
        log.exception("sandbox %s of the pool could not be ended cleanly", sandbox.spec.id)


def _shape(spec: SandboxSpec) -> SandboxSpec:
    """Return what makes sandboxes interchangeable: all but the id."""
    return dataclasses.replace(spec, id="")


def _can_be_pooled(spec: SandboxSpec) -> bool:
    """A folder of the host belongs to one room; a room that brings one cannot have been started before."""
    return spec.workspace is None
