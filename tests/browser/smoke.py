"""The smoke journey: what works in every place where JupyterLab is put, from a new room to a guest in it.

It is made of clicks and keys, so that it knows nothing of the place but the two pages that it is given.
"""

from __future__ import annotations

from typing import Any

from tests.browser.conftest import COPIED, IS_READY, NEW_ROOM, PANEL
from tests.browser.test_preview import PORT, PROGRAM
from tests.browser.test_terminal import SHOWS, shows, type_line

SAVE = """([path, content]) =>
  jupyterapp.serviceManager.contents.save(path, { type: 'file', format: 'text', content })
"""


async def smoke(owner: Any, guest: Any) -> None:
    """Open a room as ``owner``, work in it, and let ``guest`` in to look; both show JupyterLab's launcher."""
    await _run_cell_in_new_room(owner)
    await _use_terminal(owner)
    await _open_preview(owner)
    await _join(guest, await _link_to_look(owner))
    await _look_at_terminal(owner, guest)


async def _run_cell_in_new_room(page: Any) -> None:
    await page.click(NEW_ROOM)
    await page.locator(".embedenv-Form input").first.press("Enter")
    await page.wait_for_selector(".jp-NotebookPanel")
    await page.wait_for_function(IS_READY)
    await page.click(".jp-Notebook .cm-content")
    await page.keyboard.type("print('cell', 6 * 7)")
    await page.keyboard.press("Shift+Enter")
    await page.wait_for_selector(".jp-OutputArea-output >> text=cell 42")


async def _use_terminal(page: Any) -> None:
    await _show_panel(page)
    await page.click(f'{PANEL} button[aria-label="New Terminal in Room"]')
    await page.wait_for_selector(".embedenv-RoomTerminal .xterm-screen")
    await type_line(page, "echo terminal $((6*7))")
    await shows(page, "terminal 42")


async def _open_preview(page: Any) -> None:
    """Let a program of the room serve a page, and see that its assets, its server and its socket answer."""
    await page.evaluate(SAVE, [f"Room-1:{PROGRAM.name}", PROGRAM.read_text()])
    await type_line(page, f"python3 {PROGRAM.name} {PORT} &")
    await page.click(f".Toastify__toast:has-text('{PORT}') >> text=Open")
    frame = page.frame_locator(".embedenv-Preview iframe")
    await frame.locator("text=PUT module").wait_for()
    await frame.locator("text=from the page chat").wait_for()


async def _link_to_look(page: Any) -> str:
    await _show_panel(page)
    await page.evaluate(COPIED)
    await page.click(f'{PANEL} button[aria-label^="Copy Join Link"]')
    await page.select_option(".embedenv-Form select >> nth=0", "view")
    await page.click('.jp-Dialog button:has-text("Copy link")')
    await page.wait_for_function("() => copied.length > 0")
    copied: list[str] = await page.evaluate("() => copied")
    return copied[0]


async def _join(page: Any, link: str) -> None:
    await page.goto(link)
    await page.click('.jp-Dialog button:has-text("Join")')
    await page.wait_for_selector(f"{PANEL} >> text=you may look")
    assert "embedenv-join" not in page.url


async def _look_at_terminal(owner: Any, guest: Any) -> None:
    await guest.evaluate("() => jupyterapp.commands.execute('embedenv:open-terminal', { name: '1' })")
    await shows(guest, "terminal 42")
    await type_line(guest, "echo guest $((6*7))")
    await shows(guest, "You came in to look")
    await owner.click(".lm-TabBar-tab:has-text('terminal 1')")
    await type_line(owner, "echo owner $((6*7))")
    await shows(guest, "owner 42")
    assert not await owner.evaluate(SHOWS, "guest 42")


async def _show_panel(page: Any) -> None:
    await page.evaluate("() => jupyterapp.commands.execute('embedenv:show-rooms')")
