"""The gateway's side of one room's supervisor.

A :class:`Sandbox` sends requests over the channel and turns the answers into
values, processes and checked file descriptors. The supervisor is not trusted
after the room has run a program: what it sends is bounded and looked at before
it is used, and what must work against its will goes through the tier's
:class:`~embedenv_jupyter.sandbox.tiers.Keeper`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal as signals
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from embedenv_jupyter.errors import SandboxGoneError, SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox.contents import file_info, in_thread, list_folder, read_up_to, write_all
from embedenv_jupyter.sandbox.forked_kernel import ForkedKernel
from embedenv_jupyter.sandbox.image import TreeLease
from embedenv_jupyter.sandbox.keeper import Keeper
from embedenv_jupyter.sandbox.own_ports import OwnPorts
from embedenv_jupyter.sandbox.ports import HostPorts
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.received import (
    Accepts,
    check,
    close_all,
    is_file_or_folder,
    is_folder,
    is_pipe,
    is_terminal_master,
)
from embedenv_jupyter.sandbox.requests import TIMEOUT_S, Requests
from embedenv_jupyter.sandbox.spec import HOME, Breach, ExitStatus, FileInfo, SandboxSpec, Usage
from embedenv_jupyter.sandbox.streams import ByteSink, ByteSource
from embedenv_jupyter.sandbox.watch import tree_bytes

log = logging.getLogger(__name__)

LONG_TIMEOUT_S = 120.0
CLOSE_TIMEOUT_S = 5.0

_MEASURED_BYTES = 1 << 40

BreachCallback = Callable[[Breach, str], None]


async def nobody_looks() -> None:
    """Stand in for who watches the limits, where nobody does."""


class Sandbox:
    """One isolated environment: programs, files, ports, limits.

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
        self._own_ports = OwnPorts(self._requests)

    # Life.

    async def ready(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the supervisor serves."""
        try:
            async with asyncio.timeout(timeout_s):
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
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
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
        return self._piped(answer, fds)

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
        return self._piped(answer, fds)

    async def spawn_driver(
        self, argv: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None
    ) -> tuple[Process, ByteSink, ByteSource]:
        """Start a program that has two pipes more than :meth:`spawn` gives it.

        What is written to the sink it reads from descriptor 3; what it writes to 4 comes from the source.
        """
        answer, fds = await self.request("spawn", argv=list(argv), cwd=cwd, env=dict(env or {}), side=True)
        process = self._started(answer, fds, 5, is_pipe, "pipe")
        process.stdin, process.stdout, process.stderr = (
            ByteSink(fds[0]),
            ByteSource(fds[1]),
            ByteSource(fds[2]),
        )
        return process, ByteSink(fds[3]), ByteSource(fds[4])

    def _piped(self, answer: dict[str, Any], fds: list[int]) -> Process:
        process = self._started(answer, fds, 3, is_pipe, "pipe")
        process.stdin = ByteSink(fds[0])
        process.stdout = ByteSource(fds[1])
        process.stderr = ByteSource(fds[2])
        return process

    def _started(
        self, answer: dict[str, Any], fds: list[int], count: int, accepts: Accepts, kind: str
    ) -> Process:
        check(fds, count, accepts, kind)
        match answer:
            case {"job": int(job), "pid": int(pid)}:
                return Process(self._requests, job, pid)
        close_all(fds)
        raise SandboxRequestError("receive", errno.EPROTO, detail="the sandbox named no job")

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
        process = self._started(answer, fds, 1, is_terminal_master, "terminal")
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
        *pipes, folder = fds or [-1]
        if len(fds) != 3 or not is_folder(os.fstat(folder)):
            close_all(fds)
            raise SandboxRequestError("fork_kernel", errno.EPROTO, detail="the sandbox handed out no folder")
        try:
            process = self._started(answer, pipes, 2, is_pipe, "pipe")
        except BaseException:
            os.close(folder)
            raise
        process.stderr = ByteSource(pipes[0])
        kernel = ForkedKernel(process, folder, ByteSource(pipes[1]))
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

    # Files. Paths are relative to the workspace and never leave it.

    async def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
        """Open a file or folder of the workspace; the descriptor is the caller's."""
        _, fds = await self.request("open", path=path, flags=flags, mode=mode)
        check(fds, 1, is_file_or_folder, "file")
        return fds[0]

    async def read_file(self, path: str, limit_bytes: int = 64 << 20) -> bytes:
        """Read a whole file of at most ``limit_bytes``."""
        fd = await self.open(path)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise SandboxRequestError("read", errno.EISDIR, path)
            if found.st_size > limit_bytes:
                detail = f"has {found.st_size} bytes, {limit_bytes} are allowed"
                raise SandboxRequestError("read", errno.EFBIG, path, detail)
            return await in_thread(fd, lambda own: read_up_to(own, limit_bytes))
        finally:
            os.close(fd)

    async def write_file(
        self,
        path: str,
        content: bytes,
        *,
        mode: int | None = None,
        expected_sha256: str | None = None,
        exclusive: bool = False,
    ) -> str:
        """Replace a file in one step; parents are made. Returns the content's SHA-256 in hex.

        With ``expected_sha256`` only if the present content has this hash ("" for
        no file), with ``exclusive`` only if there is no such file.
        """
        answer = await self._send_content(
            "write", content, path=path, mode=mode, expected_sha256=expected_sha256, exclusive=exclusive
        )
        return str(answer.get("sha256", ""))

    async def append_file(self, path: str, content: bytes, *, at: int) -> None:
        """Write at the end of a file that has ``at`` bytes; ``ESTALE`` where it has another number."""
        await self._send_content("append", content, path=path, at=at)

    async def _send_content(self, op: str, content: bytes, **fields: Any) -> dict[str, Any]:
        """Ask for something with ``content``, which the supervisor writes: so it counts for the room."""
        fd = os.memfd_create("content", os.MFD_CLOEXEC)
        try:
            await in_thread(fd, lambda own: write_all(own, content))
            answer, fds = await self.request(op, [fd], timeout_s=LONG_TIMEOUT_S, **fields)
            close_all(fds)
        finally:
            os.ftruncate(fd, 0)  # a supervisor that keeps the descriptor must not keep our memory
            os.close(fd)
        return answer

    async def copy_file(self, path: str, to: str) -> None:
        """Copy a file, its mode included; ``EEXIST`` where the new name is taken."""
        fd = await self.open(path)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise SandboxRequestError("copy", errno.EISDIR, path)
            _, fds = await self.request(
                "write", [fd], timeout_s=LONG_TIMEOUT_S, path=to, mode=stat.S_IMODE(found.st_mode),
                expected_sha256=None, exclusive=True,
            )  # fmt: skip
            close_all(fds)
        finally:
            os.close(fd)

    async def copy_folder(self, path: str, to: str) -> None:
        """Copy a folder with all that it holds; ``EEXIST`` where the new name is taken."""
        await self.make_dir(to, exclusive=True)
        process = await self.spawn(["/bin/cp", "-a", "--", f"./{path}/.", f"./{to}/"], cwd=".")
        await self._finish(process, "copy", path)

    async def make_dir(self, path: str, *, exclusive: bool = False) -> None:
        """Make a folder and its parents."""
        await self.request("make_dir", path=path, exclusive=exclusive)

    async def rename(self, path: str, to: str, *, replace: bool = False) -> None:
        """Rename within the workspace."""
        await self.request("rename", path=path, to=to, replace=replace)

    async def remove(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, or with ``recursive`` a folder with all that it holds."""
        answer, fds = await self.request("remove", path=path, recursive=recursive)
        if answer.get("job") is None:
            return
        process = self._piped(answer, fds)
        await self._finish(process, "remove", path)

    async def stat(self, path: str) -> FileInfo:
        """Describe one file or folder, without following a symbolic link."""
        return file_info(path.rstrip("/").rpartition("/")[2], await self.look(path, follow=False))

    async def look(self, path: str, *, follow: bool = True) -> os.stat_result:
        """Return what stat(2) says of a path; links are followed inside the workspace, and no farther."""
        _, fds = await self.request("open", path=path, flags=os.O_PATH | (0 if follow else os.O_NOFOLLOW))
        check(fds, 1, lambda found: True, "file")
        try:
            return os.fstat(fds[0])
        finally:
            os.close(fds[0])

    async def list(self, path: str = "") -> list[FileInfo]:
        """List a folder in the order of names, at most ``MAX_LISTED`` entries."""
        fd = await self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return await in_thread(fd, list_folder)
        finally:
            os.close(fd)

    async def snapshot(self) -> Process:
        """Write the workspace as tar: read ``stdout`` to its end, then ``wait``."""
        answer, fds = await self.request("snapshot")
        process = self._started(answer, fds, 2, is_pipe, "pipe")
        process.stdout = ByteSource(fds[0])
        process.stderr = ByteSource(fds[1])
        return process

    async def restore(self, source: int) -> None:
        """Unpack the tar stream behind the descriptor ``source`` into the workspace."""
        answer, fds = await self.request("restore", [source])
        process = self._started(answer, fds, 1, is_pipe, "pipe")
        process.stderr = ByteSource(fds[0])
        await self._finish(process, "restore", "")

    async def _finish(self, process: Process, op: str, path: str) -> None:
        """Wait for a job that does one request's work; raise what it complained about."""
        assert process.stderr is not None
        try:
            async with asyncio.timeout(LONG_TIMEOUT_S):
                complaint = b""
                while data := await process.stderr.read():
                    complaint = (complaint + data)[-2000:]
                status = await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                await process.signal(signals.SIGKILL)
            raise SandboxTimeoutError(op, LONG_TIMEOUT_S) from None
        finally:
            process.close()
        if status.code != 0:
            lines = complaint.decode(errors="replace").strip().splitlines()
            raise SandboxRequestError(op, errno.EIO, path, lines[-1] if lines else str(status))

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
