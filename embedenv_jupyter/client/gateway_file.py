"""How programs on this machine find the gateway of a running server: a file that only its owner can read.

The extension writes ``embedenv-gateway-PID.json`` into Jupyter's runtime folder when
it starts, and removes it when it stops. The key in it stands for the local account of
that one server and dies with it; it is not the server's token.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

import msgspec

MAX_BYTES = 64 << 10


class GatewayFile(msgspec.Struct, frozen=True):
    """The server's base URL on this machine, the key, and the certificate's file where it uses TLS."""

    url: str
    key: str
    certificate: str = ""


def gateway_file_path(runtime_dir: Path, pid: int) -> Path:
    return runtime_dir / f"embedenv-gateway-{pid}.json"


def read_gateway_file(runtime_dir: Path, pid: int) -> GatewayFile | None:
    """Return what the server with this pid says of itself, if it says anything that can be trusted."""
    try:
        fd = os.open(gateway_file_path(runtime_dir, pid), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                return None
            return msgspec.json.decode(file.read(MAX_BYTES), type=GatewayFile)
    except (OSError, msgspec.MsgspecError):
        return None


def write_gateway_file(runtime_dir: Path, pid: int, content: GatewayFile) -> None:
    """Write the file of this server, in place of one that an earlier process of the same pid left.

    Raises:
        OSError: it cannot be written.
    """
    path = gateway_file_path(runtime_dir, pid)
    remove_gateway_file(runtime_dir, pid)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(msgspec.json.encode(content))


def remove_gateway_file(runtime_dir: Path, pid: int) -> None:
    """Remove the file; idempotent."""
    with contextlib.suppress(FileNotFoundError):
        gateway_file_path(runtime_dir, pid).unlink()
