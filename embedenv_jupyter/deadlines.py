"""Deadlines that hold in cleaning up, too.

What ends a process first asks, waits a while and then kills, often in a task that
is being cancelled itself. There, :func:`asyncio.timeout` of Python before 3.11.3
raises ``CancelledError`` where it should raise ``TimeoutError`` (CPython issue
102780), so that nobody would kill. Debian 12 has Python 3.11.2.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

_HOLDS_IN_CLEANING_UP: Final = sys.version_info >= (3, 11, 3)


def deadline(delay_s: float | None) -> AbstractAsyncContextManager[asyncio.Timeout]:
    """Cancel what the body waits for after a time, as :func:`asyncio.timeout`; never with ``None``.

    Raises:
        TimeoutError: time was up.
    """
    return asyncio.timeout(delay_s) if _HOLDS_IN_CLEANING_UP else _deadline(delay_s)


@asynccontextmanager
async def _deadline(delay_s: float | None) -> AsyncGenerator[asyncio.Timeout]:
    task = asyncio.current_task()
    assert task is not None
    cancelled_before = task.cancelling()
    timeout = asyncio.timeout(delay_s)
    try:
        async with timeout:
            yield timeout
    except asyncio.CancelledError:
        if timeout.expired() and task.cancelling() <= cancelled_before:
            raise TimeoutError from None
        raise
