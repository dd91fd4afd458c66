"""JupyterLab with this checkout's extension in a real Chromium, which all tests share.

Each test has a server and pages of its own. With ``EMBEDENV_SCREENSHOTS`` set to a folder,
what :data:`Shoot` is asked for is put there for people to look at.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartProcess
from tests.integration.published import CHROMIUM_OPTIONS
from tests.lacking import lacking
from tools import frontend

ROOT = frontend.ROOT
TOKEN = "tell-nobody"
DEADLINE_MS = 60_000
STOCK = ("Failed to fetch", "Kernel is dead", "/static/notebook/notebook_core.")
"""What errors of the applications' own have in them: without our extension they are the same."""
OURS = "/extensions/embedenv-jupyter/"
"""In each line of a stack that is of our own scripts."""
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")

PANEL = "#embedenv-rooms"
NEW_ROOM = '.jp-LauncherCard[data-category="Embedenv"] >> text=New Room'

IS_STARTED = "() => window.jupyterapp !== undefined && jupyterapp.restored.then(() => true)"
IS_READY = """() => {
  const session = jupyterapp.shell.currentWidget?.sessionContext;
  const kernel = session?.session?.kernel;
  return session?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
"""Whether the notebook in front can run cells."""
COPIED = """() => {
  window.copied = [];
  document.addEventListener('copy', event => copied.push(event.clipboardData.getData('text/plain')));
}"""
"""Keeps what is copied from now on in ``copied``."""


@dataclass(frozen=True)
class Lab:
    """A server: ``url`` ends with its base URL, a slash last; ``folder`` has what it serves."""

    url: str
    folder: Path
    process: subprocess.Popen[str]

    def stop(self, how: signal.Signals) -> None:
        """End it, with all its rooms."""
        self.process.send_signal(how)
        self.process.wait()


ServeLab = Callable[..., Lab]
OpenPage = Callable[[], Awaitable[Any]]
Visit = Callable[..., Awaitable[Any]]
Shoot = Callable[[Any, str], Awaitable[None]]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Chromium without a window; yields where Playwright connects to it."""
    path = shutil.which("chromium")
    if path is None:
        lacking("Chromium", "chromium")
    profile = tmp_path_factory.mktemp("chromium")
    argv = [path, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    with subprocess.Popen(
        [*argv, *CHROMIUM_OPTIONS, "about:blank"], stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if match := re.search(r"listening on (ws://\S+)", line):
                    yield match[1]
                    return
            raise AssertionError("Chromium did not start")
        finally:
            process.kill()


def free_ports(count: int) -> list[int]:
    """Find ports for servers that take no open socket.

    They are below those that the system gives away, so nobody has one by chance before its server does,
    nor takes it while that server starts anew; and above those that browsers refuse.
    """
    ports: set[int] = set()
    while len(ports) < count:
        port = random.randrange(11_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        ports.add(port)
    return list(ports)


@pytest.fixture
def lab_env(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which JupyterLab has this checkout's extension, and a home of its own."""
    frontend.build()
    share = tmp_path / "share" / "jupyter"
    (share / "labextensions").mkdir(parents=True)
    # What an editable install has may be older.
    (share / "labextensions" / "embedenv-jupyter").symlink_to(frontend.BUILT)
    shutil.copytree(ROOT / "jupyter-config" / "kernels", share / "kernels")

    own = tmp_path / ".jupyter" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    own.mkdir(parents=True)
    (own / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')

    env = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    return env | {"HOME": str(tmp_path), "JUPYTER_PATH": str(share), "PYTHONPATH": str(ROOT)}


@pytest.fixture
def serve_lab(start_process: StartProcess, lab_env: dict[str, str], tmp_path: Path) -> ServeLab:
    """Start JupyterLab under a base URL, with folders of its own, perhaps ``within`` another program."""

    def serve(
        *options: str, base_url: str = "/", port: int | None = None, within: tuple[str, ...] = ()
    ) -> Lab:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        with (tmp_path / "lab.log").open("w") as log:
            process = start_process(
                *within, sys.executable, str(ROOT / "tools" / "run_lab.py"),
                f"--ServerApp.port={port or free_ports(1)[0]}", f"--IdentityProvider.token={TOKEN}",
                "--expose-app-in-browser",
                "--LabApp.extension_manager=readonly", "--LabApp.news_url=",
                f"--ServerApp.root_dir={folder}", f"--ServerApp.base_url={base_url}",
                f"--EmbedenvApp.data_dir={tmp_path / 'data'}",
                "--IdentityProvider.updatable_fields=display_name",
                "--IdentityProvider.updatable_fields=color", *options,
                env=lab_env, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            if match := re.search(r"(http://\S+:\d+\S*/)lab", line):
                return Lab(match[1], folder, process)
        raise AssertionError(f"JupyterLab did not start: {(tmp_path / 'lab.log').read_text()[-2000:]}")

    return serve


@pytest.fixture
async def open_page(chromium: str) -> AsyncIterator[OpenPage]:
    """Open an empty page with cookies and storage of its own, as another person's browser has.

    An error that no page expects fails the test. JupyterLab itself expects no server that is away:
    it saves its workspace and asks after its kernels all the same.
    """
    from playwright.async_api import async_playwright

    errors: list[str] = []
    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.connect_over_cdp(chromium)

        async def open_one() -> Any:
            context = await browser.new_context(viewport={"width": 1280, "height": 800})
            stack.push_async_callback(context.close)
            await context.grant_permissions(["clipboard-read", "clipboard-write"])
            page = await context.new_page()
            page.set_default_timeout(DEADLINE_MS)
            page.on("pageerror", lambda error: errors.append(error.stack or error.message))
            return page

        yield open_one
    assert [error for error in errors if OURS in error or not any(map(error.__contains__, STOCK))] == []


@pytest.fixture
def visit(open_page: OpenPage) -> Visit:
    """Open JupyterLab as another visitor, ready to use.

    With a ``name`` and a ``color`` (``#rrggbb``) others see them as that.
    """

    async def visit_lab(
        lab: Lab, path: str = "lab?reset", fragment: str = "", name: str = "", color: str = ""
    ) -> Any:
        page = await open_page()
        if name:
            # A login is somebody by chance; this one says who.
            answer = await page.context.request.patch(
                f"{lab.url}api/me?token={TOKEN}", data={"display_name": name, "color": color}
            )
            assert answer.ok, await answer.text()
        joint = "&" if "?" in path else "?"
        await page.goto(f"{lab.url}{path}{joint}token={TOKEN}{fragment}")
        await page.wait_for_function(IS_STARTED)
        return page

    return visit_lab


@pytest.fixture
def shoot() -> Shoot:
    """Take pictures of a page in all themes, where somebody wants them."""
    folder = os.environ.get("EMBEDENV_SCREENSHOTS")

    async def take(page: Any, name: str) -> None:
        if not folder:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        for theme in THEMES:
            await set_theme(page, theme)
            kind = theme.removeprefix("JupyterLab ").lower().replace(" ", "-")
            await page.screenshot(path=Path(folder) / f"{name}-{kind}.png")
        await set_theme(page, THEMES[0])

    return take


async def set_theme(page: Any, theme: str) -> None:
    """Show a page in one of :data:`THEMES`, and wait until it is."""
    await page.evaluate(
        "theme => { void jupyterapp.commands.execute('apputils:change-theme', { theme }); }", theme
    )
    await page.wait_for_selector(f'body[data-jp-theme-name="{theme}"]', state="attached")
    await page.wait_for_selector("#jupyterlab-splash", state="detached")


async def execute(page: Any, command: str, **args: str) -> Any:
    """Run a command of JupyterLab, and wait for what it returns where that is plain."""
    return await page.evaluate(
        """async ([command, args]) => {
          const result = await jupyterapp.commands.execute(command, args);
          return typeof result === 'string' ? result : null;
        }""",
        [command, args],
    )
