"""The same engine for programs without asyncio: every call delegates to one loop in a background thread.

    with engine_sync("https://host/", api_key=...) as engine:
        print(engine.execute("python", "print('hello')").stdout)

Ctrl+C while code is waited for interrupts it in its session, then raises ``KeyboardInterrupt`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, ParamSpec

from embedenv_jupyter.client.answer import Answer
from embedenv_jupyter.client.engine import Engine
from embedenv_jupyter.client.engine_run import EngineRun
from embedenv_jupyter.client.sync import (
    Background,
    BlockingIterator,
    OwnerFace,
    RunFace,
    at_once,
    blocking,
    opened_blocking,
)
from embedenv_jupyter.protocols.engine import frames

P = ParamSpec("P")


class SyncEngineRun(RunFace[EngineRun]):
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
        return self._interruptible(self._inner.result())

    def _interrupting(self) -> Coroutine[Any, Any, None]:
        return self._inner.signal("INT")


class SyncEngine(OwnerFace[Engine]):
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


def _opening(make: Callable[P, Engine]) -> Callable[P, Coroutine[Any, Any, Engine]]:
    @wraps(make)
    async def opened(*args: P.args, **kwargs: P.kwargs) -> Engine:
        return await make(*args, **kwargs).open()

    return opened


engine_sync = opened_blocking(_opening(Engine), SyncEngine)
"""Like :class:`~embedenv_jupyter.client.engine.Engine`, opened; it is also a context manager."""
