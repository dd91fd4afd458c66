"""Namespaces made by bubblewrap(1), for hosts where only it may make them, such as Ubuntu with its profile.

The room looks as in the tier ``ns``, and its supervisor puts the same layers on
itself. It costs an exec of bubblewrap and of Python for each room.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import cgroups, confine, rootfs, uids
from embedenv_jupyter.sandbox.image import PACKAGE, Image, Tree, TreeLease, required_tree
from embedenv_jupyter.sandbox.image import lease as image_lease
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import HOME, RUNTIME, RUNTIME_BYTES, SandboxSpec
from embedenv_jupyter.sandbox.tiers import exec_keeper
from embedenv_jupyter.sandbox.tiers.exec_keeper import ExecKeeper, Release, release_all
from embedenv_jupyter.sandbox.tiers.exec_rooms import ExecRooms
from embedenv_jupyter.sandbox.tiers.host_limits import HostLimits

USER_ID = 1000
"""What the room's user is called inside."""

_MAX_INFO_BYTES = 16 << 10


class BwrapTier:
    """Runs rooms in namespaces that bubblewrap makes.

    They stand on ``image``, or on the one of their spec, else on the host.
    """

    name = "bwrap"
    unprotected: tuple[str, ...]

    def __init__(self, *, use_cgroups: bool = True, image: Image | None = None) -> None:
        self._tree = required_tree(image, self.name) if image is not None else None
        self._program = shutil.which("bwrap")
        self._limits = HostLimits(use_cgroups=use_cgroups)
        self._host = rootfs.look_at_host(module_folders())
        self._rooms = ExecRooms(self._limits)
        self.unprotected = tuple(_what_is_left(self._limits, is_root=os.geteuid() == 0))

    @property
    def limits(self) -> HostLimits:
        """What limits the rooms from outside."""
        return self._limits

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start one room.

        Raises:
            SandboxUnavailableError: it did not come up; the text says why.
        """
        if self._program is None:
            raise SandboxUnavailableError("bubblewrap is not installed: there is no program bwrap.")
        path = spec.image or self._tree
        ground = image_lease(path) if path is not None else None
        tree = ground.tree if ground is not None else None
        releases: list[Release] = [_given_back(ground)] if ground is not None else []
        try:
            lease = await uids.lease_for(spec) if os.geteuid() == 0 else None
        except BaseException:
            await release_all(releases)
            raise
        releases += [_given_back(lease)] if lease is not None else []
        uid = lease.uid if lease is not None else None
        try:
            group = self._limits.create_group(spec.limits)
        except OSError as exc:
            await release_all(releases)
            raise SandboxUnavailableError(f"The host refuses what the room needs: {exc}") from exc

        def execute(channel_fd: int) -> ExecKeeper:
            keeper = self._execute(spec, channel_fd, uid, tree)
            # What cgroup v1 has frozen does not die with bubblewrap, nor would it thaw it.
            keeper.holdings.may_freeze = isinstance(group, cgroups.GroupV2)
            return keeper

        def make(connection: socket.socket, keeper: ExecKeeper) -> Sandbox:
            return Sandbox(spec, connection, keeper, self.name, lease=ground)

        async def find_supervisor(keeper: ExecKeeper) -> int:
            """Learn the supervisor's pid while bubblewrap waits, and put it into its cgroup."""
            pid = await _said_pid(keeper)
            for folder in group.folders if group is not None else ():
                cgroups.write(f"{folder}/cgroup.procs", str(pid))
            keeper.tell(b"g")
            return pid

        return await self._rooms.start(
            execute, find_supervisor, self._configuration(spec), make, releases, group
        )

    def _configuration(self, spec: SandboxSpec) -> dict[str, Any]:
        cores = self._limits.cores(spec.limits)
        layers = self._limits.layers(confine.EVERYWHERE, pinned=cores is not None)
        return {"spec": spec.to_dict(), "confine": layers, "cores": cores}

    def _execute(self, spec: SandboxSpec, channel_fd: int, uid: int | None, tree: Tree | None) -> ExecKeeper:
        assert self._program is not None, "start() has looked"
        with ExitStack() as files:
            own = {path: _memory_file(files, text) for path, text in own_configuration(spec, USER_ID).items()}
            arguments = _memory_file(files, "\0".join(self.arguments(spec, own, tree)) + "\0")
            program = [self._program, "--args", str(arguments)]
            interpreter, package_root = (
                (sys.executable, str(exec_keeper.PACKAGE_ROOT)) if tree is None else (tree.python, PACKAGE)
            )
            supervisor = exec_keeper.python_command(
                "embedenv_jupyter.sandbox.supervisor", str(channel_fd),
                interpreter=interpreter, package_root=package_root,
            )  # fmt: skip

            def command(lifeline: int) -> Sequence[str]:
                answers = ["--info-fd", str(lifeline), "--block-fd", str(lifeline)]
                return [*program, *answers, "--", *supervisor]

            return exec_keeper.execute(command, [channel_fd, arguments, *own.values()], uid=uid)

    def arguments(self, spec: SandboxSpec, own: dict[str, int], tree: Tree | None = None) -> list[str]:
        """Return what bubblewrap is told; ``own`` are the room's own files of /etc, as descriptors.

        Handed over in a file: a command line can be read by everybody on the host.
        """
        return [
            "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try",
            *(() if spec.network else ("--unshare-net",)),
            "--uid", str(USER_ID), "--gid", str(USER_ID), "--hostname", spec.hostname,
            "--as-pid-1", "--die-with-parent", "--cap-drop", "ALL", "--clearenv", "--chdir", "/",
            *self._system(own, tree), *_writable(spec), *self._folders(spec, tree),
            "--remount-ro", "/dev", "--remount-ro", "/",
        ]  # fmt: skip

    def _system(self, own: dict[str, int], tree: Tree | None) -> Iterator[str]:
        root = tree.path if tree is not None else ""
        configuration = rootfs.image_configuration(root) if tree is not None else self._host.configuration
        for folder in ("/etc", "/home", "/run", "/var"):
            yield from ("--perms", "0755", "--dir", folder)
        yield from ("--ro-bind", f"{root}/usr", "/usr")
        for path in (*(f"/{name}" for name in rootfs.SHELL_FOLDERS), *configuration):
            if os.path.islink(root + path):
                yield from ("--symlink", os.readlink(root + path), path)
            elif os.path.exists(root + path):
                yield from ("--ro-bind", root + path, path)
        for path, fd in own.items():
            yield from ("--perms", "0644", "--ro-bind-data", str(fd), path)
        yield from ("--proc", "/proc", "--dev", "/dev")

    def _folders(self, spec: SandboxSpec, tree: Tree | None) -> Iterator[str]:
        """Bind the interpreter's folders and those of the spec, over everything else."""
        if tree is None:
            shown = [*self._host.python, *((folder, folder) for folder in self._host.data)]
        else:
            rootfs.refuse_the_images_own(spec.read_only)
            shown = [(folder, tree.path + folder) for folder in rootfs.image_data(tree.path)]
            package = str(exec_keeper.PACKAGE_ROOT / "embedenv_jupyter")
            shown.append((f"{PACKAGE}/embedenv_jupyter", package))
        named = ((folder, os.path.realpath(folder)) for folder in spec.read_only)
        for name, real in (*shown, *named):
            yield from ("--ro-bind", real, name)

    async def aclose(self) -> None:
        await self._rooms.aclose()


