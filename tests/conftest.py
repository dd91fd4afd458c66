"""What all tests share: Jupyter's own fixtures, and proof that a test cleans up behind itself."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings
from traitlets.config import Config

pytest_plugins = ["pytest_jupyter.jupyter_server", "tests.async_fixtures", "tests.turns"]

# How long an example takes says how busy the machine is; speed is for benchmarks/.
settings.register_profile("embedenv", deadline=None)
settings.load_profile("embedenv")

StartProcess = Callable[..., subprocess.Popen[Any]]


@pytest.fixture
def jp_server_config() -> Config:
    """Enable the extension in every server that pytest-jupyter starts."""
    return Config({"ServerApp": {"jpserver_extensions": {"embedenv_jupyter": True}}})


@pytest.fixture(scope="session", autouse=True)
def _own_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep every test, and every process that it starts, away from the user's own keys and rooms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMBEDENV_DATA_DIR", str(tmp_path_factory.mktemp("embedenv-data")))
        yield


@pytest.fixture(autouse=True)
def _no_stray_task(
    request: pytest.FixtureRequest, jp_asyncio_loop: asyncio.AbstractEventLoop
) -> Iterator[None]:
    """Fail a test that ends while a task of its loop still runs: every task has an owner.

    A test with pytest-jupyter's server is let off: that fixture ends after this one.
    """
    yield
    if jp_asyncio_loop.is_closed() or "jp_configurable_serverapp" in request.fixturenames:
        return
    # What was closed or cancelled in the test's last step may need one turn of the loop to end.
    jp_asyncio_loop.run_until_complete(asyncio.sleep(0))
    stray = [task for task in asyncio.all_tasks(jp_asyncio_loop) if not task.done()]
    if stray:
        pytest.fail("tasks outlive the test: " + "; ".join(map(repr, stray)), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _no_stray_process() -> Iterator[None]:
    """Fail the run when a process that a test started still runs at its end, or was never waited for."""
    before = {child.pid for child in psutil.Process().children()}
    yield
    stray = [child for child in psutil.Process().children() if child.pid not in before]
    if stray:
        pytest.fail("processes outlive the tests: " + "; ".join(map(repr, stray)), pytrace=False)


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """Start real processes (the arguments are Popen's); whatever still runs is killed after the test."""
    started: list[subprocess.Popen[Any]] = []

    def start(*argv: str | Path, **options: Any) -> subprocess.Popen[Any]:
        process: subprocess.Popen[Any] = subprocess.Popen(argv, **options)
        started.append(process)
        return process

    yield start
    for process in reversed(started):
        # Leaving the context closes the pipes and waits.
        with process:
            process.kill()
