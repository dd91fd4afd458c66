"""The same engine for programs without asyncio: every call delegates to one loop in a background thread.

    with engine_sync("https://host/", api_key=...) as engine:
        print(engine.execute("python", "print('hello')").stdout)

Ctrl+C while code is waited for interrupts it in its session, then raises ``KeyboardInterrupt`` here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, ParamSpec, Self

from embedenv_jupyter.client.answer import Answer
from embedenv_jupyter.client.engine import Engine
from embedenv_jupyter.client.engine_run import EngineRun
from embedenv_jupyter.client.sync import (
    INTERRUPT_S,
    Background,
    BlockingIterator,
    Face,
    at_once,
    blocking,
)
from embedenv_jupyter.protocols.engine import frames

P = ParamSpec("P")


class SyncEngineRun(Face[EngineRun]):
    """See :class:`~embedenv_jupyter.client.engine_run.EngineRun`; iterate over it for events."""

    stdin = blocking(EngineRun.stdin)
    eof = blocking(EngineRun.eof)
    signal = blocking(EngineRun.signal)
    resize = blocking(EngineRun.resize)
    discard = at_once(EngineRun.discard)
    cancel = at_once(EngineRun.cancel)

    def __init__(self, inner: EngineRun, background: Background) -> None:
        super().__init__(inner, background)
        self._events = BlockingIterator(inner, background, self._interrupt_briefly)

    @property
    def id(self) -> str:
        return self._inner.id

    @property
    def language(self) -> str:
        return self._inner.language

    @property
    def is_running(self) -> bool:
        return self._inner.is_running

    def __iter__(self) -> Iterator[frames.StreamFrame]:
        return self._events

    def result(self) -> Answer:
        """Wait for the end; the answer has the output that was not read yet."""
        try:
            return self._background.call(self._inner.result())
        except KeyboardInterrupt:
            self._interrupt_briefly()
            raise

    def _interrupt_briefly(self) -> None:
        async def interrupt() -> None:
            async with asyncio.timeout(INTERRUPT_S):
                await self._inner.signal("INT")

        # A program that has just ended, or a lost connection, must not hide the user's Ctrl+C.
        with contextlib.suppress(Exception):
            self._background.call(interrupt())


class SyncEngine(Face[Engine]):
    """See :class:`~embedenv_jupyter.client.engine.Engine`."""

    execute = blocking(Engine.execute)
    ping = blocking(Engine.ping)
    end_session = blocking(Engine.end_session)

    @property
    def session(self) -> str | None:
        return self._inner.session

    @property
    def is_connected(self) -> bool:
        return self._inner.is_connected

    def stream(self, language: str, code: str, **options: Any) -> SyncEngineRun:
        """Begin to run code; the options are those of :meth:`Engine.stream`."""
        run = self._background.call(self._inner.stream(language, code, **options))
        return SyncEngineRun(run, self._background)

    def close(self) -> None:
        """Close the engine and end the thread; idempotent."""
        if not self._background.is_alive:
            return
        try:
            self._background.call(self._inner.close())
        finally:
            self._background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _blocking_maker(make: Callable[P, Engine]) -> Callable[P, SyncEngine]:
    @wraps(make)
    def open_blocking(*args: P.args, **kwargs: P.kwargs) -> SyncEngine:
        async def opened() -> Engine:
            return await make(*args, **kwargs).open()

        background = Background()
        try:
            return SyncEngine(background.call(opened()), background)
        except BaseException:
            background.close()
            raise

    return open_blocking


engine_sync = _blocking_maker(Engine)
"""Like :class:`~embedenv_jupyter.client.engine.Engine`, opened; it is also a context manager."""
