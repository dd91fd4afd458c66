"""Rooms in containers, by docker or podman: where neither namespaces nor bubblewrap are ours to use.

The engine runs our supervisor in a container that is as closed as its options
allow; the supervisor then closes what they leave open. It connects from inside to
a socket in a folder that is bound into the container, and from then on everything
is as in the other tiers, descriptors included: engine and gateway share a kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import secrets
import socket
import struct
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import SandboxError, SandboxUnavailableError
from embedenv_jupyter.sandbox import channel, confine, rootfs, uids
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import HOME, RUNTIME, RUNTIME_BYTES, SandboxSpec
from embedenv_jupyter.sandbox.tiers import exec_keeper
from embedenv_jupyter.sandbox.tiers.bwrap import module_folders
from embedenv_jupyter.sandbox.tiers.container_keeper import ContainerKeeper
from embedenv_jupyter.sandbox.tiers.engine import Engine, EngineError
from embedenv_jupyter.sandbox.tiers.exec_keeper import Release
from embedenv_jupyter.sandbox.watch import Monitor

DEFAULT_IMAGE = "docker.io/library/python:3.12-slim"
"""Any image with Python 3.11 or later will do; kernels need one with ipykernel."""

CONNECT_TIMEOUT_S = 20.0
LABEL = "embedenv.gateway"
_PACKAGE_INSIDE = "/opt/embedenv"
_RENDEZVOUS_INSIDE = "/run/embedenv"
_SOCKET = "supervisor"
_FOLDER_PREFIX = "embedenv-call-"
_MAX_FOLDER_LENGTH = 40
_ULIMIT_PROCESSES = 16_384
_LOG_OPTIONS = {
    "docker": ("--log-driver", "json-file", "--log-opt", "max-size=64k", "--log-opt", "max-file=1"),
    "podman": ("--log-driver", "k8s-file", "--log-opt", "max-size=64kb"),
}
_TMPFS = "rw,exec,nosuid,nodev"


class ContainerTier:
    """Runs each room in a container of its own.

    ``image`` is what the container stands on; ``rootfs`` a folder in its place
    (podman only), and ``python`` its interpreter. With ``host_python`` our own one and
    its packages are bound into the container, which then needs the same C library. ``engine_options`` stand
    before each command (``--runtime``, ``--context``), ``run_options`` among those of
    ``run``, after ours.
    """

    name: str
    unprotected: tuple[str, ...]

    def __init__(
        self,
        engine: str = "docker",
        *,
        image: str = DEFAULT_IMAGE,
        rootfs_folder: str | None = None,
        python: str = "python3",
        host_python: bool = False,
        engine_options: tuple[str, ...] = (),
        run_options: tuple[str, ...] = (),
    ) -> None:
        self.name = engine
        self._engine = Engine(engine, engine_options)
        self._image = image
        self._rootfs = rootfs_folder
        self._interpreter = sys.executable if host_python else python
        self._folders_of_python = rootfs.look_at_host(module_folders()).python if host_python else ()
        self._run_options = run_options
        self._monitor = Monitor()
        self._sandboxes: set[Sandbox] = set()
        self._cleaning: set[asyncio.Task[None]] = set()
        self._swept = False
        self._sweeping = asyncio.Lock()
        self.unprotected = tuple(_what_is_left(engine))

    @classmethod
    def on(cls, engine: str, image: Image | None) -> ContainerTier:
        """Make the tier with the image that an operator named.

        Raises:
            SandboxUnavailableError: it is a tree, and engines stand on images of their own.
        """
        if image is None:
            return cls(engine)
        if image.engine is not None:
            return cls(engine, image=image.engine)
        raise SandboxUnavailableError(
            f"{engine} has images of its own and does not know {image.name!r}.",
            (f"embedenv image load NAME {engine}   (for an image that `embedenv image build` has made)",),
        )

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one room.

        Raises:
            SandboxUnavailableError: the engine refuses, or the room did not come up.
        """
        if spec.image is not None:
            raise SandboxUnavailableError(
                f"Rooms of {self.name} stand on the tier's image; {spec.image} cannot take its place."
            )
        await self._sweep_once()
        keeper = ContainerKeeper(self._engine, f"embedenv-{secrets.token_hex(8)}", self._own)
        try:
            connection = await self._called(spec, keeper)
        except BaseException as exc:
            reason = await self._last_words(keeper) if isinstance(exc, TimeoutError) else str(exc)
            self._own(keeper.discard())
            if isinstance(exc, (EngineError, TimeoutError, OSError)):
                raise SandboxUnavailableError(f"{self.name}: {reason}") from exc
            raise
        sandbox = Sandbox(spec, connection, keeper, self.name)
        keeper.releases.append(lambda: self._forget(sandbox))
        self._sandboxes.add(sandbox)
        try:
            await sandbox.ready()
        except BaseException as exc:
            words = await self._last_words(keeper)
            self._own(sandbox.aclose("did not start"))
            if isinstance(exc, SandboxError):
                raise SandboxUnavailableError(f"{self.name}: {words or exc}") from exc
            raise
        self._monitor.add(sandbox)
        return sandbox

    async def _called(self, spec: SandboxSpec, keeper: ContainerKeeper) -> socket.socket:
        """Start the container, wait for its supervisor's call, and tell it how to be."""
        lease = await uids.lease_for(spec) if os.geteuid() == 0 else None
        if lease is not None:
            keeper.releases.append(_given_back(lease))
        rendezvous = Rendezvous()
        keeper.releases.append(rendezvous.remove)
        user = lease.uid if lease is not None else os.geteuid()
        await self._engine.run(*self.run_arguments(spec, user, rendezvous.folder, keeper.container))
        keeper.attach(int(await self._engine.run("inspect", "--format", "{{.State.Pid}}", keeper.container)))
        async with deadline(CONNECT_TIMEOUT_S):
            connection = await rendezvous.accept(keeper.host_pid)
        try:
            layers = list(confine.EVERYWHERE)
            channel.send(connection, {"op": "configure", "spec": spec.to_dict(), "confine": layers})
        except BaseException:
            connection.close()
            raise
        return connection

    def run_arguments(self, spec: SandboxSpec, user: int, rendezvous: str, name: str) -> list[str]:
        """Return the engine's command, by its words, that starts the room ``name`` as ``user``."""
        limits = spec.limits
        return [
            "run", "--detach", "--pull", "never",
            "--name", name, "--label", f"{LABEL}={gateway_mark()}",
            *_LOG_OPTIONS[self.name],
            "--hostname", spec.hostname, "--workdir", "/", "--user", f"{user}:{user}",
            *(("--userns", "keep-id") if self._engine.is_rootless else ()),
            *(() if spec.network else _no_network()),
            "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only",
            *(("--read-only-tmpfs=false",) if self.name == "podman" else ()),
            "--ipc", "private", "--shm-size", str(limits.tmp_bytes),
            *_number("--memory", limits.memory_bytes), *_number("--memory-swap", limits.memory_bytes),
            *_number("--pids-limit", limits.pids), *_number("--cpus", _cores(limits.cpu_cores)),
            "--ulimit", f"nofile={limits.open_files}:{limits.open_files}", "--ulimit", "core=0:0",
            *(_process_ulimit() if self.name == "podman" else ()),
            *self._folders(spec, user, rendezvous), *self._run_options, *self._command(),
        ]  # fmt: skip

    def _folders(self, spec: SandboxSpec, user: int, rendezvous: str) -> Iterator[str]:
        owner = f",uid={user},gid={user}" if self.name == "docker" else ""
        mode = "0755" if owner else "1777"  # podman's tmpfs belongs to root of the container
        yield from ("--tmpfs", f"/tmp:{_TMPFS},mode=1777,size={spec.limits.tmp_bytes}")  # noqa: S108
        if spec.workspace is None:
            yield from ("--tmpfs", f"{HOME}:{_TMPFS},mode={mode},size={spec.limits.workspace_bytes}{owner}")
        else:
            yield from _bind(spec.workspace, HOME, writable=True)
        yield from ("--tmpfs", f"{RUNTIME}:{_TMPFS},mode={mode},size={RUNTIME_BYTES}{owner}")
        yield from _bind(rendezvous, _RENDEZVOUS_INSIDE)
        package = exec_keeper.PACKAGE_ROOT / "embedenv_jupyter"
        yield from _bind(str(package), f"{_PACKAGE_INSIDE}/embedenv_jupyter")
        for name, real in self._folders_of_python:
            yield from _bind(real, name)
        for folder in spec.read_only:
            yield from _bind(folder, folder)

    def _command(self) -> Iterator[str]:
        yield from ("--entrypoint", self._interpreter)
        yield from ("--rootfs", self._rootfs) if self._rootfs is not None else (self._image,)
        socket_inside = f"{_RENDEZVOUS_INSIDE}/{_SOCKET}"
        yield from exec_keeper.python_command(
            "embedenv_jupyter.sandbox.supervisor", socket_inside,
            interpreter=self._interpreter, package_root=_PACKAGE_INSIDE,
        )[1:]  # fmt: skip

    async def _last_words(self, keeper: ContainerKeeper) -> str:
        """Return what a supervisor that is missed has said, if its container was made at all."""
        try:
            said = await self._engine.run("logs", "--tail", "1", keeper.container)
        except EngineError as exc:
            return exc.reason
        return said or "the supervisor did not call in time"

    async def _sweep_once(self) -> None:
        """Remove the containers of gateways that were killed, before our first one is made."""
        async with self._sweeping:
            if self._swept:
                return
            found = await self._engine.run("ps", "--all", "--quiet", "--filter", f"label={LABEL}")
            with contextlib.suppress(EngineError):  # another gateway may remove them at the same time
                await self._remove_stale(found.split())
            for folder in _stale_folders():
                await exec_keeper.remove_tree(folder)
            self._swept = True

    async def _remove_stale(self, containers: list[str]) -> None:
        if not containers:
            return
        marks = f'{{{{.Id}}}} {{{{index .Config.Labels "{LABEL}"}}}}'
        listed = await self._engine.run("inspect", "--format", marks, *containers)
        pairs = (line.split() for line in listed.splitlines())
        stale = [container for container, mark in pairs if not is_alive(mark)]
        if stale:
            await self._engine.run("rm", "--force", *stale)

    async def _forget(self, sandbox: Sandbox) -> None:
        self._monitor.remove(sandbox)
        self._sandboxes.discard(sandbox)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done that nobody waits for now; ``aclose`` will."""
        task = asyncio.create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def aclose(self) -> None:
        await asyncio.gather(*(sandbox.aclose("tier closed") for sandbox in self._sandboxes))
        while self._cleaning:
            await asyncio.gather(*self._cleaning)
        await self._monitor.aclose()


class Rendezvous:
    """A socket in a folder of its own, where one supervisor calls."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{gateway_mark()}-", dir=_short_folder())
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = Path(self.folder, _SOCKET)
        try:
            self._server.bind(str(path))
            # The room has a user of its own, so others get as far as to be turned away in accept().
            path.chmod(0o666)
            path.parent.chmod(0o711)
            self._server.listen()
            self._server.setblocking(False)
        except BaseException:
            self.close()
            path.parent.rmdir()
            raise

    async def accept(self, pid: int | None) -> socket.socket:
        """Wait for the process ``pid``, or where that is not known, for the first that calls."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._server)
            if pid is None or _peer(connection) == pid:
                self.close()
                return connection
            connection.close()

    def close(self) -> None:
        """Let nobody call any more; idempotent."""
        self._server.close()
        Path(self.folder, _SOCKET).unlink(missing_ok=True)

    async def remove(self) -> None:
        """Close, and remove the folder."""
        self.close()
        await exec_keeper.remove_tree(self.folder)


def _given_back(lease: uids.UidLease) -> Release:
    async def release() -> None:
        lease.release()

    return release


def _peer(connection: socket.socket) -> int:
    """Return the pid of the process that called, as our pid namespace numbers it (unix(7))."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    return int(struct.unpack("iII", found)[0])


