"""Rooms in Notebook 7, whose pages have one document each and no launcher."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import DEADLINE_MS, TOKEN, Lab, ServeLab, Shoot, Visit, execute
from tests.browser.test_notebook import IS_READY

pytestmark = pytest.mark.timeout(240)

EXPOSED = "--JupyterNotebookApp.expose_app_in_browser=True"

OURS_IN_PALETTE = """() => [...jupyterapp.commands.listCommands()]
  .filter(id => id.startsWith('embedenv:') && jupyterapp.commands.isVisible(id))"""


def complaints(page: Any) -> list[str]:
    """Collect what a page writes to its console as an error."""
    told: list[str] = []
    page.on("console", lambda message: message.type == "error" and told.append(message.text))
    return told


async def test_pages_of_notebook_load_without_an_error(serve_lab: ServeLab, visit: Visit) -> None:
    lab = serve_lab(EXPOSED)
    (lab.folder / "main.py").write_text("print('here')\n")
    page = await visit(lab, "tree")
    told = complaints(page)
    for path, seen in (("tree", ".jp-FileBrowser >> text=main.py"), ("edit/main.py", ".jp-FileEditor")):
        await page.goto(f"{lab.url}{path}")
        await page.wait_for_selector(seen)
        print(told, await page.evaluate(OURS_IN_PALETTE))
    assert told == []


async def test_cell_runs_in_a_room(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab(EXPOSED)
    page = await visit(lab, "tree")
    room = str(await execute(page, "embedenv:new-room", name="Workshop"))
    told = complaints(page)
    async with page.context.expect_page() as opened:
        await execute(page, "embedenv:new-notebook", room=room)
    notebook = await opened.value
    notebook.set_default_timeout(DEADLINE_MS)
    await notebook.wait_for_selector(".jp-Notebook")
    await notebook.wait_for_function(IS_READY)
    await shoot(notebook, "notebook7")
    print(told, await notebook.evaluate(OURS_IN_PALETTE))
    assert told == []
