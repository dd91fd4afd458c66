"""Who does what in a room: by each cell, in terminals, and wherever a member goes who is followed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import PANEL, Lab, ServeLab, Shoot, Visit, execute
from tests.browser.test_cuts import run_in_first_cell
from tests.browser.test_files import put
from tests.browser.test_terminal import type_line

pytestmark = pytest.mark.timeout(240)

ADA = {"name": "Ada", "color": "#e11d48"}
BOB = {"name": "Bob", "color": "#2563eb"}
PORT = "8137"

IN_FRONT = "label => jupyterapp.shell.currentWidget?.title.label.includes(label)"


async def has_in_front(page: Any, label: str) -> None:
    await page.wait_for_function(IN_FRONT, arg=label)


async def two_members(lab: Lab, visit: Visit) -> tuple[Any, Any, str]:
    ada = await visit(lab, "lab/workspaces/ada?reset", **ADA)
    room = await execute(ada, "embedenv:new-room", name="Workshop")
    bob = await visit(lab, "lab/workspaces/bob?reset", **BOB)
    await bob.wait_for_selector('.jp-LauncherCard[title*="Workshop"]')
    await execute(bob, "embedenv:enter-room", room=room)
    for page in (ada, bob):
        await execute(page, "embedenv:show-rooms")
        await page.wait_for_selector(f"{PANEL} .embedenv-Members li >> nth=1")
    return ada, bob, room


async def run_cell(page: Any, source: str) -> None:
    """Write a cell anew, and run it."""
    await page.click(".jp-NotebookPanel .jp-Cell .cm-content")
    await page.keyboard.press("Control+A")
    await page.keyboard.insert_text(source)
    await page.keyboard.press("Control+Enter")


async def test_members_see_who_does_what_and_follow_each_other(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot
) -> None:
    ada, bob, room = await two_members(serve_lab(), visit)
    await cells_and_terminals_say_who(ada, bob, room, shoot)
    await a_member_is_followed_until_somebody_ends_that(ada, bob, room, shoot)


async def cells_and_terminals_say_who(ada: Any, bob: Any, room: str, shoot: Shoot) -> None:
    await execute(ada, "embedenv:new-notebook", room=room)
    await run_in_first_cell(ada, "print(6 * 7)")
    await ada.wait_for_selector(".embedenv-CellAuthor >> text=Run by you")
    path = await ada.evaluate(
        """async () => {
          const { context } = jupyterapp.shell.currentWidget;
          await context.save();
          return context.path;
        }"""
    )

    await execute(bob, "docmanager:open", path=path)
    await bob.wait_for_selector(".embedenv-CellAuthor >> text=Run by Ada")
    await run_cell(bob, "print(6 * 6)")
    await bob.wait_for_selector(".embedenv-CellAuthor >> text=Run by you")
    await ada.wait_for_selector(".embedenv-CellAuthor >> text=Run by Bob")
    dot = ada.locator(".embedenv-CellAuthor .embedenv-Member-color")
    assert await dot.evaluate("node => getComputedStyle(node).backgroundColor") == "rgb(37, 99, 235)"
    await shoot(ada, "cell-authors")
    await run_cell(ada, "import time; time.sleep(0.5); print(6 * 5)")
    await bob.wait_for_selector(".embedenv-CellAuthor >> text=Run by Ada")

    await execute(ada, "embedenv:open-terminal", room=room)
    await type_line(ada, "echo $((6*7))")
    await execute(bob, "embedenv:open-terminal", room=room, name="1")
    await bob.wait_for_selector(".embedenv-RoomTerminal >> text=Ada typed last")
    await type_line(bob, "echo $((6*6))")
    await ada.wait_for_selector(".embedenv-RoomTerminal >> text=Bob typed last")
    await bob.wait_for_selector(".embedenv-RoomTerminal >> text=You typed last")
    await shoot(bob, "terminal-typist")

    await bob.goto(bob.url.replace("?reset", ""))
    await bob.wait_for_selector(".embedenv-CellAuthor >> text=Run by Ada", state="attached")


async def a_member_is_followed_until_somebody_ends_that(ada: Any, bob: Any, room: str, shoot: Shoot) -> None:
    await put(ada, room, "main.py", "print('here')\n")
    drive = "Room-Workshop"
    await bob.click(f'{PANEL} .embedenv-Members li:has-text("Ada") >> text="follow"')
    status = bob.locator('.embedenv-Following >> text="Following Ada"')
    await status.wait_for()

    await execute(ada, "docmanager:open", path=f"{drive}:main.py")
    await has_in_front(bob, "main.py")
    await shoot(bob, "following")
    await ada.click(".lm-TabBar-tab:has-text('Untitled')")
    await has_in_front(bob, "Untitled")
    await execute(ada, "embedenv:open-terminal", room=room, name="1")
    await has_in_front(bob, "terminal 1")
    await type_line(ada, f"python3 -m http.server {PORT}")
    await ada.click(f".Toastify__toast:has-text('{PORT}') >> text=Open")
    await has_in_front(bob, f"port {PORT}")

    await bob.keyboard.press("Escape")
    await status.wait_for(state="detached")
    await execute(ada, "docmanager:open", path=f"{drive}:main.py")
    await bob.wait_for_selector(f'{PANEL} .embedenv-Members li:has-text("Ada") >> text=in main.py')
    assert await bob.evaluate(IN_FRONT, f"port {PORT}")

    await execute(bob, "embedenv:follow-member", room=room)
    await has_in_front(bob, "main.py")
    await bob.click(".jp-FileEditor .cm-content")
    await status.wait_for(state="detached")

    await execute(bob, "embedenv:follow-member", room=room)
    await status.wait_for()
    await ada.close()
    await status.wait_for(state="detached")
    await bob.wait_for_selector(".jp-toast-message >> text=You follow Ada no more", state="attached")
