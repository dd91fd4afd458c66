"""Connection files as Jupyter writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedenv_jupyter.errors import LocalProtocolError
from embedenv_jupyter.forwarder.connection import ConnectionInfo

PORTS = '"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5'


def read(tmp_path: Path, text: str) -> ConnectionInfo:
    (tmp_path / "kernel.json").write_text(text)
    return ConnectionInfo.read(tmp_path / "kernel.json")


def test_addresses_of_both_transports(tmp_path: Path) -> None:
    info = read(tmp_path, f'{{{PORTS}, "ip": "127.0.0.1", "transport": "tcp", "kernel_name": "embedenv"}}')
    assert (info.address("shell"), info.address("hb")) == ("tcp://127.0.0.1:1", "tcp://127.0.0.1:5")
    info = read(tmp_path, f'{{{PORTS}, "ip": "/run/k", "transport": "ipc"}}')
    assert info.address("iopub") == "ipc:///run/k-2"


@pytest.mark.parametrize(
    "text", ["", "{}", f'{{{PORTS}, "key": "k", "signature_scheme": "hmac-md5"}}', PORTS]
)
def test_what_cannot_be_served_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(LocalProtocolError):
        read(tmp_path, text)
