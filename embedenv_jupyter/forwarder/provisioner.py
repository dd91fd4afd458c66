"""Forwards a notebook's kernel without a process of its own, where the server that starts it has rooms.

jupyter_client makes one of these for each kernel whose spec names
``embedenv-forwarding``. Inside a Jupyter server with our extension the relay runs
in the server's own loop and reaches the room by direct calls; anywhere else, and
where the environment names another gateway, the spec's process is started.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from embedenv_jupyter.client.address import ROOM_VARIABLE, URL_VARIABLE
from embedenv_jupyter.errors import EmbedEnvError, RoomClosedError, UnknownRoomError
from embedenv_jupyter.forwarder.connection import ConnectionInfo, Sockets
from embedenv_jupyter.forwarder.language_link import LANGUAGE_VARIABLE, in_language
from embedenv_jupyter.forwarder.link import Link
from embedenv_jupyter.forwarder.publisher import SETTLE_S
from embedenv_jupyter.forwarder.relay import Relay
from embedenv_jupyter.forwarder.room_link import RoomLink
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.rooms.room import Room

log = logging.getLogger(__name__)

EXTENSION: Final = "embedenv_jupyter"
SESSION_NAME: Final = "JPY_SESSION_NAME"
_MAX_NAME_CHARS: Final = 64


class _HasGateway(Protocol):
    gateway: Gateway


class RoomKernel:
    """A kernel in a room of this process, and the relay that carries it to Jupyter's sockets."""

    def __init__(
        self, gateway: Gateway, room: Room, kernel: Kernel, *, is_own_room: bool, language: str
    ) -> None:
        self._gateway = gateway
        self._room = room
        self._kernel = kernel
        self._is_own_room = is_own_room
        self._language = language
        self._relay: Relay | None = None
        self._has_served = False
        self._serving: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, gateway: Gateway, environment: Mapping[str, str], id: str) -> RoomKernel:
        """Start a kernel, in the room that the environment names or in a new one.

        It has the ``id`` there that it has in Jupyter, so that who knows one finds the other.

        Raises:
            EmbedEnvError: there is none to be had; the text says why.
        """
        await gateway.ready()
        language = environment.get(LANGUAGE_VARIABLE, "")
        if room_id := environment.get(ROOM_VARIABLE):
            found = gateway.rooms.find(room_id)
            if found is None or found.account != LOCAL_ACCOUNT.id:
                raise UnknownRoomError(room_id)
            kernel = await gateway.kernels.of(found).start(id=id)
            return cls(gateway, found, kernel, is_own_room=False, language=language)
        room = (await gateway.rooms.open(LOCAL_ACCOUNT, space="notebook", warm=True)).room
        if name := PurePosixPath(environment.get(SESSION_NAME, "")).name[:_MAX_NAME_CHARS]:
            gateway.rooms.rename(room, name)
        try:
            kernel = await gateway.kernels.of(room).start(id=id)
            return cls(gateway, room, kernel, is_own_room=True, language=language)
        except BaseException:
            await room.aclose("kernel did not start")
            raise

    @property
    def is_open(self) -> bool:
        """Whether the room is still there, so that a restart can stay in it."""
        return self._room.end_reason is None

    @property
    def is_serving(self) -> bool:
        return self._serving is not None and not self._serving.done()

    def serve(self, connection_file: Path) -> None:
        """Bind the sockets of a connection file and carry what goes through them."""
        senders = self._gateway.senders
        senders.watch(self._kernel.id)
        link = in_language(RoomLink(self._kernel, senders), self._language)
        sockets = Sockets(ConnectionInfo.read(connection_file))
        self._relay = Relay(sockets, link, settle_s=SETTLE_S if self._has_served else 0.0)
        self._has_served = True
        self._serving = asyncio.create_task(
            self._serve(self._relay, sockets, link), name="relay in the server"
        )

    async def _serve(self, relay: Relay, sockets: Sockets, link: Link) -> None:
        try:
            await relay.run()
        finally:
            await link.aclose()
            await sockets.aclose()

    async def restart(self) -> None:
        """Put a fresh kernel in the place of this one, in the same room.

        Raises:
            EmbedEnvError: it does not start.
        """
        await self._kernel.restart()

    async def interrupt(self) -> None:
        await self._kernel.interrupt()

    async def stop(self) -> None:
        """Carry no more; idempotent."""
        if self._relay is not None:
            self._relay.stop()
        if self._serving is not None:
            await asyncio.wait({self._serving})

    async def end(self) -> None:
        """Shut the kernel down, and the room if it was opened for it and nobody else is there."""
        await self.stop()
        self._gateway.senders.forget(self._kernel.id)
        try:
            kernels = self._gateway.kernels.of(self._room)
        except RoomClosedError:
            return
        try:
            await kernels.shutdown(self._kernel.id)
        except EmbedEnvError as exc:  # somebody else was faster
            log.debug("no kernel to shut down: %s", exc)
        if self._is_own_room and not self._room.is_busy and not len(kernels):
            await self._room.aclose("notebook closed")


