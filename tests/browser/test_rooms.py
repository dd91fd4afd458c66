"""Rooms in JupyterLab, in a real browser: from the launcher to a running cell, and in by a link."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import IS_READY, NEW_ROOM, PANEL, ServeLab, Visit

# Chromium and JupyterLab start within it, on machines that do other things as well.
pytestmark = pytest.mark.timeout(240)

BASE_URL = "/user/ada/"


async def new_room(page: Any, start_with: str = "nothing") -> None:
    """Open a room by the launcher; its name stands as it was proposed."""
    await page.click(NEW_ROOM)
    await page.select_option(".embedenv-Form select", start_with)
    await page.click('.jp-Dialog button:has-text("Open")')
    await page.wait_for_selector(".jp-Dialog", state="detached")


async def choose(page: Any, action: str) -> None:
    """Choose an action of the only room."""
    await page.click(f"{PANEL} .embedenv-Room button[aria-haspopup=menu]")
    await page.click(f'.lm-Menu-itemLabel >> text="{action}"')


async def test_keyboard_from_the_launcher_to_a_running_cell(serve_lab: ServeLab, visit: Visit) -> None:
    page = await visit(serve_lab(base_url=BASE_URL))
    card = page.locator('.jp-LauncherCard[data-category="Embedenv"]').first
    await card.focus()
    await page.keyboard.press("Enter")
    name = page.locator(".embedenv-Form input").first
    await name.wait_for()
    assert await name.input_value() == "Room 1"
    assert await name.evaluate("node => node === document.activeElement")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".jp-NotebookPanel")
    await page.wait_for_function(IS_READY)
    assert await page.locator(".jp-Toolbar-kernelName").first.inner_text() == "Embedenv: Room 1"
    await page.keyboard.type("import os; print(os.getcwd(), 6 * 7)")
    await page.keyboard.press("Shift+Enter")
    await page.wait_for_selector(".jp-OutputArea-output >> text=42")
    assert ".ipynb" not in await page.inner_text(".jp-OutputArea-output")
    await page.evaluate("() => { jupyterapp.commands.execute('embedenv:show-rooms'); }")
    await page.wait_for_selector(f"{PANEL} >> text=1 kernel")
    meter = page.locator(f"{PANEL} [role=meter][aria-label=Memory]")
    await page.wait_for_function(
        "node => / of \\d/.test(node.ariaValueText) && Number(node.ariaValueNow) > 0",
        arg=await meter.element_handle(),
    )
    await page.wait_for_selector('.jp-LauncherCard >> text="Room 1"', state="attached")


async def test_a_link_lets_in_as_what_it_says_until_it_is_revoked(serve_lab: ServeLab, visit: Visit) -> None:
    lab = serve_lab(base_url=BASE_URL)
    owner = await visit(lab)
    await new_room(owner)
    await owner.click(f'{PANEL} button[aria-label^="Copy Join Link"]')
    await owner.select_option(".embedenv-Form select >> nth=0", "view")
    await owner.click('.jp-Dialog button:has-text("Copy link")')
    await owner.wait_for_selector(".jp-Dialog", state="detached")
    link = await owner.evaluate("navigator.clipboard.readText()")
    address, fragment = link.split("#")
    assert address.endswith("/user/ada/lab")
    assert fragment.startswith("embedenv-join=")

    guest = await visit(lab, fragment=f"#{fragment}")
    await guest.click('.jp-Dialog button:has-text("Join")')
    await guest.wait_for_selector(f"{PANEL} .embedenv-Members li >> text=(you)")
    assert "embedenv-join" not in guest.url
    await guest.wait_for_selector(f"{PANEL} >> text=you may look")
    assert await guest.locator(f'{PANEL} button[aria-label="New Notebook in Room"]').count() == 0
    await owner.wait_for_selector(f"{PANEL} .embedenv-Members >> text=may look")

    await choose(owner, "Join Keys…")
    await owner.click('.embedenv-Keys li:has-text("may look") button[aria-label^="Revoke"]')
    await guest.wait_for_selector("text=your join key was revoked")
    assert await owner.locator(".embedenv-Keys li").count() == 1
    await owner.keyboard.press("Escape")
    await owner.wait_for_selector(".jp-Dialog", state="detached")


async def test_a_room_is_stopped_and_shows_how_it_ended(serve_lab: ServeLab, visit: Visit) -> None:
    page = await visit(serve_lab(base_url=BASE_URL))
    await new_room(page)
    await page.wait_for_selector(f"{PANEL} [role=meter]")
    await choose(page, "Pause Room")
    await page.wait_for_selector(f'{PANEL} .embedenv-State >> text="Paused"')
    await choose(page, "Resume Room")
    await page.wait_for_selector(f'{PANEL} .embedenv-State >> text="Ready"')
    await choose(page, "Stop Room…")
    await page.click(".jp-Dialog button.jp-mod-warn")
    await page.click(f'{PANEL} .embedenv-Ended button:has-text("Room 1")')
    await page.wait_for_selector(".embedenv-PostMortem >> text=Most memory")
    assert "stopped" in await page.inner_text(".embedenv-PostMortem")
    assert await page.locator(f"{PANEL} .embedenv-Room").count() == 0
