"""No isolation: the supervisor is a plain process. For trusted people on their own machine, and for tests.

It never starts by itself: :func:`~embedenv_jupyter.sandbox.choose.choose` takes
it only when ``allow_unsafe`` is set.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import replace

from embedenv_jupyter.sandbox import uids
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import exec_keeper


class UnsafeTier:
    """Runs each room as plain processes of this machine."""

    name = "unsafe"
    unprotected: tuple[str, ...] = (
        "Programs read and change every file that the gateway's user may.",
        "Programs see, signal and trace the other processes of that user, the gateway itself among them.",
        "Programs use the network as this machine does, and see the ports of all other rooms.",
        "No limit holds: memory, processes, processor time and disk are the whole machine's.",
    )

    def __init__(self) -> None:
        self._sandboxes: weakref.WeakSet[Sandbox] = weakref.WeakSet()

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one room's supervisor.

        Raises:
            SandboxUnavailableError: it did not come up; the text has its last words.
        """
        place = await Place.prepare(spec)
        spec = place.spec
        try:
            connection, keeper = exec_keeper.start(
                place.command, {"spec": spec.to_dict(), "home": place.home}, place.release
            )
        except BaseException:
            await place.release()
            raise
        sandbox = Sandbox(
            spec, connection, keeper, self.name, home=place.home, runtime=spec.runtime_dir or place.base
        )
        self._sandboxes.add(sandbox)
        return await exec_keeper.served(sandbox, keeper)

    async def aclose(self) -> None:
        for sandbox in list(self._sandboxes):
            await sandbox.aclose("tier closed")


class Place:
    """What one room without a mount namespace has on the host: its folders and, under root, its user.

    Made by :meth:`prepare`; ``spec`` is the one that was asked for, with the workspace filled in.
    """

    def __init__(self, spec: SandboxSpec, base: str, lease: uids.UidLease | None) -> None:
        self.spec = spec
        self.base = base
        self._lease = lease

    @classmethod
    async def prepare(cls, spec: SandboxSpec) -> Place:
        """Make the folders and lease the user.

        Raises:
            SandboxUnavailableError: there is no free user, or a folder of the spec cannot be given to it.
        """
        base = tempfile.mkdtemp(prefix="embedenv-room-")
        try:
            os.mkdir(f"{base}/scratch", 0o700)
            if spec.workspace is None:
                os.mkdir(f"{base}/home", 0o700)
                spec = replace(spec, workspace=f"{base}/home")
            lease = await uids.lease_for(spec) if os.geteuid() == 0 else None
        except BaseException:
            await exec_keeper.remove_tree(base)
            raise
        if lease is not None:
            for folder in (base, f"{base}/scratch"):
                os.chown(folder, lease.uid, lease.uid)
        return cls(spec, base, lease)

    @property
    def home(self) -> str:
        assert self.spec.workspace is not None, "filled in by prepare"
        return self.spec.workspace

    @property
    def tmp(self) -> str:
        return f"{self.base}/scratch"

    def command(self, channel_fd: int, lifeline_fd: int) -> list[str]:
        """Return the command of the monitor that guards the supervisor."""
        uid = [str(self._lease.uid)] if self._lease is not None else []
        return exec_keeper.python_command(
            "embedenv_jupyter.sandbox.monitor", str(channel_fd), str(lifeline_fd), *uid
        )

    async def release(self) -> None:
        """Remove the room's folders and give its user id back."""
        await exec_keeper.remove_tree(self.base)
        if self._lease is not None:
            self._lease.release()