def _short_folder() -> str:
    """Return where the folders of sockets are: the path of a socket has 108 bytes at most (unix(7))."""
    usual = tempfile.gettempdir()
    return usual if len(usual) < _MAX_FOLDER_LENGTH else "/tmp"  # noqa: S108


def _stale_folders() -> Iterator[str]:
    """Yield the folders of our user's gateways that were killed."""
    for folder in Path(_short_folder()).glob(f"{_FOLDER_PREFIX}*-*"):
        mark = folder.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if not is_alive(mark):
            yield str(folder)  # that of another user stays, as rm(1) may not remove it


def gateway_mark() -> str:
    """Return what names this process and no later one with the same pid."""
    return f"{os.getpid()}.{_started(os.getpid())}"


def is_alive(mark: str) -> bool:
    """Tell whether the process with this mark still runs."""
    pid, _, started = mark.strip().partition(".")
    return pid.isdigit() and started != "" and _started(int(pid)) == started


def _started(pid: int) -> str:
    """Return when a process was started, in ticks since boot (proc_pid_stat(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""


def _bind(source: str, target: str, *, writable: bool = False) -> tuple[str, str]:
    """Bind a folder of the host. Not by --volume, which makes a folder that is missing.

    Raises:
        SandboxUnavailableError: the engine cannot be told a path like this one.
    """
    words = [f"source={os.path.realpath(source)}", f"target={target}"]
    if any(mark in word for word in words for mark in ',"\n'):
        raise SandboxUnavailableError(f"{source!r} cannot be bound into a container: it has a comma or quote")
    return "--mount", ",".join(["type=bind", *words, *([] if writable else ["readonly"])])


def _no_network() -> Iterator[str]:
    """Leave the room its loopback, also by IPv6, which docker switches off there."""
    yield from ("--network", "none")
    if os.path.exists("/proc/sys/net/ipv6"):
        yield from ("--sysctl", "net.ipv6.conf.all.disable_ipv6=0")


def _cores(wanted: float | None) -> float | None:
    """Engines refuse to give more cores than there are."""
    return None if wanted is None else min(wanted, float(os.cpu_count() or 1))


def _process_ulimit() -> tuple[str, str]:
    """Ask for less than podman's own wish, which needs CAP_SYS_RESOURCE; --pids-limit is what counts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    wanted = _ULIMIT_PROCESSES if hard == resource.RLIM_INFINITY else min(hard, _ULIMIT_PROCESSES)
    return "--ulimit", f"nproc={wanted}:{wanted}"


def _number(option: str, value: float | None) -> tuple[str, ...]:
    return () if value is None else (option, str(value))


def _what_is_left(engine: str) -> Iterator[str]:
    yield "A flaw in this machine's Linux kernel, which all rooms use directly."
    yield "Measuring other rooms through caches and timing of the shared processors."
    yield f"A flaw in {engine}: who may use it has, in its ordinary setting, the power of root."
    yield "A workspace that is a folder of the host is measured now and then, not limited."
    yield "A room with network=True reaches whatever containers reach here, this machine included."
