"""axe-core finds nothing in our widgets that keeps people out, in any theme of JupyterLab."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.axe import Examination
from tests.browser.conftest import PANEL, ServeLab, Shoot, Visit, execute
from tests.browser.test_files import put
from tests.browser.test_rooms import choose, new_room

pytestmark = pytest.mark.timeout(240)

CARDS = '.jp-LauncherCard[data-category="Embedenv"]'
MEASURED = f"{PANEL} [role=meter][aria-label=Memory] polyline"

RUN = """async ([room, code]) => {
  const { kernels } = jupyterapp.serviceManager;
  const kernel = await kernels.startNew({ name: `embedenv-room-${room}` });
  await kernel.requestExecute({ code }).done;
}"""


async def close_dialog(page: Any) -> None:
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".jp-Dialog", state="detached")


async def test_rooms_and_their_dialogs(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab()
    page = await visit(lab)
    examination = Examination(page, shoot)
    await page.click(f'{CARDS} >> text="New Room"')
    await page.wait_for_selector(".embedenv-Form")
    await examination.look("new-room", ".embedenv-Form")
    await close_dialog(page)
    await new_room(page)
    await page.click(f'{PANEL} button[aria-label^="Copy Join Link"]')
    await page.wait_for_selector(".embedenv-Form")
    await examination.look("share", ".embedenv-Form")
    await page.click('.jp-Dialog button:has-text("Copy link")')
    await page.wait_for_selector(".jp-Dialog", state="detached")
    link = await page.evaluate("navigator.clipboard.readText()")
    guest = await visit(lab, "lab/workspaces/guest?reset", fragment=f"#{link.split('#')[1]}")
    await guest.click('.jp-Dialog button:has-text("Join")')
    await page.wait_for_selector(f"{PANEL} .embedenv-Members button.embedenv-link")
    await page.wait_for_selector(MEASURED, state="attached")
    await page.wait_for_selector(f"{CARDS} >> text=Room 1")
    await examination.look("panel")
    await examination.look("launcher", CARDS)
    await choose(page, "Join Keys…")
    await page.wait_for_selector(".embedenv-Keys li")
    await examination.look("keys", ".embedenv-Keys")
    await close_dialog(page)
    await page.click(f'{CARDS} >> text="Join Room"')
    await page.wait_for_selector(".jp-Dialog input")
    await examination.look("join", ".jp-Dialog")
    await close_dialog(page)
    await choose(page, "Stop Room…")
    await page.click(".jp-Dialog button.jp-mod-warn")
    await page.click(f'{PANEL} .embedenv-Ended button:has-text("Room 1")')
    await page.wait_for_selector(".embedenv-PostMortem td")
    await examination.look("post-mortem")
    assert examination.problems == []


async def test_files_terminal_and_preview(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    page = await visit(serve_lab())
    examination = Examination(page, shoot)
    room = str(await execute(page, "embedenv:new-room", name="Workshop"))
    await put(page, room, "main.py", "print('old')\n")
    await execute(page, "embedenv:open-files", room=room)
    await execute(page, "embedenv:open-terminal", room=room)
    await page.click(".embedenv-RoomTerminal .xterm-screen")
    await page.keyboard.type("python3 -m http.server 8123\n")
    await page.evaluate(RUN, [room, "open('table.csv', 'w').close()"])
    await page.wait_for_selector(".embedenv-ChangedFiles-file:has-text('table.csv')")
    await examination.look("terminal")
    await page.click(".Toastify__toast:has-text('8123') >> text=Open")
    await page.frame_locator(".embedenv-Preview iframe").locator("text=table.csv").wait_for()
    await examination.look("preview", ".embedenv-Preview")
    assert examination.problems == []


async def test_tools(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    page = await visit(serve_lab())
    examination = Examination(page, shoot)
    await execute(page, "embedenv:new-room", name="Workshop")
    await page.click(".embedenv-Status button")
    await page.click('.jp-Toolbar-item:has-text("Measure the Engine")')
    await page.locator('.embedenv-LinkCard[data-link="engine"] polyline').wait_for(state="attached")
    await examination.look("latency-monitor")
    await execute(page, "embedenv:open-wire-inspector")
    await page.locator(".embedenv-Composer textarea").press("Shift+Enter")
    await page.wait_for_selector(".embedenv-Frame.embedenv-mod-in >> text=execution_time")
    await page.locator(".embedenv-Frame.embedenv-mod-out > button").first.click()
    await page.wait_for_selector(".embedenv-Secret")
    await examination.look("wire-inspector", ".embedenv-Inspector")
    await execute(page, "embedenv:open-language-board")
    row = page.locator('tr[data-language="python"]')
    await row.locator('button:has-text("Test")').click()
    await row.locator(".embedenv-mod-good").wait_for()
    await examination.look("language-board", ".embedenv-Languages")
    assert examination.problems == []
