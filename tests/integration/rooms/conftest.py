"""Logs on disk that are closed and deleted after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rooms.recorded_log import MakeLog, Recorded, Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    with Threads() as executor:
        yield executor


@pytest.fixture
async def make_log(threads: Threads) -> AsyncIterator[MakeLog]:
    # `threads` is asked for so that it ends after the logs that use it.
    made: list[Recorded] = []

    def make(path: Path | None, **options: Any) -> Recorded:
        made.append(Recorded(path, **options))
        return made[-1]

    yield make
    for recorded in made:
        await recorded.log.aclose(delete=True, linger_s=0)
