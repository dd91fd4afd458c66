"""The samples of the published page run unchanged, but for the host and the keys."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.integration.conftest import DEADLINE_S, Served
from tests.integration.published import CHROMIUM_OPTIONS, sample
from tests.lacking import lacking

PUBLISHED_URL = "wss://embedenv.com/ws/spaces/defoult/"


async def test_python_sample(served: Served, tmp_path: Path) -> None:
    program = tmp_path / "sample.py"
    program.write_text(
        sample(
            "spaces_sample.py.txt",
            **{PUBLISHED_URL: served.spaces_url},
            YOUR_PUBLIC_KEY_PLACEHOLDER=served.public_key,
            YOUR_SECRET_KEY_PLACEHOLDER=served.secret_key,
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(DEADLINE_S):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    key = output.decode().strip().removeprefix("Secure Token obtained successfully: ")
    room, _ = served.gateway.rooms.redeem(key)
    assert not room.ended.is_set(), "the room outlives the connection that opened it"


async def test_browser_sample(served: Served, host: Any) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("Chromium", "chromium")
    from playwright.async_api import async_playwright

    script = sample(
        "spaces_sample.js.txt",
        **{PUBLISHED_URL: served.spaces_url},
        SECURE_TOKEN_FROM_YOUR_BACKEND=host.join_key,
    )
    async with async_playwright() as playwright, asyncio.timeout(60):
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        page = await browser.new_page()
        await page.goto(f"{served.http_url}login")
        async with page.expect_console_message(lambda m: "received from Bridge" in m.text) as joined:
            await page.evaluate(script + "\nnull")
        assert (await (await joined.value).args[1].json_value())["user"] == "developer_collaborator"
        async with page.expect_console_message(lambda m: "terminal-data-end" in m.text) as ended:
            await host.shell("echo seen in the browser")
        assert (await (await ended.value).args[1].json_value())["type"] == "terminal-data-end"
        await browser.close()
