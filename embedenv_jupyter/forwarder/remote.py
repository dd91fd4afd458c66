"""A kernel in a room of some gateway: opened or found again, linked to, and ended."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from embedenv_jupyter.client.dialling import Heartbeat, Transport
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.forwarder.discovery import Found
from embedenv_jupyter.forwarder.memory import Memory
from embedenv_jupyter.forwarder.rest import GatewayAddress, call
from embedenv_jupyter.forwarder.websocket_link import WebSocketLink

log = logging.getLogger(__name__)

GREETING_S: Final = 15.0
SESSION_NAME: Final = "JPY_SESSION_NAME"
"""Where Jupyter says which notebook a kernel is for."""

_MAX_NAME_CHARS: Final = 64
_GONE: Final = frozenset((403, 404, 410))


@dataclass(frozen=True)
class RemoteKernel:
    """One kernel in one room, and whether the room was opened for it."""

    gateway: GatewayAddress
    room: str
    kernel: str
    is_own_room: bool

    @property
    def memory(self) -> Memory:
        return Memory(self.gateway.url, self.room, self.kernel, self.is_own_room)

    @property
    def _path(self) -> str:
        return f"rooms/{self.room}/api/kernels/{self.kernel}"

    def link(self) -> WebSocketLink:
        """Return a link as a new client of the kernel.

        Raises:
            OSError: the gateway's certificate cannot be read.
        """
        gateway = self.gateway
        transport = Transport(
            gateway.endpoint(f"{self._path}/channels"), gateway.headers, gateway.tls(),
            heartbeat=Heartbeat(), greeting_s=GREETING_S,
        )  # fmt: skip
        return WebSocketLink(transport, uuid.uuid4().hex)

    async def restart(self) -> None:
        """Put a fresh kernel in the place of this one.

        Raises:
            EmbedEnvError: it cannot be done.
        """
        await call(self.gateway, "POST", f"{self._path}/restart", {})

    async def suspend(self) -> None:
        """Leave the kernel as it is: who comes next restarts it."""

    async def end(self) -> None:
        """Shut the kernel down, and the room if it was opened for it and nobody else is there.

        What cannot be reached any more needs no end.
        """
        with contextlib.suppress(EmbedEnvError):
            await call(self.gateway, "DELETE", self._path)
            if self.is_own_room and await self._is_deserted():
                await call(self.gateway, "DELETE", f"api/rooms/{self.room}")

    async def _is_deserted(self) -> bool:
        room = await call(self.gateway, "GET", f"api/rooms/{self.room}")
        kernels = await call(self.gateway, "GET", f"rooms/{self.room}/api/kernels")
        return not (room["members"] or room["runs"] or kernels)


async def open_kernel(found: Found, before: Memory | None) -> RemoteKernel:
    """Return a fresh kernel: where it was before a restart, in the room that was asked for, or in a new one.

    Raises:
        EmbedEnvError: there is none to be had; the text says why.
    """
    gateway = found.gateway
    if before is not None and before.url == gateway.url:
        known = RemoteKernel(gateway, before.room, before.kernel, before.is_own_room)
        try:
            await known.restart()
        except RefusedError as exc:
            if exc.code not in _GONE:
                raise
            log.warning("the kernel's room has ended, so it starts in another one: %s", exc)
        else:
            return known
    room = found.room
    if found.join:
        room = (await call(gateway, "POST", "api/join", {"join": gateway.key}))["id"]
    if room:
        kernel = await call(gateway, "POST", f"rooms/{room}/api/kernels", {"env": _environment()})
        return RemoteKernel(gateway, room, kernel["id"], is_own_room=False)
    opened: dict[str, Any] = await call(gateway, "POST", "api/rooms", {"name": _name(), "kernel": True})
    return RemoteKernel(gateway, opened["id"], opened["kernel"]["id"], is_own_room=True)


def _environment() -> dict[str, str]:
    return {SESSION_NAME: os.environ[SESSION_NAME]} if SESSION_NAME in os.environ else {}


def _name() -> str:
    """Name the room after the notebook."""
    return PurePosixPath(os.environ.get(SESSION_NAME, "")).name[:_MAX_NAME_CHARS]
