"""A preview in a real browser: a page that knows nothing of the path that it is shown at."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.previews.conftest import Shown
from tests.integration.published import CHROMIUM_OPTIONS
from tests.lacking import lacking

DEADLINE_MS = 60_000


@pytest.fixture
async def page(shown: Shown) -> AsyncIterator[Any]:
    """The preview, open in Chromium, in a browser that has a login at the server."""
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("Chromium", "chromium")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright, asyncio.timeout(110):
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        context = await browser.new_context()
        await context.add_cookies(
            [
                {
                    "name": "login",
                    "value": "secret",
                    "url": f"http://{shown.served.host}{shown.served.base_url}",
                }
            ]
        )
        page = await context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.on("console", lambda message: print("console:", message.text))
        page.on("pageerror", lambda error: print("error:", error))
        await page.goto(f"http://{shown.served.host}{shown.path}")
        yield page
        await browser.close()


async def test_page_with_root_relative_everything(shown: Shown, page: Any) -> None:
    assert "%40" in shown.path, "the server itself stands below a path"
    await page.wait_for_selector("text=PUT module")  # fetch, from a module that imports another one
    await page.wait_for_selector("text=from the page chat")  # a WebSocket with its subprotocol
    await page.wait_for_selector("text=1 0")  # storage in memory, and no cookie of the origin
    colour = await page.evaluate("getComputedStyle(document.getElementById('title')).color")
    assert colour == "rgb(1, 2, 3)"
    assert await page.evaluate("window.origin") == "null"

    asked = json.loads(await page.evaluate("fetch('/api/again').then(answer => answer.text())"))
    assert asked["uri"] == "/api/again" and "secret" not in json.dumps(asked["headers"])
    own = f"http://localhost:{shown.previews[0]['port']}/api/own"
    assert (
        json.loads(await page.evaluate(f"fetch('{own}').then(answer => answer.text())"))["uri"] == "/api/own"
    )

    await page.click("#made-link")
    await page.wait_for_selector("text=next page")
    assert page.url.endswith(f"{shown.path}next")


async def test_page_reads_nothing_of_the_server(shown: Shown, page: Any) -> None:
    await page.wait_for_selector("text=PUT module")
    url = f"http://{shown.served.host}{shown.served.base_url}api/status"
    # Also as a page does that works around our script: with a function of a new window, which has none.
    script = f"""async () => {{
      const frame = document.createElement('iframe');
      frame.srcdoc = '<p>';
      document.body.append(frame);
      await new Promise(loaded => {{ frame.onload = loaded; }});
      let clean;
      try {{ clean = frame.contentWindow.fetch; }} catch {{ clean = null; }}
      const answers = [];
      for (const read of [clean, fetch].filter(Boolean)) {{
        try {{ answers.push(await (await read('{url}', {{credentials: 'include'}})).text()); }}
        catch (error) {{ answers.push(error.name); }}
      }}
      return answers;
    }}"""
    for answer in await page.evaluate(script):
        assert "connections" not in answer and "started" not in answer


async def test_page_comes_by_itself_once_the_program_listens(shown: Shown, page: Any) -> None:
    shown.path = await shown.make(port=5997)
    await page.goto(f"http://{shown.served.host}{shown.path}")
    await page.wait_for_selector("text=Nothing listens on port 5997")
    await shown.room.sandbox.files.write("site/index.html", b"<h1>at last</h1>")
    process = await shown.room.sandbox.spawn(["python3", "-m", "http.server", "-d", "site", "5997"])
    await page.wait_for_selector("text=at last")
    process.close()
