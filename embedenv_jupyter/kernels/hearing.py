"""Reading what a kernel's process says, at the pace that the logs take, to the end of its sockets.

A process that does not speak as a kernel does is ended, with its fault; its watcher tells everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.kernels.channels import Channel, unwrapped
from embedenv_jupyter.kernels.process import KernelProcess
from embedenv_jupyter.kernels.session import Batches

log = logging.getLogger(__name__)

WELCOME_TIMEOUT_S: Final = 10.0
FINISH_S: Final = 3.0
"""How long the end of a process and the end of its sockets may lie apart."""

Take = Callable[[tuple[bytes, ...]], None]


class Hearing:
    """Hears one process of a kernel after another; ``paced`` waits while no more can be taken."""

    def __init__(self, kernel_id: str, *, told: Take, paced: Callable[[], Awaitable[None]]) -> None:
        self._kernel_id = kernel_id
        self._told = told
        self._paced = paced
        self._iopub: Channel | None = None
        self._listener: asyncio.Task[None] | None = None
        self._welcomed = asyncio.Event()

    async def begin(self, process: KernelProcess) -> None:
        """Hear what a process tells everybody, and wait until it says that nothing of that is missed.

        Raises:
            SandboxError, OSError, RemoteProtocolError: it cannot be reached.
            TimeoutError: it says nothing.
        """
        self._welcomed.clear()
        self._iopub = await process.connect("iopub", "SUB")
        listening = self.carry(process, self._iopub.messages(), self._heard)
        self._listener = asyncio.create_task(listening, name=f"iopub of {self._kernel_id}")
        async with deadline(WELCOME_TIMEOUT_S):
            await self._welcomed.wait()

    def _heard(self, parts: tuple[bytes, ...]) -> None:
        if b'"iopub_welcome"' in parts[0]:
            self._welcomed.set()
        else:
            self._told(parts)

    async def end(self) -> None:
        """Hear what is left of a process that ends, and let go of it; idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(TimeoutError):
                async with deadline(FINISH_S):
                    await asyncio.wait({listener})
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        if self._iopub is not None:
            await self._iopub.aclose()
            self._iopub = None

    async def carry(self, process: KernelProcess, batches: Batches, take: Take) -> None:
        """Read one of a process's sockets to its end, which is the end of the process."""
        try:
            async for batch in batches:
                for frames in batch:
                    take(unwrapped(frames))
                await self._paced()
        except RemoteProtocolError as exc:
            await self._broken(process, str(exc))
        except Exception:
            log.exception("what kernel %s said was not handled", self._kernel_id)
            await self._broken(process, "the gateway failed; its log says why")
        else:
            if not await process.ends_within(FINISH_S):
                await self._broken(process, "it closed its sockets")

    async def _broken(self, process: KernelProcess, fault: str) -> None:
        log.warning("kernel %s is ended: %s", self._kernel_id, fault)
        process.fault = process.fault or fault
        await process.signal(signal.SIGKILL)
