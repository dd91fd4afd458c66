"""JupyterLab with the front end of this checkout, and Chromium in front of it."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartProcess
from tests.integration.published import CHROMIUM_OPTIONS
from tests.lacking import lacking
from tools import frontend

TOKEN = "tell-nobody"
DEADLINE_MS = 60_000

OpenPage = Callable[..., Awaitable[Any]]


@pytest.fixture
def lab(start_process: StartProcess, tmp_path: Path) -> str:
    """Start JupyterLab under a base URL of its own; returns its address."""
    frontend.build()
    share = tmp_path / "share" / "jupyter"
    (share / "labextensions").mkdir(parents=True)
    (share / "labextensions" / "embedenv-jupyter").symlink_to(frontend.BUILT)
    shutil.copytree(frontend.ROOT / "jupyter-config" / "kernels", share / "kernels")
    (tmp_path / "work").mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    env |= {"HOME": str(tmp_path), "JUPYTER_PATH": str(share), "PYTHONPATH": str(frontend.ROOT)}
    process = start_process(
        sys.executable, str(frontend.ROOT / "tools" / "run_lab.py"), f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.base_url=/user/ada/", "--expose-app-in-browser", "--LabApp.extension_manager=readonly",
        f"--ServerApp.root_dir={tmp_path / 'work'}", f"--EmbedenvApp.data_dir={tmp_path / 'data'}",
        env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"(http://\S+:\d+/user/ada)/lab", line):
            return match[1]
    raise AssertionError("JupyterLab did not start")


@pytest.fixture
async def open_page(lab: str) -> AsyncIterator[OpenPage]:
    """Open pages of JupyterLab, each in a browser profile of its own; an uncaught error fails the test."""
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("Chromium", "chromium")
    from playwright.async_api import async_playwright

    errors: list[str] = []

    async with async_playwright() as playwright, asyncio.timeout(220):
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)

        async def opened(fragment: str = "") -> Any:
            context = await browser.new_context(viewport={"width": 1300, "height": 900})
            await context.grant_permissions(["clipboard-read", "clipboard-write"])
            page = await context.new_page()
            page.set_default_timeout(DEADLINE_MS)
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(f"{lab}/lab?reset&token={TOKEN}{fragment}")
            await page.wait_for_selector('.jp-LauncherCard[data-category="Embedenv"]')
            return page

        yield opened
        await browser.close()
    assert errors == []
