"""No isolation: the supervisor is a plain process. For trusted people on their own machine, and for tests.

It never starts by itself: :func:`~embedenv_jupyter.sandbox.choose.choose` takes
it only when ``allow_unsafe`` is set.
"""

from __future__ import annotations

from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers.host_limits import HostLimits
from embedenv_jupyter.sandbox.tiers.host_rooms import HostRooms


class UnsafeTier:
    """Runs each room as plain processes of this machine, under root as a user of its own."""

    name = "unsafe"
    unprotected: tuple[str, ...] = (
        "Programs read and change every file that their user may; without root that is the gateway's user.",
        "Programs see the other processes of this machine, and signal and trace those of their user.",
        "Programs use the network as this machine does, and reach the ports of all rooms.",
        "Limits hold against accidents only: whoever wants to gets around them.",
    )

    def __init__(self, *, use_cgroups: bool = True) -> None:
        self._rooms = HostRooms(self.name, HostLimits(use_cgroups=use_cgroups))

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one room.

        Raises:
            SandboxUnavailableError: it did not come up; the text says why.
        """
        return await self._rooms.start(spec)

    async def aclose(self) -> None:
        await self._rooms.aclose()
