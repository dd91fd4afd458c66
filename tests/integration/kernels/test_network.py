"""Rooms that may reach the network: what the trait lets through, and what it does not without it."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.kernels.conftest import DialKernel

NAME = "tiny_room_net"
INSTALL = """
!pip install --quiet --disable-pip-version-check --index-url {url} tiny-room-net
import tiny_room_net
tiny_room_net.ANSWER
"""


def make_wheel(folder: Path) -> None:
    """Write the smallest package that pip installs."""
    info = f"{NAME}-1.0.dist-info"
    files = {
        f"{NAME}.py": "ANSWER = 42\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-room-net\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    with zipfile.ZipFile(folder / f"{NAME}-1.0-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(path, text)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def index_url(tmp_path: Path) -> Iterator[str]:
    """A package index of this machine, on its loopback."""
    folder = tmp_path / "index" / "tiny-room-net"
    folder.mkdir(parents=True)
    make_wheel(folder)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("embedenv_config", [{"network": True, "tier": tier} for tier in ("ns", "bwrap")])
async def test_packages_are_installed_from_the_network_where_that_is_allowed(
    dial_kernel: DialKernel, index_url: str
) -> None:
    peer = await dial_kernel()
    text, reply, messages = await peer.run(INSTALL.format(url=index_url))
    assert reply["status"] == "ok", (text, reply)
    (result,) = [message for message in messages if message.type == "execute_result"]
    assert result.content["data"]["text/plain"] == "42"
    assert "nameserver" in (await peer.run("print(open('/etc/resolv.conf').read())"))[0]


async def test_without_the_trait_there_is_no_way_out(dial_kernel: DialKernel, index_url: str) -> None:
    peer = await dial_kernel()
    code = f"import urllib.request\nurllib.request.urlopen({index_url!r}, timeout=5)"
    _, reply, _ = await peer.run(code)
    assert (reply["ename"], "refused" in reply["evalue"] or "unreachable" in reply["evalue"]) == (
        "URLError",
        True,
    )
