"""The smoke journey wherever people put JupyterLab: by itself, behind nginx, and under JupyterHub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import DEADLINE_MS, IS_STARTED, PANEL, OpenPage, ServeLab, Shoot, Visit
from tests.browser.fronts import PASSWORD, jupyterhub, nginx
from tests.browser.smoke import smoke
from tests.browser.test_terminal import shows, type_line
from tests.conftest import StartProcess

pytestmark = pytest.mark.timeout(300)

FIRST_EVENT = """async () => {
  const url = `${document.querySelector('.embedenv-Preview iframe').src}events?count=2&stop=1`;
  const { body } = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return value;
}""".replace("DEADLINE_MS", str(DEADLINE_MS))
"""Reads what the program in the preview tells at once, before it is silent for ever."""


async def test_by_itself(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab()
    owner = await visit(lab)
    await smoke(owner, await visit(lab, "lab/workspaces/guest?reset"))
    await shoot(owner, "smoke")


async def test_behind_nginx_on_a_path(
    serve_lab: ServeLab, start_process: StartProcess, visit: Visit, shoot: Shoot, tmp_path: Path
) -> None:
    lab = await nginx(serve_lab(base_url="/jupyter/"), start_process, tmp_path / "nginx")
    owner = await visit(lab)
    await smoke(owner, await visit(lab, "lab/workspaces/guest?reset"))
    await shoot(owner, "smoke-nginx")
    assert await owner.evaluate(FIRST_EVENT) == "data: 0\n\n"


@pytest.fixture
async def hub(lab_env: dict[str, str], start_process: StartProcess, tmp_path: Path) -> AsyncIterator[str]:
    """Start JupyterHub; it ends after the pages, in which programs would complain that they are cut off."""
    async with jupyterhub(lab_env, start_process, tmp_path / "hub") as url:
        yield url


async def test_under_jupyterhub(hub: str, open_page: OpenPage, shoot: Shoot) -> None:
    owner, guest = await open_page(), await open_page()
    await log_in(owner, f"{hub}hub/spawn", "ada")
    await log_in(guest, f"{hub}user/ada/lab/workspaces/guest?reset", "bob")
    await smoke(owner, guest)
    await owner.wait_for_selector(f"{PANEL} li:has-text('bob') >> text=may look")
    await shoot(owner, "smoke-hub")
    await type_line(owner, "echo the hub told $(env | grep -c JUPYTERHUB) secrets")
    await shows(owner, "the hub told 0 secrets")


async def log_in(page: Any, url: str, name: str) -> None:
    """Go to a page of ada's by way of the hub's form; others are asked whether her server may know them."""
    await page.goto(url)
    await page.fill("#username_input", name)
    await page.fill("#password_input", PASSWORD)
    await page.click("#login_submit")
    if name != "ada":
        await page.click('button:has-text("Authorize")')
    await page.wait_for_function(IS_STARTED)
