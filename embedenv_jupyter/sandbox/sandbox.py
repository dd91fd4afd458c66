"""The gateway's side of one room's supervisor.

A :class:`Sandbox` sends requests over the channel and turns the answers into
values, processes and checked file descriptors. The supervisor is not trusted
after the room has run a program: what it sends is bounded and looked at before
it is used, and what must work against its will goes through the tier's
:class:`~embedenv_jupyter.sandbox.tiers.Keeper`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal as signals
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxGoneError, SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox.contents import in_thread
from embedenv_jupyter.sandbox.files import SandboxFiles
from embedenv_jupyter.sandbox.forked_kernel import ForkedKernel
from embedenv_jupyter.sandbox.image import TreeLease
from embedenv_jupyter.sandbox.keeper import Keeper
from embedenv_jupyter.sandbox.own_ports import OwnPorts
from embedenv_jupyter.sandbox.ports import HostPorts
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.received import (
    is_terminal_master,
)
from embedenv_jupyter.sandbox.requests import TIMEOUT_S, Requests
from embedenv_jupyter.sandbox.spec import HOME, Breach, ExitStatus, SandboxSpec, Usage
from embedenv_jupyter.sandbox.streams import ByteSink, ByteSource
from embedenv_jupyter.sandbox.watch import tree_bytes

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5.0

_MEASURED_BYTES = 1 << 40

BreachCallback = Callable[[Breach, str], None]


async def nobody_looks() -> None:
    """Stand in for who watches the limits, where nobody does."""


class Sandbox:
    """One isolated environment: programs, :attr:`files`, ports, limits.

    Made by a tier's ``start``. All methods raise :class:`SandboxGoneError` once
    it has ended, :class:`SandboxTimeoutError` when the supervisor is silent, and
    :class:`SandboxRequestError` when it refuses.
    """

    def __init__(
        self,
        spec: SandboxSpec,
        connection: socket.socket,
        keeper: Keeper,
        tier_name: str,
        *,
        home: str = HOME,
        own_disk: bool | None = None,
        host_ports: HostPorts | None = None,
        lease: TreeLease | None = None,
    ) -> None:
        self.spec = spec
        self.keeper = keeper
        self.tier_name = tier_name
        self.home = home
        """The workspace as the room's programs see it."""
        self.own_disk = spec.workspace is None if own_disk is None else own_disk
        """Whether the workspace is a file system of its own, whose size is its limit."""
        self._host_ports = host_ports
        self._lease = lease
        self.on_exit: Callable[[ExitStatus], None] = lambda _: None
        """Called after each end of a program with how it ended: the time to look at the limits."""
        self.look_at_limits: Callable[[], Awaitable[None]] = nobody_looks
        """Looks at the limits now; what was run into until then is reported when this returns."""
        self.cause: str | None = None
        """Why it ended, one word or two; ``None`` while it lives."""
        self.exit_status: ExitStatus | None = None
        """How its supervisor ended; ``None`` while it lives, and where nobody can tell."""
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._workspace_fd = -1
        self._listeners: list[BreachCallback] = []
        self._breaches: set[Breach] = set()
        self._closing: asyncio.Task[None] | None = None
        self._ready_kernel: tuple[ForkedKernel, str] | None = None
        self._requests = Requests(
            connection,
            on_ready=self._is_ready,
            on_exit=self._exited,
            on_end=self._channel_ended,
        )
        self.files = SandboxFiles(self._requests)
        self._own_ports = OwnPorts(self._requests)

    # Life.

    async def ready(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the supervisor serves."""
        try:
            async with deadline(timeout_s):
                await asyncio.shield(self._ready)  # others may wait for the same event
        except TimeoutError:
            raise SandboxTimeoutError("ready", timeout_s) from None

    @property
    def is_alive(self) -> bool:
        return self.cause is None

    @property
    def is_outdated(self) -> bool:
        """Whether a new sandbox would stand on another tree, as an image was built anew since."""
        return self._lease is not None and self._lease.is_outdated

    @property
    def running_jobs(self) -> int:
        """How many programs that were started through this object still run."""
        return self._requests.running

    @property
    def breaches(self) -> frozenset[Breach]:
        """The limits that were run into so far."""
        return frozenset(self._breaches)

    @property
    def workspace_fd(self) -> int:
        """The workspace's directory, for fstatvfs and listing; -1 before ready and after the end."""
        return self._workspace_fd

    def subscribe(self, callback: BreachCallback) -> Callable[[], None]:
        """Call back with each breach of a limit; returns what ends the subscription."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback) if callback in self._listeners else None

    def breached(self, breach: Breach, detail: str) -> None:
        """Note that a limit was run into (called by whoever watches it)."""
        self._breaches.add(breach)
        for callback in list(self._listeners):
            callback(breach, detail)

    async def wait_gone(self) -> str:
        """Wait for the end of the sandbox and return its cause."""
        await self._gone.wait()
        assert self.cause is not None
        return self.cause

    def lost(self, cause: str) -> None:
        """Note that the sandbox has ended; idempotent, the first cause stays."""
        if self.cause is not None:
            return
        self.cause = cause
        if self._ready_kernel is not None:
            self._ready_kernel[0].close()
        self._requests.close(cause)
        if not self._ready.done():
            self._ready.set_exception(SandboxGoneError(cause))
            self._ready.exception()  # retrieved: nobody has to wait for it
        if self._workspace_fd >= 0:
            os.close(self._workspace_fd)
            self._workspace_fd = -1
        self._gone.set()

    async def aclose(self, cause: str = "closed") -> None:
        """End the sandbox and everything in it; idempotent, safe to call together."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(cause))
        await asyncio.shield(self._closing)

    async def _close(self, cause: str) -> None:
        self.lost(cause)  # the end of the channel ends the supervisor, and with it the room
        await self.keeper.resume()  # one that is frozen would not notice
        try:
            await self._wait_dead()
        finally:
            await self.keeper.release()

    async def _wait_dead(self) -> ExitStatus | None:
        """Wait for the supervisor's death, kill it when it does not come; ``None``: not even then."""
        for expected in ("by itself", "when it was killed"):
            try:
                async with deadline(CLOSE_TIMEOUT_S):
                    self.exit_status = await self.keeper.wait()
                    return self.exit_status
            except TimeoutError:
                log.warning("sandbox %s did not end %s", self.spec.id, expected)
                self.keeper.kill()
        return None

    # The channel.

    async def request(
        self, op: str, fds: Sequence[int] = (), *, timeout_s: float = TIMEOUT_S, **fields: Any
    ) -> tuple[dict[str, Any], list[int]]:
        """Ask the supervisor; return its answer and the descriptors, which are now the caller's."""
        return await self._requests.request(op, fds, timeout_s=timeout_s, **fields)

    def _is_ready(self, workspace_fd: int) -> None:
        self._workspace_fd = workspace_fd
        if not self._ready.done():
            self._ready.set_result(None)

    def _exited(self, status: ExitStatus) -> None:
        self.on_exit(status)

    def _channel_ended(self, fault: str) -> None:
        """The supervisor is gone: learn why from the host's side, then tell everybody."""
        if fault:
            log.warning("sandbox %s broke its channel: %s", self.spec.id, fault)
            self.keeper.kill()
        if self._closing is None and self.cause is None:
            self._closing = asyncio.create_task(self._died())

    async def _died(self) -> None:
        before = self.keeper.counters().oom_kills
        status = await self._wait_dead()
        oom = Breach.OOM in self._breaches or before > 0
        was_killed = status is not None and status.signal == signals.SIGKILL
        self.lost("oom" if oom and was_killed else f"died: {status or 'no status'}")
        await self.keeper.release()

    # Programs.

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a program on three pipes. ``cwd`` is relative to the workspace, or absolute inside."""
        answer, fds = await self.request("spawn", argv=list(argv), cwd=cwd, env=dict(env or {}))
        return Process.piped(self._requests, answer, fds)

    async def fork_script(
        self,
        path: str,
        argv: Sequence[str] = (),
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Run a Python program on three pipes in a fork of the supervisor, whose interpreter runs already.

        ``path`` is relative to ``cwd``. What the program sees is in :mod:`.script`.
        """
        answer, fds = await self.request(
            "fork_script", path=path, argv=list(argv), cwd=cwd, env=dict(env or {})
        )
        return Process.piped(self._requests, answer, fds)

    async def spawn_driver(
        self, argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[Process, ByteSink, ByteSource]:
        """Start a program that has two pipes more than :meth:`spawn` gives it.

        What is written to the sink it reads from descriptor 3; what it writes to 4 comes from the source.
        """
        answer, fds = await self.request("spawn", argv=list(argv), cwd=cwd, env=dict(env or {}), side=True)
        process = Process.piped(self._requests, answer, fds, side=2)
        return process, ByteSink(fds[3]), ByteSource(fds[4])

    async def spawn_pty(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        size: tuple[int, int] = (24, 80),
        echo: bool = True,
        cooked: bool = True,
    ) -> Process:
        """Start a program on a terminal of ``size`` rows and columns.

        ``echo=False`` does not repeat the input; ``cooked=False`` leaves line
        ends as the program wrote them.
        """
        answer, fds = await self.request(
            "spawn_pty", argv=list(argv), cwd=cwd, env=dict(env or {}), size=list(size),
            echo=echo, cooked=cooked,
        )  # fmt: skip
        process = Process.started(self._requests, answer, fds, 1, is_terminal_master, "terminal")
        process.terminal = fds[0]
        process.stdout = ByteSource(fds[0])
        try:
            process.stdin = ByteSink(os.dup(fds[0]))
        except OSError:  # no descriptors left
            process.close()
            raise
        return process

    async def fork_kernel(
        self,
        name: str,
        key: str,
        *,
        argv: Sequence[str] = (),
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> ForkedKernel:
        """Fork a Python kernel from the warm supervisor and wait until its sockets are bound.

        ``name`` (letters and digits) names its folder and is used once in a room;
        ``key`` signs its messages.

        Raises:
            SandboxRequestError: it ended before it served; the text has its last words.
        """
        answer, fds = await self.request(
            "fork_kernel", name=name, key=key, argv=list(argv), cwd=cwd, env=dict(env or {})
        )
        kernel = ForkedKernel.started(self._requests, answer, fds)
        try:
            await kernel.ready()
        except BaseException:
            kernel.close()
            raise
        return kernel

    def keep_ready(self, kernel: ForkedKernel, key: str) -> None:
        """Let a forked kernel wait for whoever asks for one first (see :mod:`.pool`)."""
        self._ready_kernel = kernel, key

    def take_ready_kernel(self) -> tuple[ForkedKernel, str] | None:
        """Return the kernel that stands ready and its key, once; it is now the caller's."""
        ready, self._ready_kernel = self._ready_kernel, None
        if ready is not None and ready[0].process.status is not None:
            ready[0].close()
            return None
        return ready

    async def signal_all(self, signum: int) -> None:
        """Signal every process of the room except the supervisor."""
        await self.request("signal_all", signal=int(signum))

    # Ports.

    async def connect(self, port: int, timeout_s: float = TIMEOUT_S) -> socket.socket:
        """Connect to a TCP port on the room's own loopback; the socket does not block.

        Raises:
            ConnectionRefusedError: nothing listens there.
        """
        if not 0 < port < 1 << 16:
            raise SandboxRequestError("connect", errno.EINVAL, detail=f"{port} is no port")
        return await self._ports.connect(port, timeout_s)

    async def ports(self) -> set[int]:
        """Return the TCP ports that programs of the room listen on."""
        return await self._ports.listening()

    @property
    def _ports(self) -> HostPorts | OwnPorts:
        if self._host_ports is not None and self.cause is None:
            return self._host_ports
        return self._own_ports

    # The whole.

    async def pause(self) -> None:
        """Stop the clock of every program in the room."""
        if not await self.keeper.pause():
            await self.signal_all(signals.SIGSTOP)

    async def resume(self) -> None:
        """Undo :meth:`pause`."""
        if not await self.keeper.resume():
            await self.signal_all(signals.SIGCONT)

    async def reset(self) -> None:
        """Kill every program of the room; files stay."""
        await self.signal_all(signals.SIGKILL)

    async def usage(self) -> Usage:
        """Sample what the sandbox uses."""
        counters = self.keeper.counters()
        return Usage(
            cpu_s=counters.cpu_s,
            memory_bytes=counters.memory_bytes,
            memory_peak_bytes=counters.memory_peak_bytes,
            pids=counters.pids,
            disk_bytes=await self._disk_bytes(),
        )

    async def _disk_bytes(self) -> int | None:
        if self._workspace_fd < 0:
            return None
        if not self.own_disk:
            return await in_thread(self._workspace_fd, lambda own: tree_bytes(own, _MEASURED_BYTES))
        found = os.fstatvfs(self._workspace_fd)
        return (found.f_blocks - found.f_bfree) * found.f_frsize
