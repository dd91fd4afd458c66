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
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from embedenv_jupyter.errors import SandboxGoneError, SandboxRequestError, SandboxTimeoutError
from embedenv_jupyter.sandbox import channel
from embedenv_jupyter.sandbox.ports import HostPorts
from embedenv_jupyter.sandbox.spec import HOME, RUNTIME, Breach, ExitStatus, FileInfo, SandboxSpec, Usage
from embedenv_jupyter.sandbox.streams import ByteSink, ByteSource
from embedenv_jupyter.sandbox.tiers import Keeper
from embedenv_jupyter.sandbox.watch import tree_bytes

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0
LONG_TIMEOUT_S = 120.0
CLOSE_TIMEOUT_S = 5.0
MAX_LISTED = 10_000
MAX_STRAYS = 1000
"""How many messages that nobody asked for one sandbox may send, beyond one for each request."""

_PTMX = os.makedev(5, 2)
_MEASURED_BYTES = 1 << 40
_NOBODY_LISTENS = (errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH)

BreachCallback = Callable[[Breach, str], None]
Accepts = Callable[[os.stat_result], bool]


class Process:
    """A program in a sandbox. ``terminal`` is set for one on a terminal, else the pipes are."""

    def __init__(self, sandbox: Sandbox, job: int, pid: int) -> None:
        self._sandbox = sandbox
        self._job = job
        self._ended = sandbox.exit_of(job)
        self.pid = pid
        self.terminal: int | None = None
        self.stdin: ByteSink | None = None
        self.stdout: ByteSource | None = None
        self.stderr: ByteSource | None = None

    @property
    def status(self) -> ExitStatus | None:
        """How it ended, or ``None`` while it runs."""
        if not self._ended.done() or self._ended.cancelled():
            return None
        return None if self._ended.exception() else self._ended.result()

    async def wait(self) -> ExitStatus:
        """Wait for the end of the program.

        Raises:
            SandboxGoneError: the sandbox ended first.
        """
        return await asyncio.shield(self._ended)

    async def signal(self, signum: int, target: str = "group") -> None:
        """Signal its ``process``, ``group`` or ``session``, or what its terminal has in the ``foreground``.

        Raises:
            ProcessLookupError: nothing of it is left.
        """
        try:
            await self._sandbox.request("signal", job=self._job, signal=int(signum), target=target)
        except SandboxRequestError as exc:
            if exc.errno == errno.ESRCH:
                raise ProcessLookupError(exc.errno, str(exc)) from exc
            raise

    async def awaiting_input(self) -> bool | None:
        """Tell whether it waits for input on its terminal; ``None`` when the tier cannot see."""
        answer, _ = await self._sandbox.request("awaiting_input", job=self._job)
        value = answer.get("awaiting")
        return value if isinstance(value, bool) else None

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size in characters."""
        if self.terminal is not None:
            import termios

            termios.tcsetwinsize(self.terminal, (rows, columns))

    def close(self) -> None:
        """Close the gateway's ends; the program itself lives on. Idempotent."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.terminal = None


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
        runtime: str = RUNTIME,
        own_disk: bool | None = None,
        host_ports: HostPorts | None = None,
    ) -> None:
        connection.setblocking(False)
        self.spec = spec
        self.keeper = keeper
        self.tier_name = tier_name
        self.home = home
        """The workspace as the room's programs see it."""
        self.runtime = runtime
        """Where ``spec.runtime_dir`` is for them."""
        self.own_disk = spec.workspace is None if own_disk is None else own_disk
        """Whether the workspace is a file system of its own, whose size is its limit."""
        self._host_ports = host_ports
        self.on_exit: Callable[[], None] = lambda: None
        """Called after each end of a program: the time to look at the limits."""
        self.cause: str | None = None
        """Why it ended, one word or two; ``None`` while it lives."""
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone = asyncio.Event()
        self._pending: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._exits: dict[int, asyncio.Future[ExitStatus]] = {}
        self._next_id = 1
        self._strays = 0
        self._sending = asyncio.Lock()
        self._workspace_fd = -1
        self._listeners: list[BreachCallback] = []
        self._breaches: set[Breach] = set()
        self._closing: asyncio.Task[None] | None = None
        self._loop.add_reader(connection.fileno(), self._receive)

    # Life.

    async def ready(self, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
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
    def running_jobs(self) -> int:
        """How many programs that were started through this object still run."""
        return sum(not ended.done() for ended in self._exits.values())

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
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        gone = SandboxGoneError(cause)
        futures: list[asyncio.Future[Any]] = [self._ready, *self._pending.values(), *self._exits.values()]
        for future in futures:
            if not future.done():
                future.set_exception(gone)
                future.exception()  # retrieved: nobody has to wait for it
        self._pending.clear()
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
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.keeper.wait()
        except TimeoutError:
            log.warning("sandbox %s did not end by itself, killing it", self.spec.id)
            self.keeper.kill()
            await self.keeper.wait()
        finally:
            await self.keeper.release()

    # The channel.

    async def request(
        self, op: str, fds: Sequence[int] = (), *, timeout_s: float = REQUEST_TIMEOUT_S, **fields: Any
    ) -> tuple[dict[str, Any], list[int]]:
        """Ask the supervisor; return its answer and the descriptors, which are now the caller's."""
        if self.cause is not None:
            raise SandboxGoneError(self.cause)
        number = self._next_id
        self._next_id += 1
        data = channel.encode({"op": op, "id": number, **fields})
        future: asyncio.Future[tuple[dict[str, Any], list[int]]] = self._loop.create_future()
        self._pending[number] = future
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(data, fds)
                message, received = await future
        except BaseException as exc:
            # The answer may have come in the same turn of the loop as the deadline or a cancellation.
            if future.done() and not future.cancelled() and future.exception() is None:
                _close_all(future.result()[1])
            if isinstance(exc, TimeoutError):
                raise SandboxTimeoutError(op, timeout_s) from None
            raise
        finally:
            self._pending.pop(number, None)
        error = message.get("error")
        if error is None:
            return message, received
        _close_all(received)
        raise _request_error(op, error)

    async def _send(self, data: bytes, fds: Sequence[int]) -> None:
        async with self._sending:
            while True:
                try:
                    socket.send_fds(self._connection, [data], list(fds))
                    return
                except BlockingIOError:
                    await self._writable()
                except OSError as exc:
                    raise SandboxGoneError(self.cause or "channel closed") from exc

    async def _writable(self) -> None:
        waiter = self._loop.create_future()
        watched = os.dup(self._connection.fileno())
        self._loop.add_writer(watched, lambda: None if waiter.done() else waiter.set_result(None))
        try:
            await waiter
        finally:
            self._loop.remove_writer(watched)
            os.close(watched)

    def _receive(self) -> None:
        for _ in range(64):  # then let others have the loop
            try:
                received = channel.receive(self._connection)
            except BlockingIOError:
                return
            except (channel.ChannelError, OSError) as exc:
                self._broken(str(exc))
                return
            if received is None:
                self._channel_ended()
                return
            if not self._dispatch(*received):
                self._strays += 1
                if self._strays > MAX_STRAYS + self._next_id:
                    self._broken("it floods the gateway with messages")
                    return

    def _broken(self, reason: str) -> None:
        log.warning("sandbox %s broke its channel: %s", self.spec.id, reason)
        self.keeper.kill()
        self._channel_ended()

    def _dispatch(self, message: dict[str, Any], fds: list[int]) -> bool:
        """Give a message to whom it is for; tell whether somebody waited for it."""
        match message:
            case {"event": "ready"} if len(fds) == 1 and not self._ready.done():
                if stat.S_ISDIR(os.fstat(fds[0]).st_mode):
                    self._workspace_fd = fds.pop()
                    self._ready.set_result(None)
                    return True
            case {"event": "exit", "job": int(job), "status": int(status)}:
                _close_all(fds)
                waited_for = job in self._exits
                ended = self.exit_of(job)
                if not ended.done():
                    ended.set_result(ExitStatus.from_returncode(status))
                self.on_exit()
                return waited_for
            case {"id": int(number)} if number in self._pending:
                future = self._pending.pop(number)
                if not future.done():
                    future.set_result((message, fds))
                    return True
        _close_all(fds)
        return False

    def _channel_ended(self) -> None:
        """The supervisor is gone: learn why from the host's side, then tell everybody."""
        self._loop.remove_reader(self._connection.fileno())
        if self._closing is None and self.cause is None:
            self._closing = asyncio.create_task(self._died())

    async def _died(self) -> None:
        before = self.keeper.counters().oom_kills
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                status = await self.keeper.wait()
        except TimeoutError:
            self.keeper.kill()
            status = await self.keeper.wait()
        oom = Breach.OOM in self._breaches or before > 0
        self.lost("oom" if oom and status.signal == signals.SIGKILL else f"died: {status}")
        await self.keeper.release()

    def exit_of(self, job: int) -> asyncio.Future[ExitStatus]:
        """Return what will hold how a job ended."""
        future = self._exits.get(job)
        if future is None:
            future = self._exits[job] = self._loop.create_future()
            future.add_done_callback(lambda _: self._exits.pop(job, None))
        return future

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

    def _piped(self, answer: dict[str, Any], fds: list[int]) -> Process:
        process = self._started(answer, fds, 3, _is_pipe, "pipe")
        process.stdin = ByteSink(fds[0])
        process.stdout = ByteSource(fds[1])
        process.stderr = ByteSource(fds[2])
        return process

    def _started(
        self, answer: dict[str, Any], fds: list[int], count: int, accepts: Accepts, kind: str
    ) -> Process:
        _check(fds, count, accepts, kind)
        match answer:
            case {"job": int(job), "pid": int(pid)}:
                return Process(self, job, pid)
        _close_all(fds)
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
        process = self._started(answer, fds, 1, _is_terminal_master, "terminal")
        process.terminal = fds[0]
        process.stdout = ByteSource(fds[0])
        process.stdin = ByteSink(os.dup(fds[0]))
        return process

    async def fork_kernel(
        self,
        connection_file: str,
        *,
        argv: Sequence[str] = (),
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Fork a Python kernel from the warm supervisor; ``stderr`` has what it says before it serves."""
        answer, fds = await self.request(
            "fork_kernel", connection_file=connection_file, argv=list(argv), cwd=cwd, env=dict(env or {})
        )
        process = self._started(answer, fds, 1, _is_pipe, "pipe")
        process.stderr = ByteSource(fds[0])
        return process

    async def signal_all(self, signum: int) -> None:
        """Signal every process of the room except the supervisor."""
        await self.request("signal_all", signal=int(signum))

    # Files. Paths are relative to the workspace and never leave it.

    async def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
        """Open a file or folder of the workspace; the descriptor is the caller's."""
        _, fds = await self.request("open", path=path, flags=flags, mode=mode)
        _check(fds, 1, lambda f: stat.S_ISREG(f.st_mode) or stat.S_ISDIR(f.st_mode), "file")
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
            return await asyncio.to_thread(_read_up_to, fd, limit_bytes)
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
        fd = os.memfd_create("content", os.MFD_CLOEXEC)
        try:
            await asyncio.to_thread(_write_all, fd, content)
            answer, fds = await self.request(
                "write", [fd], timeout_s=LONG_TIMEOUT_S, path=path, mode=mode,
                expected_sha256=expected_sha256, exclusive=exclusive,
            )  # fmt: skip
            _close_all(fds)
        finally:
            os.ftruncate(fd, 0)  # a supervisor that keeps the descriptor must not keep our memory
            os.close(fd)
        return str(answer.get("sha256", ""))

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
        _, fds = await self.request("open", path=path, flags=os.O_PATH | os.O_NOFOLLOW)
        _check(fds, 1, lambda found: True, "file")
        try:
            return _info(path.rstrip("/").rpartition("/")[2], os.fstat(fds[0]))
        finally:
            os.close(fds[0])

    async def list(self, path: str = "") -> list[FileInfo]:
        """List a folder in the order of names, at most ``MAX_LISTED`` entries."""
        fd = await self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return await asyncio.to_thread(_list, fd)
        finally:
            os.close(fd)

    async def snapshot(self) -> Process:
        """Write the workspace as tar: read ``stdout`` to its end, then ``wait``."""
        answer, fds = await self.request("snapshot")
        process = self._started(answer, fds, 2, _is_pipe, "pipe")
        process.stdout = ByteSource(fds[0])
        process.stderr = ByteSource(fds[1])
        return process

    async def restore(self, source: int) -> None:
        """Unpack the tar stream behind the descriptor ``source`` into the workspace."""
        answer, fds = await self.request("restore", [source])
        process = self._started(answer, fds, 1, _is_pipe, "pipe")
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

    async def connect(self, port: int, timeout_s: float = REQUEST_TIMEOUT_S) -> socket.socket:
        """Connect to a TCP port on the room's own loopback; the socket does not block.

        Raises:
            ConnectionRefusedError: nothing listens there.
        """
        if not 0 < port < 1 << 16:
            raise SandboxRequestError("connect", errno.EINVAL, detail=f"{port} is no port")
        if self._host_ports is not None and self.cause is None:
            return await self._host_ports.connect(port, timeout_s)
        for ipv6 in (False, True):
            try:
                _, fds = await self.request("connect", port=port, ipv6=ipv6)
                _check(fds, 1, lambda found: stat.S_ISSOCK(found.st_mode), "socket")
                connection = socket.socket(fileno=fds[0])
                return await self._connected(connection, timeout_s)
            except SandboxRequestError as exc:
                if exc.errno not in _NOBODY_LISTENS:
                    raise
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"nothing listens on port {port} in this room")

    async def _connected(self, connection: socket.socket, timeout_s: float) -> socket.socket:
        waiter = self._loop.create_future()
        self._loop.add_writer(connection.fileno(), lambda: None if waiter.done() else waiter.set_result(None))
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise SandboxRequestError("connect", code)
        except BaseException as exc:
            self._loop.remove_writer(connection.fileno())
            connection.close()
            if isinstance(exc, TimeoutError):
                raise SandboxTimeoutError("connect", timeout_s) from None
            raise
        self._loop.remove_writer(connection.fileno())
        return connection

    async def ports(self) -> set[int]:
        """Return the TCP ports that programs of the room listen on."""
        if self._host_ports is not None and self.cause is None:
            return await self._host_ports.listening()
        answer, _ = await self.request("ports")
        found = answer.get("ports")
        return {p for p in found if isinstance(p, int)} if isinstance(found, list) else set()

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
        own = os.dup(self._workspace_fd)  # the end of the sandbox closes the original
        try:
            if not self.own_disk:
                return await asyncio.to_thread(tree_bytes, own, _MEASURED_BYTES)
            found = os.fstatvfs(own)
            return (found.f_blocks - found.f_bfree) * found.f_frsize
        finally:
            os.close(own)


def _is_pipe(found: os.stat_result) -> bool:
    return stat.S_ISFIFO(found.st_mode)


def _is_terminal_master(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == _PTMX


def _check(fds: list[int], count: int, accepts: Accepts, kind: str) -> None:
    """Refuse descriptors that are not what was asked for; the supervisor is not trusted.

    Raises:
        SandboxRequestError: and all of them are closed.
    """
    if len(fds) == count and all(accepts(os.fstat(fd)) for fd in fds):
        return
    _close_all(fds)
    raise SandboxRequestError("receive", errno.EPROTO, detail=f"the sandbox did not hand out a {kind}")


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def _request_error(op: str, error: Any) -> SandboxRequestError:
    if not isinstance(error, dict):
        return SandboxRequestError(op, errno.EPROTO)
    number = error.get("errno")
    return SandboxRequestError(
        op,
        number if isinstance(number, int) else errno.EPROTO,
        str(error.get("path") or "")[:4096],
        str(error.get("detail") or "")[:500],
    )


def _read_up_to(fd: int, limit: int) -> bytes:
    parts = []
    while limit > 0 and (block := os.read(fd, min(limit, 1 << 20))):
        parts.append(block)
        limit -= len(block)
    return b"".join(parts)


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _list(fd: int) -> list[FileInfo]:
    found: list[FileInfo] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found.append(_info(entry.name, entry.stat(follow_symlinks=False)))
            if len(found) == MAX_LISTED:
                break
    return sorted(found, key=lambda info: info.name)


def _info(name: str, found: os.stat_result) -> FileInfo:
    if stat.S_ISDIR(found.st_mode):
        kind = "folder"
    elif stat.S_ISREG(found.st_mode):
        kind = "file"
    else:
        kind = "link" if stat.S_ISLNK(found.st_mode) else "other"
    return FileInfo(name, kind, found.st_size, found.st_mtime, stat.S_IMODE(found.st_mode))
