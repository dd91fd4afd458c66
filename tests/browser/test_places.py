"""The smoke journey wherever people put JupyterLab: by itself, behind nginx, and under JupyterHub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import IS_STARTED, OpenPage, ServeLab, Shoot, Visit
from tests.browser.fronts import PASSWORD, jupyterhub, nginx
from tests.browser.smoke import smoke
from tests.conftest import StartProcess

pytestmark = pytest.mark.timeout(300)


async def test_by_itself(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab()
    owner = await visit(lab)
    await smoke(owner, await visit(lab, "lab/workspaces/guest?reset"))
    await shoot(owner, "smoke")


async def test_behind_nginx_on_a_path(
    serve_lab: ServeLab, start_process: StartProcess, visit: Visit, shoot: Shoot, tmp_path: Path
) -> None:
    async with nginx(serve_lab(base_url="/jupyter/"), start_process, tmp_path / "nginx") as lab:
        owner = await visit(lab)
        await smoke(owner, await visit(lab, "lab/workspaces/guest?reset"))
        await shoot(owner, "smoke-nginx")


async def test_under_jupyterhub(
    lab_env: dict[str, str],
    start_process: StartProcess,
    open_page: OpenPage,
    shoot: Shoot,
    tmp_path: Path,
) -> None:
    async with jupyterhub(lab_env, start_process, tmp_path / "hub") as url:
        owner, guest = await open_page(), await open_page()
        await log_in(owner, url, "ada", "hub/spawn")
        await log_in(guest, url, "bob", "user/ada/lab/workspaces/guest?reset")
        await smoke(owner, guest)
        await shoot(owner, "smoke-hub")


async def log_in(page: Any, url: str, name: str, path: str) -> None:
    """Go to ``path`` of the hub, by way of its form, and of the servers' question who is to be let in."""
    await page.goto(f"{url}{path}")
    await page.fill("#username_input", name)
    await page.fill("#password_input", PASSWORD)
    await page.click("#login_submit")
    await page.wait_for_function(IS_STARTED)
