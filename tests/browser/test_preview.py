"""A page that a program of a room serves, in a tab of JupyterLab that itself stands below a path."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import DEADLINE_MS, ServeLab, Shoot, Visit, execute
from tests.browser.test_files import put

pytestmark = pytest.mark.timeout(240)

PROGRAM = Path(__file__).parents[1] / "integration" / "previews" / "program.py"
PORT = "8123"


def heard_by_previews(page: Any) -> asyncio.Queue[Any]:
    """Collect what WebSockets of previews in a page receive."""
    heard: asyncio.Queue[Any] = asyncio.Queue()

    def follow(socket: Any) -> None:
        if "/embedenv/previews/" in socket.url:
            socket.on("framereceived", heard.put_nowait)

    page.on("websocket", follow)
    return heard


async def started(page: Any) -> str:
    """Start the program in a new room, from a terminal."""
    room = str(await execute(page, "embedenv:new-room", name="Workshop"))
    await put(page, room, "program.py", PROGRAM.read_text())
    await execute(page, "embedenv:open-terminal", room=room)
    await page.click(".embedenv-RoomTerminal .xterm-screen")
    await page.keyboard.type(f"python3 program.py {PORT}\n")
    return room


async def test_preview_with_assets_and_websocket(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab(base_url="/user/ada/")
    page = await visit(lab)
    heard = heard_by_previews(page)
    await started(page)
    await page.click(f".Toastify__toast:has-text('{PORT}') >> text=Open")
    frame = page.frame_locator(".embedenv-Preview iframe")
    await frame.locator("text=PUT module").wait_for()  # a script of the page, and what it asks its server
    await frame.locator("text=from the page chat").wait_for()  # a WebSocket
    colour = await frame.locator("#title").evaluate("title => getComputedStyle(title).color")
    assert colour == "rgb(1, 2, 3)"  # a style sheet
    iframe = page.locator(".embedenv-Preview iframe")
    assert await iframe.get_attribute("title") == f"Workshop: port {PORT}"
    assert "allow-same-origin" not in str(await iframe.get_attribute("sandbox"))
    address = str(await iframe.get_attribute("src"))
    assert address.startswith(f"{lab.url}embedenv/previews/")
    await shoot(page, "preview")
    assert await heard.get() == "from the page"

    await page.click(
        ".embedenv-Preview .jp-Toolbar [title='Load the page anew'], [data-command='embedenv:reload-preview']"
    )
    # A sandboxed frame that is loaded anew is another process, so that nothing can wait in it meanwhile.
    async with asyncio.timeout(DEADLINE_MS / 1000):
        assert await heard.get() == "from the page"


async def test_preview_is_back_after_a_reload(serve_lab: ServeLab, visit: Visit) -> None:
    lab = serve_lab(base_url="/user/ada/")
    page = await visit(lab)
    room = await started(page)
    await page.wait_for_selector(f".Toastify__toast:has-text('{PORT}')")
    async with page.expect_request(has_kept_preview):
        await execute(page, "embedenv:open-preview", room=room, port=PORT)
    before = await page.get_attribute(".embedenv-Preview iframe", "src")

    await page.goto(f"{lab.url}lab")
    frame = page.frame_locator(".embedenv-Preview iframe")
    await frame.locator("text=PUT module").wait_for()
    await frame.locator("text=from the page chat").wait_for()
    iframe = page.locator(".embedenv-Preview iframe")
    assert await iframe.get_attribute("src") != before, "an address of one tab is not kept anywhere"
    assert await iframe.get_attribute("title") == f"Workshop: port {PORT}"


def has_kept_preview(request: Any) -> bool:
    """Whether the page keeps a layout that has a preview in it."""
    return request.method == "PUT" and "/api/workspaces/" in request.url and PORT in str(request.post_data)


async def test_link_is_shared_for_a_time_and_taken_back(serve_lab: ServeLab, visit: Visit) -> None:
    page = await visit(serve_lab(base_url="/user/ada/"))
    heard = heard_by_previews(page)
    room = await started(page)
    await page.wait_for_selector(f".Toastify__toast:has-text('{PORT}')")
    await execute(page, "embedenv:open-preview", room=room, port=PORT)
    assert await heard.get() == "from the page"
    await page.evaluate("() => { window.copied = []; }")
    await page.evaluate(
        """() => document.addEventListener('copy', event => {
          window.copied.push(event.clipboardData.getData('text'));
        })"""
    )
    await page.evaluate("() => { void jupyterapp.commands.execute('embedenv:share-preview'); }")
    await page.click(".jp-Dialog .jp-mod-accept")
    await page.wait_for_function("() => window.copied.length > 0")
    link = (await page.evaluate("() => window.copied"))[0]

    context = await page.context.browser.new_context()  # somebody without a login
    try:
        guest = await context.new_page()
        await guest.goto(link)
        await guest.wait_for_selector("text=PUT module")
        await execute(page, "embedenv:stop-sharing-preview")
        answer = await guest.goto(link)
        assert answer is not None and answer.status == 410
    finally:
        await context.close()
    async with asyncio.timeout(DEADLINE_MS / 1000):
        assert await heard.get() == "from the page", "the tab has an address of its own"
