"""The smoke journey wherever people put JupyterLab: by itself, behind nginx, and under JupyterHub."""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path

import pytest

from tests.browser.conftest import ROOT, Lab, ServeLab, Shoot, Visit
from tests.browser.smoke import smoke
from tests.conftest import StartProcess
from tests.lacking import lacking

pytestmark = pytest.mark.timeout(240)

NGINX = """
daemon off;
master_process off;  # one process, which the test ends
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


async def test_by_itself(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab()
    owner = await visit(lab)
    await smoke(owner, await visit(lab, "lab/workspaces/guest?reset"))
    await shoot(owner, "smoke")


async def test_behind_nginx_on_a_path(
    serve_lab: ServeLab, start_process: StartProcess, visit: Visit, shoot: Shoot, tmp_path: Path
) -> None:
    nginx = find_nginx()
    lab = serve_lab(base_url="/jupyter/")
    folder = tmp_path / "nginx"
    folder.mkdir()
    # nginx takes over a socket that already listens, as from its predecessor: nobody else gets its port.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        documented = documented_block("nginx")
        for ours, theirs in (("listen 80;", f"listen 127.0.0.1:{port};"), ("127.0.0.1:8888", lab.authority)):
            assert ours in documented
            documented = documented.replace(ours, theirs)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, documented=documented))
        start_process(
            nginx, "-p", folder, "-c", "nginx.conf", "-e", "error.log",
            env={**os.environ, "NGINX": f"{listening.fileno()};"}, pass_fds=[listening.fileno()],
        )  # fmt: skip
    front = Lab(f"http://127.0.0.1:{port}/jupyter/", lab.folder)
    owner = await visit(front)
    await smoke(owner, await visit(front, "lab/workspaces/guest?reset"))
    await shoot(owner, "smoke-nginx")


def find_nginx() -> str:
    # Debian keeps it in /usr/sbin, which an ordinary user's PATH lacks.
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    return path or lacking("nginx", "nginx")


def documented_block(language: str) -> str:
    """Return what docs/jupyterlab.md tells people to write into a configuration."""
    text = (ROOT / "docs" / "jupyterlab.md").read_text()
    match = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]
