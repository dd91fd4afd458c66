"""The Embedenv kernel in JupyterLab, in a real browser: what only a front end can show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.conftest import IS_READY, ServeLab, Visit

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


def notebook() -> dict[str, Any]:
    empty: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [{**empty, "id": f"cell-{number}", "source": code} for number, code in enumerate(CELLS)]
    spec = {"name": "embedenv", "display_name": "Embedenv", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": cells}


@pytest.fixture
async def page(serve_lab: ServeLab, visit: Visit) -> Any:
    """The notebook, open in Chromium, with its kernel idle."""
    lab = serve_lab()
    (lab.folder / "demo.ipynb").write_text(json.dumps(notebook()))
    page = await visit(lab, "lab/tree/demo.ipynb?reset")
    await page.set_viewport_size({"width": 1200, "height": 1400})
    await page.wait_for_selector(".jp-Notebook")
    await page.wait_for_function(IS_READY)
    return page


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
