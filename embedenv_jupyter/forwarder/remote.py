"""A kernel in a room of some gateway: opened or found again, linked to, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.forwarder.discovery import Found
from embedenv_jupyter.forwarder.memory import Memory
from embedenv_jupyter.forwarder.rest import GatewayAddress, call

if TYPE_CHECKING:
    from embedenv_jupyter.client.backoff import Retry
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

    def link(self, *, retry: Retry | None = None, through: GatewayAddress | None = None) -> WebSocketLink:
        """Return a link as a new client of the kernel; ``through`` is another way to its gateway.

        Raises:
            RefusedError: the gateway's certificate cannot be read.
        """
        from embedenv_jupyter.client.dialling import Heartbeat, Transport
        from embedenv_jupyter.forwarder.websocket_link import PATIENT, WebSocketLink

        gateway = through or self.gateway
        transport = Transport(
            gateway.endpoint(f"{self._path}/channels"), gateway.headers, gateway.tls(),
            heartbeat=Heartbeat(), greeting_s=GREETING_S,
        )  # fmt: skip
        return WebSocketLink(transport, uuid.uuid4().hex, retry=retry or PATIENT)

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
            await _meanwhile_importing(known.restart())
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
        starting = call(gateway, "POST", f"rooms/{room}/api/kernels", {"env": _environment()})
        kernel = await _meanwhile_importing(starting)
        return RemoteKernel(gateway, room, kernel["id"], is_own_room=False)
    opening = call(gateway, "POST", "api/rooms", {"name": _name(), "kernel": True})
    opened = await _meanwhile_importing(opening)
    return RemoteKernel(gateway, opened["id"], opened["kernel"]["id"], is_own_room=True)


async def _meanwhile_importing(request: Coroutine[Any, Any, Any]) -> Any:
    """Use the time that the gateway needs to import what the link will."""
    asking = asyncio.create_task(request, name="asking the gateway")
    await asyncio.sleep(0)
    import_module("embedenv_jupyter.forwarder.websocket_link")
    return await asking


def _environment() -> dict[str, str]:
    return {SESSION_NAME: os.environ[SESSION_NAME]} if SESSION_NAME in os.environ else {}


def _name() -> str:
    """Name the room after the notebook."""
    return PurePosixPath(os.environ.get(SESSION_NAME, "")).name[:_MAX_NAME_CHARS]
