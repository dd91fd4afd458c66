"""Rooms in Notebook 7, whose pages have one document each and no launcher."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import (
    DEADLINE_MS,
    IS_READY,
    IS_STARTED,
    PANEL,
    Lab,
    ServeLab,
    Shoot,
    Visit,
    execute,
)

pytestmark = pytest.mark.timeout(240)

EXPOSED = "--JupyterNotebookApp.expose_app_in_browser=True"
RUN_CELL = "() => { void jupyterapp.commands.execute('notebook:run-cell'); }"


@pytest.fixture
def lab(serve_lab: ServeLab) -> Lab:
    """Serve what JupyterLab's server serves beside it, where Notebook is installed."""
    return serve_lab(EXPOSED)


async def opened_by(page: Any, command: str, **args: str) -> Any:
    """Run a command that opens a document, which has a page of its own here."""
    async with page.context.expect_page() as opening:
        await page.evaluate(
            "([command, args]) => { void jupyterapp.commands.execute(command, args); }", [command, args]
        )
    opened = await opening.value
    opened.set_default_timeout(DEADLINE_MS)
    await opened.wait_for_function(IS_STARTED)
    return opened


async def run_cell(notebook: Any, code: str, output: str) -> None:
    """Run code in the first cell, and wait for its output."""
    await notebook.wait_for_selector(".jp-Notebook")
    await notebook.wait_for_function(IS_READY)
    await notebook.click(".jp-Cell .cm-content")
    await notebook.keyboard.type(code)
    await notebook.keyboard.press("Shift+Enter")
    await notebook.wait_for_selector(f".jp-OutputArea-output:has-text('{output}')")


async def test_room_is_made_and_lived_in(lab: Lab, visit: Visit, shoot: Shoot) -> None:
    (lab.folder / "main.py").write_text("print('here')\n")
    page = await visit(lab, "tree")
    await page.wait_for_selector(".jp-FileBrowser >> text=main.py")
    room = await execute(page, "embedenv:new-room", name="Workshop")
    await page.wait_for_selector(f"{PANEL} [data-room='{room}'] >> text=Ready")
    await shoot(page, "notebook7-tree")

    notebook = await opened_by(page, "embedenv:new-notebook", room=room)
    await run_cell(notebook, "import os; print(os.getcwd(), 6 * 7)", "/home/user 42")
    await execute(notebook, "embedenv:show-rooms")
    await notebook.wait_for_selector(f"{PANEL} [data-room='{room}'] >> text=1 kernel")

    await execute(notebook, "embedenv:open-terminal", room=room)
    await notebook.wait_for_selector("#jp-down-stack .embedenv-RoomTerminal .xterm-screen")

    bob = await visit(lab, "tree", name="Bob", color="#0000ff")
    await execute(bob, "embedenv:show-rooms")
    await bob.wait_for_selector(f"{PANEL} [data-room='{room}']")
    await execute(bob, "embedenv:enter-room", room=room)
    await notebook.wait_for_selector(f"{PANEL} [data-room='{room}'] >> text=Bob")
    await notebook.wait_for_selector(".embedenv-CellAuthor >> text=Run by you")
    await shoot(notebook, "notebook7-notebook")

    await notebook.evaluate(
        "room => { void jupyterapp.commands.execute('embedenv:leave-room', { room }); }", room
    )
    await notebook.click('.jp-Dialog button:has-text("Leave")')
    await notebook.wait_for_selector(".embedenv-RoomTerminal", state="detached")
    await notebook.wait_for_selector(f"{PANEL} [data-room='{room}'] >> text=(you)", state="detached")


async def test_kernel_is_among_those_of_new(lab: Lab, visit: Visit) -> None:
    page = await visit(lab, "tree")
    await page.click(".jp-FileBrowser-toolbar .lm-MenuBar-item >> text=New")
    async with page.context.expect_page() as opening:
        await page.click(".lm-Menu-itemLabel >> text=Embedenv")
    notebook = await opening.value
    notebook.set_default_timeout(DEADLINE_MS)
    await run_cell(notebook, "print(6 * 7)", "42")
    assert await notebook.locator(".jp-Toolbar-kernelName").first.inner_text() == "Embedenv"