def module_folders() -> list[str]:
    """Return the folders that this process imports packages from."""
    return [path for path in sys.path if path.rstrip("/").endswith(("site-packages", "dist-packages"))]


def own_configuration(spec: SandboxSpec, uid: int) -> dict[str, str]:
    """Return the files of /etc that say who and where a room's programs are."""
    return {
        "/etc/passwd": (
            f"root:x:0:0:root:/root:/bin/sh\nuser:x:{uid}:{uid}:user:{HOME}:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "/etc/group": f"root:x:0:\ntty:x:5:\nuser:x:{uid}:\nnogroup:x:65534:\n",
        "/etc/hosts": f"127.0.0.1 localhost {spec.hostname}\n::1 localhost ip6-localhost\n",
        "/etc/hostname": f"{spec.hostname}\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    }


def _writable(spec: SandboxSpec) -> Iterator[str]:
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108
        yield from ("--perms", "1777", "--size", str(spec.limits.tmp_bytes), "--tmpfs", folder)
    if spec.workspace is None:
        yield from ("--perms", "0755", "--size", str(spec.limits.workspace_bytes), "--tmpfs", HOME)
    else:
        yield from ("--bind", os.path.realpath(spec.workspace), HOME)
    yield from ("--perms", "0700", "--size", str(RUNTIME_BYTES), "--tmpfs", RUNTIME)
    yield from ("--symlink", "/tmp", "/var/tmp", "--symlink", "/run", "/var/run")  # noqa: S108
    if spec.network and os.path.exists("/etc/resolv.conf"):
        yield from ("--ro-bind", os.path.realpath("/etc/resolv.conf"), "/etc/resolv.conf")


def _memory_file(files: ExitStack, text: str) -> int:
    """Return a file in memory that holds ``text``, to be read from its beginning."""
    fd = os.memfd_create("bwrap", os.MFD_CLOEXEC)
    files.callback(os.close, fd)
    os.write(fd, text.encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _given_back(lease: uids.UidLease | TreeLease) -> Release:
    async def release() -> None:
        lease.release()

    return release


async def _said_pid(keeper: ExecKeeper) -> int:
    """Read what bubblewrap says of itself: an object with the pid of its child."""
    said = b""
    while said.count(b"}") == 0 and len(said) < _MAX_INFO_BYTES:
        more = await keeper.heard()
        if not more:
            raise ValueError("bubblewrap ended before it had made the room")
        said += more
    return int(json.loads(said)["child-pid"])


def _what_is_left(limits: HostLimits, *, is_root: bool) -> Iterator[str]:
    yield "A flaw in this machine's Linux kernel, which all rooms use directly."
    yield "Measuring other rooms through caches and timing of the shared processors."
    yield "A workspace that is a folder of the host is measured now and then, not limited."
    yield "A room with network=True reaches whatever this machine reaches."
    yield from limits.what_is_left()
    if not is_root:
        yield "Rooms run as the gateway's own user: what breaks out of one has that user's rights."