class ForwardingProvisioner(LocalProvisioner):
    """What jupyter_client holds of one forwarded kernel."""

    _held: RoomKernel | None = None
    _folder: Path | None = None
    _environment: Mapping[str, str] = {}
    _is_here = False

    @property
    def _manager(self) -> Any:
        """The kernel manager that made us."""
        assert self.parent is not None
        return self.parent

    def _gateway(self) -> Gateway | None:
        """Return the gateway of the Jupyter server that makes us, if it has one."""
        server = getattr(getattr(self.parent, "parent", None), "parent", None)
        manager = getattr(server, "extension_manager", None)
        apps: set[_HasGateway] = getattr(manager, "extension_apps", {}).get(EXTENSION, set())
        return next((app.gateway for app in apps), None)

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        named = os.environ.get(URL_VARIABLE) or self.kernel_spec.env.get(URL_VARIABLE)
        self._is_here = self._gateway() is not None and not named
        if not self._is_here:
            return await super().pre_launch(**kwargs)
        kwargs = await KernelProvisionerBase.pre_launch(self, **kwargs)
        self._environment = kwargs["env"]
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="embedenv-f-"))
            self._manager.transport = "ipc"
            self._manager.ip = str(self._folder / "k")
        self._manager.write_connection_file()
        self.connection_info = self._manager.get_connection_info()
        return {**kwargs, "cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        if not self._is_here:
            return await super().launch_kernel(cmd, **kwargs)
        gateway = self._gateway()
        assert gateway is not None, "pre_launch has seen one"
        if self._held is not None and self._held.is_open:
            await self._held.restart()
        else:
            self._held = await RoomKernel.open(gateway, self._environment, str(self.kernel_id))
        self._held.serve(Path(self._manager.connection_file))
        return self.connection_info

    @property
    def has_process(self) -> bool:
        return self._held is not None if self._is_here else super().has_process

    async def poll(self) -> int | None:
        if not self._is_here:
            return await super().poll()
        return None if self._held is not None and self._held.is_serving else 0

    async def wait(self) -> int | None:
        if not self._is_here:
            return await super().wait()
        if self._held is not None:
            await self._held.stop()
        return 0

    async def send_signal(self, signum: int) -> None:
        if not self._is_here:
            await super().send_signal(signum)
        elif self._held is not None and signum == signal.SIGINT:
            await self._held.interrupt()
        elif self._held is not None and signum != 0:
            await self._held.stop()

    async def kill(self, restart: bool = False) -> None:
        await (self.send_signal(signal.SIGKILL) if self._is_here else super().kill(restart))

    async def terminate(self, restart: bool = False) -> None:
        await (self.send_signal(signal.SIGTERM) if self._is_here else super().terminate(restart))

    async def cleanup(self, restart: bool = False) -> None:
        if not self._is_here:
            await super().cleanup(restart)
            return
        held = self._held
        if held is not None and restart:
            await held.stop()
        elif held is not None:
            self._held = None
            await held.end()
        if self._folder is not None and not restart:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
