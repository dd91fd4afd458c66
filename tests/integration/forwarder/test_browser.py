"""The Embedenv kernel in JupyterLab, in a real browser: what only a front end can show."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartProcess
from tests.integration.published import CHROMIUM_OPTIONS
from tests.lacking import lacking

ROOT = Path(__file__).parents[3]
TOKEN = "tell-nobody"
DEADLINE_MS = 60_000

SLIDER = """import ipywidgets as w
slider, out = w.IntSlider(value=3, max=9), w.Output()
slider.observe(lambda change: out.append_stdout(f"moved to {change['new']}\\n"), 'value')
w.VBox([slider, out])"""

CELLS = (
    "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2]);",
    SLIDER,
    "from tqdm.auto import tqdm\nfor _ in tqdm(range(30)): pass",
    "name = input('Your name? ')\nprint('Hello', name)",
)

IS_READY = """() => {
  const session = jupyterapp.shell.currentWidget?.sessionContext;
  const kernel = session?.session?.kernel;
  return session?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def notebook() -> dict[str, Any]:
    empty: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [{**empty, "id": f"cell-{number}", "source": code} for number, code in enumerate(CELLS)]
    spec = {"name": "embedenv", "display_name": "Embedenv", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": cells}


@pytest.fixture
def lab(start_process: StartProcess, tmp_path: Path) -> str:
    """JupyterLab with a notebook; returns its address."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "demo.ipynb").write_text(json.dumps(notebook()))
    env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    kernels = tmp_path / "share" / "jupyter" / "kernels"
    shutil.copytree(ROOT / "jupyter-config" / "kernels", kernels)  # an editable install may have an older one
    env |= {"HOME": str(tmp_path), "JUPYTER_PATH": str(kernels.parent), "PYTHONPATH": str(ROOT)}
    process = start_process(
        sys.executable, str(ROOT / "tools" / "run_lab.py"), f"--IdentityProvider.token={TOKEN}",
        "--expose-app-in-browser", "--LabApp.extension_manager=readonly",
        f"--ServerApp.root_dir={tmp_path / 'work'}", f"--EmbedenvApp.data_dir={tmp_path / 'data'}",
        env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"(http://\S+:\d+)/lab", line):
            return match[1]
    raise AssertionError("JupyterLab did not start")


@pytest.fixture
async def page(lab: str) -> AsyncIterator[Any]:
    """The notebook, open in Chromium, with its kernel idle."""
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("Chromium", "chromium")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright, asyncio.timeout(110):
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        page = await browser.new_page(viewport={"width": 1200, "height": 1400})
        page.set_default_timeout(DEADLINE_MS)
        await page.goto(f"{lab}/lab/tree/demo.ipynb?reset&token={TOKEN}")
        await page.wait_for_selector(".jp-Notebook")
        await page.wait_for_function(IS_READY)
        yield page
        await browser.close()


async def test_notebook_in_jupyterlab(page: Any) -> None:
    await page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
    question = page.locator(".jp-Stdin-input")
    await question.wait_for()
    await question.fill("Ada")
    await question.press("Enter")
    await page.wait_for_selector("text=Hello Ada")
    await page.wait_for_selector(".jp-RenderedImage img")
    await page.wait_for_selector("text=30/30")
    handle = page.locator(".noUi-handle").first
    await handle.focus()
    await handle.press("ArrowRight")
    await page.wait_for_selector("text=moved to 4")
    assert await page.locator(".jp-Toolbar-kernelName").first.inner_text() == "Embedenv"
