"""What people put before JupyterLab: nginx on a path, and JupyterHub, as docs/jupyterlab.md has them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from tests.browser.conftest import Lab, free_ports
from tests.conftest import StartProcess
from tests.lacking import lacking
from tools import frontend

START_S = 90
STOP_S = 30
PASSWORD = "tell-nobody"

HUB_PROXY = Path(__file__).parent / "hub_proxy"

NGINX = """
daemon off;
master_process off;  # one process, which is ended by its id
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    {documented}
}}
"""

HUB = """
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allowed_users = {{"ada", "bob"}}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {home!r}
c.Spawner.environment = {{"JUPYTER_PATH": {share!r}}}
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url="]
c.Spawner.start_timeout = c.Spawner.http_timeout = {start_s}
{documented}
"""


async def nginx(lab: Lab, start_process: StartProcess, folder: Path) -> Lab:
    """Put nginx before JupyterLab, whose base URL is /jupyter/; returns it as it is behind nginx."""
    # Debian keeps it in /usr/sbin, which an ordinary user's PATH lacks.
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        lacking("nginx", "nginx")
    (port,) = free_ports(1)
    documented = documented_block("nginx")
    for ours, theirs in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("127.0.0.1:8888", urlsplit(lab.url).netloc),
    ):
        assert ours in documented
        documented = documented.replace(ours, theirs)
    folder.mkdir()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, documented=documented))
    process = start_process(program, "-p", folder, "-c", "nginx.conf", "-e", "error.log")
    url = f"http://127.0.0.1:{port}/jupyter/"
    await is_served(f"{url}api", process)
    return replace(lab, url=url)


@asynccontextmanager
async def jupyterhub(env: dict[str, str], start_process: StartProcess, folder: Path) -> AsyncIterator[str]:
    """Start JupyterHub, whose servers have ``env``; yields its URL.

    There are ada and bob, who log in with :data:`PASSWORD`.
    """
    frontend.install_packages(HUB_PROXY)
    script = HUB_PROXY / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    port, hub_port, api_port = free_ports(3)
    url = f"http://127.0.0.1:{port}/"
    settings: dict[str, Any] = {
        "url": url, "hub_port": hub_port, "api_port": api_port, "password": PASSWORD,
        "proxy": [frontend.node_command(), str(script)], "home": env["HOME"], "share": env["JUPYTER_PATH"],
        "python": sys.executable, "start_s": START_S, "documented": documented_block("python"),
    }  # fmt: skip
    folder.mkdir()
    (folder / "jupyterhub_config.py").write_text(HUB.format(**settings))
    process = start_process(sys.executable, "-m", "jupyterhub", cwd=folder, env=env)
    try:
        await is_served(f"{url}hub/health", process)
        yield url
    finally:
        await ended(process)


async def is_served(url: str, process: subprocess.Popen[Any]) -> None:
    """Wait until ``process`` has ``url`` answered."""
    async with asyncio.timeout(START_S):
        while True:
            assert process.poll() is None, f"what serves {url} has ended"
            try:
                await AsyncHTTPClient().fetch(url)
                return
            except (OSError, HTTPClientError):
                await asyncio.sleep(0.05)


async def ended(process: subprocess.Popen[Any]) -> None:
    """End JupyterHub, and see to it that it ends what it has started."""
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, STOP_S)
    finally:
        process.kill()
        _, left = await asyncio.to_thread(psutil.wait_procs, family, STOP_S)
        for each in left:
            each.kill()
    assert left == []


def documented_block(language: str) -> str:
    """Return what docs/jupyterlab.md tells people to write into a configuration."""
    text = (frontend.ROOT / "docs" / "jupyterlab.md").read_text()
    match = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]
