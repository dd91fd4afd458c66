"""Everything that the published page shows runs unchanged, but for the host and the key."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path

from tests.integration.conftest import DEADLINE_S, Served
from tests.integration.published import CHROMIUM_OPTIONS, sample
from tests.lacking import lacking

PUBLISHED_URL = "wss://embedenv.com/ws"


async def output_of(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_python_sample(engine_url: str, api_key: str, tmp_path: Path) -> None:
    program = tmp_path / "sample.py"
    program.write_text(sample("engine_sample.py.txt", **{PUBLISHED_URL: engine_url, "your-api-key": api_key}))
    first, blank, time = (await output_of(sys.executable, str(program))).splitlines()
    assert (first, blank) == ("stdout: Hello from WebSocket!", "")
    assert float(time.removeprefix("time: ").removesuffix("ms")) > 0


async def test_browser_sample(served: Served, engine_url: str, api_key: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("Chromium", "chromium")
    from playwright.async_api import async_playwright

    script = sample("engine_sample.js.txt", **{PUBLISHED_URL: engine_url, "your-api-key": api_key})
    async with async_playwright() as playwright, asyncio.timeout(60):
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        page = await browser.new_page()
        await page.goto(f"{served.http_url}login")
        async with page.expect_console_message(lambda m: m.text.startswith("time:")) as timed:
            async with page.expect_console_message(lambda m: m.text.startswith("stdout:")) as printed:
                await page.evaluate(script + "\nnull")
            assert await (await printed.value).args[1].json_value() == "Hello from WebSocket!\n"
        assert await (await timed.value).args[1].json_value() > 0
        await browser.close()


async def test_curl_line(served: Served, api_key: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        lacking("curl", "curl")
    url = f"{served.http_url}api/v1/execute"
    line = sample(
        "engine_sample.sh.txt",
        **{"https://embedenv.com/api/v1/execute": url, "your-api-key": api_key, "curl -X": f"{curl} -sX"},
    )
    answer = json.loads(await output_of("bash", "-c", line))
    assert answer.pop("execution_time").endswith("ms")
    published = {name: answer.pop(name) for name in ("stdout", "stderr", "exit_code")}
    assert published == {"stdout": "Hello from REST!\n", "stderr": "", "exit_code": 0}
    assert answer.keys() <= {"cpu_ms", "peak_memory_mib", "cost"}
