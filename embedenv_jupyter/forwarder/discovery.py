"""Which gateway a forwarder goes to, and with which key: the environment's, or one of a server above it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from embedenv_jupyter.client.address import (
    API_KEY_VARIABLE,
    JOIN_KEY_VARIABLE,
    PUBLIC_KEY_VARIABLE,
    ROOM_VARIABLE,
    SECRET_KEY_VARIABLE,
    URL_VARIABLE,
    base_url,
)
from embedenv_jupyter.client.gateway_file import read_gateway_file
from embedenv_jupyter.client.refusal import AddressError
from embedenv_jupyter.forwarder.rest import GatewayAddress

PARENT_VARIABLE: Final = "JPY_PARENT_PID"
"""Which process started this kernel, as jupyter_client says it."""

MAX_ANCESTORS: Final = 64


@dataclass(frozen=True)
class Found:
    """A gateway to go to, and where there: the room of a join key, a ``room`` by id, or a new one."""

    gateway: GatewayAddress
    join: bool = False
    room: str = ""


def from_environment(environment: Mapping[str, str]) -> Found | None:
    """Return the gateway that ``EMBEDENV_URL`` names.

    Raises:
        AddressError: the address cannot be used, or there is no key for it.
    """
    if not (address := environment.get(URL_VARIABLE, "").strip()):
        return None
    url = base_url(address)
    if join := environment.get(JOIN_KEY_VARIABLE):
        return Found(GatewayAddress(url, join), join=True)
    if key := environment.get(API_KEY_VARIABLE):
        return Found(GatewayAddress(url, key))
    pair = environment.get(PUBLIC_KEY_VARIABLE), environment.get(SECRET_KEY_VARIABLE)
    if not all(pair):
        raise AddressError(
            f"{URL_VARIABLE} is set and no key for it: set {JOIN_KEY_VARIABLE} to enter a room, or"
            f" {API_KEY_VARIABLE}, or {PUBLIC_KEY_VARIABLE} and {SECRET_KEY_VARIABLE} to open one"
        )
    return Found(GatewayAddress(url, f"{pair[0]}:{pair[1]}"))


def from_servers(environment: Mapping[str, str], runtime_dir: Path) -> Iterator[Found]:
    """Yield the gateways of the servers that this process descends from, the nearest first.

    A join key or a room of the environment is one of theirs.
    """
    join = environment.get(JOIN_KEY_VARIABLE, "")
    for pid in _ancestors(environment):
        if (file := read_gateway_file(runtime_dir, pid)) is not None:
            gateway = GatewayAddress(file.url, join or file.key, file.certificate)
            yield Found(gateway, join=bool(join), room=environment.get(ROOM_VARIABLE, ""))


def _ancestors(environment: Mapping[str, str]) -> Iterator[int]:
    seen: set[int] = set()
    named = environment.get(PARENT_VARIABLE, "")
    if named.isdecimal() and int(named) > 1:
        seen.add(int(named))
        yield int(named)
    pid = os.getppid()
    while pid > 1 and len(seen) < MAX_ANCESTORS:
        if pid not in seen:
            seen.add(pid)
            yield pid
        pid = _parent_of(pid)


def _parent_of(pid: int) -> int:
    """Return the parent of a process, 0 where that cannot be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return int(stat.rpartition(")")[2].split()[1])  # the name before it may have anything in it
    except (OSError, ValueError, IndexError):
        return 0
