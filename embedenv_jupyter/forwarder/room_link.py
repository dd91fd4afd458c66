"""The link to a kernel of this very process: it cannot be cut, only the kernel's end ends it."""

from __future__ import annotations

import asyncio
from typing import Final

from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.forwarder.link import Event, Gone
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.authors import Senders
from embedenv_jupyter.kernels.kernel import Kernel
from embedenv_jupyter.kernels.link import KernelLink
from embedenv_jupyter.protocols.kernels import Message

USER: Final = "local"
COLOUR: Final = "#6366f1"


class RoomLink:
    """Joins the kernel when it is first used, in the task that uses it.

    ``senders`` knows who sent what, where several people send through the same relay.
    """

    def __init__(self, kernel: Kernel, senders: Senders | None = None) -> None:
        self._kernel = kernel
        self._senders = senders
        self._joined: KernelLink | None = None
        self._joining = asyncio.Lock()

    async def _link(self) -> KernelLink:
        async with self._joining:
            if self._joined is None:
                self._joined = await KernelLink.join(self._kernel, USER, COLOUR)
            return self._joined

    async def send(self, message: Message) -> None:
        login = None
        if self._senders is not None:
            login = self._senders.take(self._kernel.id, messages.id_of(message.parts))
        await (await self._link()).send(message, login)

    async def receive(self) -> Event:
        try:
            return await (await self._link()).receive()
        except EmbedEnvError as exc:  # it has ended, or takes no more clients
            return Gone(str(exc))

    async def aclose(self) -> None:
        if self._joined is not None:
            await self._joined.aclose()
