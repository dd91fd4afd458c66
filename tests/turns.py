"""Workers of pytest-xdist run tests side by side, but for those that are marked ``alone``.

Such a test waits until no other test runs, and none begins before it has ended. What it
waits does not count towards its time: the hook is around the one that sets the clock.
"""

from __future__ import annotations

import fcntl
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ALONE = "alone"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{ALONE}: fills or counts what all programs of a machine share.")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    # A pytest that a test starts is no worker: it goes with that test.
    if not hasattr(item.config, "workerinput") or item.config.cache is None:
        return (yield)
    with turn(item.config.cache.mkdir("turns"), is_alone=item.get_closest_marker(ALONE) is not None):
        return (yield)


@contextmanager
def turn(folder: Path, *, is_alone: bool) -> Iterator[None]:
    """Wait for one's turn among the processes that use ``folder``; who waits to be alone lets nobody by."""
    with (folder / "gate").open("w") as gate, (folder / "running").open("w") as running:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
