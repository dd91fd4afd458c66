"""A gateway in a process of its own, as an operator starts it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

START_TIMEOUT_S = 60.0
EMBEDENV = str(Path(sys.executable).with_name("embedenv"))


@dataclass(frozen=True)
class OwnGateway:
    """``embedenv serve`` with keys that pay."""

    process: subprocess.Popen[str]
    port: int
    public_key: str
    secret_key: str
    api_key: str

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def spaces_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/spaces/defoult/"

    def post(self, path: str, body: Any, key: str) -> Any:
        request = urllib.request.Request(
            f"{self.http_url}{path}", json.dumps(body).encode(), {"Authorization": f"Bearer {key or 'test'}"}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)

    def delete(self, path: str, key: str) -> None:
        request = urllib.request.Request(
            f"{self.http_url}{path}", headers={"Authorization": f"Bearer {key or 'test'}"}, method="DELETE"
        )
        urllib.request.urlopen(request, timeout=20).close()

    def get(self, path: str, key: str = "") -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}", headers={"Authorization": f"Bearer {key or 'test'}"}
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.read().decode()


ServeGateway = Callable[..., OwnGateway]


@pytest.fixture
def serve_gateway(tmp_path: Path) -> Iterator[ServeGateway]:
    """Start gateways; each is told to stop after the test, and killed if it does not."""
    with serving_gateways(tmp_path) as serve:
        yield serve


@contextlib.contextmanager
def serving_gateways(tmp_path: Path) -> Iterator[ServeGateway]:
    """Start gateways with their data in a folder, for as long as the block lasts."""
    started: list[subprocess.Popen[str]] = []

    def serve(*options: str, credits: int = 5000) -> OwnGateway:
        environment = {**os.environ, "EMBEDENV_DATA_DIR": str(tmp_path / "data")}
        keys = subprocess.run(
            [EMBEDENV, "keys", "create", "--credits", str(credits), "--json"],
            env=environment, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        made = json.loads(keys.stdout)
        process = subprocess.Popen(
            [EMBEDENV, "serve", "--port", "0",
             "--IdentityProvider.token=test", *options],
            env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        port = _port_of(process)
        return OwnGateway(process, port, made["public_key"], made["secret_key"], made["api_key"])

    yield serve
    for process in started:
        with process:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _port_of(process: subprocess.Popen[str]) -> int:
    """Read the log until it names the URL, then go on reading so that the pipe never fills."""
    found = threading.Event()
    port = 0
    seen: list[str] = []

    def read() -> None:
        nonlocal port
        assert process.stderr is not None
        for line in process.stderr:
            seen.append(line)
            if not port and (match := re.search(r"http://[^:/]+:(\d+)/", line)):
                port = int(match[1])
                found.set()
        found.set()

    threading.Thread(target=read, name="gateway's log", daemon=True).start()
    assert found.wait(START_TIMEOUT_S), "".join(seen[-50:])
    assert port, "".join(seen[-50:])
    _wait_until_it_listens(port)
    return port


def _wait_until_it_listens(port: int) -> None:
    """Jupyter names its URL a moment before it listens there."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            threading.Event().wait(0.02)
        else:
            return
