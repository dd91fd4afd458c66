"""What the front end costs in JupyterLab: bytes, how much later the launcher is there, how soon a terminal.

Two servers, one with the extension and one in which it is switched off, are opened in turn in a
real Chromium, each time with an empty cache. A page is there when the launcher shows its cards. A
terminal is there when it shows the prompt of its shell: counted from the click on "Open" in the
dialog of a new room, and for the rival from the click on JupyterLab's own card "Terminal".

    python -m benchmarks.bench_lab [--rounds 10]
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.integration.published import CHROMIUM_OPTIONS
from tools import frontend

TOKEN = "bench"
LOAD_GOAL = 1.1
"""How many times the time until the launcher is there without the extension."""
TERMINAL_GOAL_MS = 1000.0
DEADLINE_MS = 60_000.0

CARD = '.jp-LauncherCard[data-category="{category}"]'
PROMPT = """() => {
  const widget = jupyterapp.shell.currentWidget;
  const active = widget?.content?._term?.buffer.active;
  return !!active && /[$#]\\s*$/.test(active.getLine(active.cursorY)?.translateToString(true) ?? '');
}"""

Round = Callable[[], Awaitable[float]]


@contextmanager
def lab(*, has_extension: bool) -> Iterator[str]:
    """Serve JupyterLab with folders of its own; yields its address."""
    with tempfile.TemporaryDirectory(prefix="bench-lab-") as home, ExitStack() as stack:
        share = Path(home, "share", "jupyter")
        (share / "labextensions").mkdir(parents=True)
        (share / "labextensions" / "embedenv-jupyter").symlink_to(frontend.BUILT)
        shutil.copytree(frontend.ROOT / "jupyter-config" / "kernels", share / "kernels")
        disabled = {} if has_extension else {"disabledExtensions": {"embedenv-jupyter": True}}
        settings = Path(home, ".jupyter", "labconfig")
        settings.mkdir(parents=True)
        (settings / "page_config.json").write_text(json.dumps(disabled))
        news = Path(home, ".jupyter", "lab", "user-settings", "@jupyterlab", "apputils-extension")
        news.mkdir(parents=True)
        (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
        env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
        env |= {"HOME": home, "JUPYTER_PATH": str(share), "PYTHONPATH": str(frontend.ROOT)}
        process = stack.enter_context(
            subprocess.Popen(
                [
                    sys.executable, str(frontend.ROOT / "tools" / "run_lab.py"),
                    f"--IdentityProvider.token={TOKEN}", "--expose-app-in-browser",
                    "--LabApp.extension_manager=readonly", f"--ServerApp.root_dir={home}",
                    f"--EmbedenvApp.data_dir={home}/data",
                ],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
        )  # fmt: skip
        stack.callback(process.terminate)
        assert process.stdout is not None
        yield next(match[1] for line in process.stdout if (match := re.search(r"(http://\S+:\d+)/lab", line)))


class Visits:
    """One browser, in front of two servers."""

    def __init__(self, browser: Any, with_us: str, without: str) -> None:
        self._browser = browser
        self._with_us = with_us
        self._without = without

    async def _open(self, server: str, category: str) -> tuple[Any, float]:
        """Open a page with an empty cache; return it, and the milliseconds until its launcher was there."""
        context = await self._browser.new_context(viewport={"width": 1280, "height": 800})
        page = await context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        began = time.perf_counter()
        await page.goto(f"{server}/lab?reset&token={TOKEN}")
        await page.wait_for_selector(CARD.format(category=category))
        return page, (time.perf_counter() - began) * 1e3

    async def loaded(self) -> float:
        page, took = await self._open(self._with_us, "Embedenv")
        await page.context.close()
        return took

    async def loaded_without(self) -> float:
        page, took = await self._open(self._without, "Other")
        await page.context.close()
        return took

    async def terminal(self) -> float:
        """Until a new room's terminal shows its prompt, from the click in the dialog."""
        page, _ = await self._open(self._with_us, "Embedenv")
        await page.click(f"{CARD.format(category='Embedenv')} >> text=New Room")
        await page.select_option(".embedenv-Form select", "terminal")
        return await self._prompt(page, '.jp-Dialog button:has-text("Open")')

    async def stock_terminal(self) -> float:
        page, _ = await self._open(self._without, "Other")
        return await self._prompt(page, f"{CARD.format(category='Other')} >> text=Terminal")

    async def _prompt(self, page: Any, button: str) -> float:
        began = time.perf_counter()
        await page.click(button)
        await page.wait_for_function(PROMPT, polling=10)
        took = (time.perf_counter() - began) * 1e3
        await page.context.close()
        return took


def sizes() -> tuple[int, int]:
    """Return the bytes of what a page loads of the extension at once, plain and compressed."""
    scripts = [path for path in frontend.BUILT.rglob("*") if path.suffix in {".js", ".css"}]
    content = [path.read_bytes() for path in scripts if not path.name.endswith(".LICENSE.txt")]
    return sum(map(len, content)), sum(len(gzip.compress(each)) for each in content)


async def measure(rounds: int) -> None:
    from playwright.async_api import async_playwright

    frontend.build()
    with lab(has_extension=True) as with_us, lab(has_extension=False) as without:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=CHROMIUM_OPTIONS
            )
            visits = Visits(browser, with_us, without)
            rows: dict[str, Round] = {
                "page to launcher, with the extension": visits.loaded,
                "page to launcher, without it": visits.loaded_without,
                "New room to prompt": visits.terminal,
                "JupyterLab's own terminal to prompt": visits.stock_terminal,
            }
            figures: dict[str, list[float]] = {name: [] for name in rows}
            for run in rows.values():
                await run()  # the server's caches, and its first room
            for _ in range(rounds):
                for name, run in rows.items():
                    figures[name].append(await run())
            await browser.close()
    show(figures, rounds)


def show(figures: dict[str, list[float]], rounds: int) -> None:
    table = Table(title=f"JupyterLab in Chromium, {rounds} interleaved rounds")
    table.add_column("")
    for heading in ("median ms", "min ms", "max ms"):
        table.add_column(heading, justify="right")
    for name, values in figures.items():
        table.add_row(name, *(f"{pick(values):,.0f}" for pick in (statistics.median, min, max)))
    console = Console()
    console.print(table)
    loaded, bare, terminal, stock = (statistics.median(values) for values in figures.values())
    plain, compressed = sizes()
    console.print(
        f"scripts and styles, all of them: {plain >> 10:,} KiB, compressed {compressed >> 10:,} KiB"
    )
    verdict = "met" if loaded <= LOAD_GOAL * bare else "MISSED"
    console.print(
        f"page to launcher: {loaded / bare:.2f}× without the extension, goal ≤ {LOAD_GOAL}×: {verdict}"
    )
    verdict = "met" if terminal <= TERMINAL_GOAL_MS else "MISSED"
    console.print(f"New room to prompt: {terminal:,.0f} ms, goal ≤ {TERMINAL_GOAL_MS:,.0f} ms: {verdict} "
                  f"({terminal / stock:.2f}× JupyterLab's own terminal)")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    asyncio.run(measure(options.rounds))


if __name__ == "__main__":
    main()
