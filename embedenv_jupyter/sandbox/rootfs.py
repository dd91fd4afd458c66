"""The file tree of a room: what its programs see of the system, and what is their own.

Theory of operation. The tree is built on a scaffold (:mod:`.scaffold`), on which
nothing that is mounted can hide what is still to be bound. Programs and libraries
come from the system that this process stands on itself: the host, or an image
that it has entered (:mod:`.stand`), where the host's tree is one of its folders.
The read-only folders of the spec come last, over everything else.

What is bound is read-only, recursively (mount_setattr, Linux 5.12); what is
writable is tmpfs of a bounded size, or a folder that the spec names. The caller
is root, or root of a user namespace that owns the mount namespace.

Standard library only: part of the zygote.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import glob
import os
import site
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from embedenv_jupyter.sandbox import scaffold, syscalls
from embedenv_jupyter.sandbox.scaffold import NEW, OLD
from embedenv_jupyter.sandbox.spec import HOME, RUNTIME, RUNTIME_BYTES, SandboxSpec
from embedenv_jupyter.sandbox.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_REC,
)

SHELL_FOLDERS = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")

_CONFIGURATION = (
    "alternatives", "bash.bashrc", "bash_completion.d", "ca-certificates", "debian_version", "emacs",
    "erlang", "fish", "fonts", "fpc*.cfg", "gai.conf", "ghostscript", "gnucobol", "GNUstep", "groovy",
    "ImageMagick*", "inputrc", "java*", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ldc2.conf",
    "localtime", "lsb-release", "magic", "magic.mime", "mailcap", "mime.types", "mono", "nanorc", "nim",
    "octave*", "os-release", "papersize", "perl", "php", "pki/ca-trust", "pki/tls/certs", "profile.d",
    "protocols", "python3*", "R", "racket", "rpc", "sbclrc", "services", "shells", "ssl/certs",
    "ssl/openssl.cnf", "terminfo", "texmf", "timezone", "vim",
)  # fmt: skip
"""What programs read below /etc and every user of the host may read too; no file of secrets."""

_OWN_CONFIGURATION = (
    "passwd", "group", "hosts", "hostname", "nsswitch.conf", "resolv.conf", "host.conf", "mtab",
)  # fmt: skip
"""What a room has of its own below /etc."""

_PRIVATE_CONFIGURATION = ("shadow*", "gshadow*", "passwd-", "group-", "subuid*", "subgid*", "apt", "sudoers*")
"""What of an image's /etc is of no use in a room, or may hold secrets of whoever built it."""

_DATA = ("/var/lib/ghc", "/var/lib/perl6")
"""Where compilers below /usr find their libraries, though it is not below /usr."""

_IMAGE_DATA = ("/opt", "/srv", "/var/cache", "/var/lib")
"""Folders of an image beyond /usr. Not of the host: who knows what is in them there."""

_STORES = ("/nix/store", "/gnu/store")

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

_PROC_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs")
_PROC_HIDDEN = (
    "acpi", "asound", "config.gz", "interrupts", "kallsyms", "kcore", "key-users", "keys", "kmsg",
    "kpagecount", "kpageflags", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats",
)  # fmt: skip
_PROC_STUB = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version")

_OWN = (HOME, RUNTIME, "/tmp", "/dev/pts", "/dev/shm", "/proc", "/etc")  # noqa: S108
"""What no read-only folder may cover."""

_TERMINALS = 64
"""How many pseudo-terminals a room may have open: all rooms share the kernel's 3,072 (kernel.pty.max)."""


@dataclass(frozen=True)
class Host:
    """What every room sees of the system it stands on: looked up once, as long as links still lead there.

    ``configuration`` are paths below /etc; ``python`` pairs each folder of the
    interpreter and its modules, as it is called, with where it really is. ``private``
    are folders below those that no room may look into. ``data`` are folders beyond /usr. ``tree``
    is where the host's own tree lies for a process that stands on an image, else empty.
    """

    configuration: tuple[str, ...]
    python: tuple[tuple[str, str], ...]
    private: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    tree: str = ""


def look_at_host(module_folders: Iterable[str] = (), tree: str = "") -> Host:
    """Find what every room sees; ``module_folders`` are further ones that this process imports from.

    ``tree`` is the host's tree for a process that stands on an image: then it is the image that rooms see.
    """
    python = _resolved(python_folders(module_folders))
    if tree:
        return Host(image_configuration(), python, data=tuple(image_data("")), tree=tree)
    found = (match for pattern in _CONFIGURATION for match in glob.glob(f"/etc/{pattern}"))
    data = tuple(folder for folder in _DATA if os.path.isdir(folder))
    return Host(tuple(sorted(found)), python, _server_settings(), data)


def image_configuration(tree: str = "") -> tuple[str, ...]:
    """Return what rooms see below /etc of an image: all of it but what is their own, and what is private."""
    hidden = (*_OWN_CONFIGURATION, *_PRIVATE_CONFIGURATION)
    names = sorted(os.listdir(f"{tree}/etc"))
    return tuple(
        f"/etc/{name}" for name in names if not any(fnmatch.fnmatchcase(name, known) for known in hidden)
    )


def image_data(tree: str) -> Iterator[str]:
    """Yield the folders beyond /usr that an image has for rooms."""
    yield from (folder for folder in _IMAGE_DATA if os.path.isdir(tree + folder))


def _server_settings() -> tuple[str, ...]:
    """Find what configures Jupyter servers (``jupyter --paths``): tokens and passwords are kept there."""
    prefixes = {"/usr", "/usr/local", sys.prefix, sys.base_prefix}
    prefixes |= {os.path.realpath(prefix) for prefix in prefixes}
    return tuple(sorted(f"{prefix.rstrip('/')}/etc/jupyter" for prefix in prefixes))


def python_folders(module_folders: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the folders that the interpreter of this process, and our package, live in."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    found = [*prefixes, *site.getsitepackages(), *module_folders, package]
    # An interpreter from a store has its libraries all over the store.
    found += [store for store in _STORES if any(is_below(path, store) for path in found)]
    return outermost(path for path in found if os.path.isdir(path))


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that are not below another one, nor below /usr, each once, in order."""
    kept: list[str] = []
    for path in sorted({os.path.normpath(path) for path in paths}, key=len):
        if not any(is_below(path, other) for other in ("/usr", *kept)):
            kept.append(path)
    return tuple(sorted(kept))


def is_below(path: str, folder: str) -> bool:
    """Tell whether a normal path is ``folder`` or something in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def build(spec: SandboxSpec, uid: int, host: Host) -> None:
    """Give this process's mount namespace the tree of a room; the current folder becomes its root.

    ``uid`` is the room's user (and group) as this user namespace numbers it.

    Raises:
        OSError: the kernel refused a step, or a folder of the spec does not exist on
            the host or would hide one of the room's own; the text names it.
    """
    if host.tree:
        refuse_the_images_own(spec.read_only)
    folders = [(target, source, "") for target, source in host.python]
    folders += [(target, source, host.tree) for target, source in _resolved(spec.read_only, host.tree)]
    workspace = real_path(spec.workspace, host.tree) if spec.workspace is not None else None
    resolver = _resolver(host.tree) if spec.network else ""
    scaffold.enter()
    _bind_system()
    _make_configuration(spec, uid, host.configuration, resolver)
    _make_devices(spec)
    _make_writable(spec, uid, None if workspace is None else host.tree + workspace)
    for folder in host.data:
        scaffold.bind(folder, folder)
    for target, source, tree in folders:
        if is_below(target, HOME):
            _bind_inside_home(tree + source, target)
        else:
            scaffold.bind(tree + source, target, required=True)
    for folder in host.private:
        scaffold.hide(NEW + folder)
    _make_proc()
    syscalls.mount_setattr(NEW + "/dev", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
    scaffold.leave()


def _resolved(folders: Iterable[str], tree: str = "") -> tuple[tuple[str, str], ...]:
    """Pair each folder's name inside with where it really is; a link becomes a folder, too."""
    pairs: dict[str, str] = {}
    for folder in folders:
        _refuse_to_hide(folder)
        try:
            real = real_path(folder, tree)
        except OSError as exc:
            raise OSError(exc.errno, f"{folder}: {os.strerror(exc.errno or errno.EINVAL)}") from exc
        _refuse_to_hide(real)
        pairs[os.path.normpath(folder)] = real
        pairs[real] = real
    return tuple((target, pairs[target]) for target in outermost(pairs))


def real_path(path: str, tree: str = "") -> str:
    """Return where a path really leads, within ``tree`` as if that were the root.

    Raises:
        OSError: nothing is there.
    """
    if not tree:
        try:
            return os.path.realpath(path, strict=True)
        except OSError as exc:  # which names the first part of it that is not there
            raise OSError(exc.errno, exc.strerror, path) from exc
    fd = _open_in(tree, path, os.O_PATH)
    try:
        return os.readlink(f"/proc/self/fd/{fd}").removeprefix(tree) or "/"
    finally:
        os.close(fd)


def _open_in(tree: str, path: str, flags: int) -> int:
    root = os.open(tree or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syscalls.openat2(root, path, flags | os.O_CLOEXEC, resolve=syscalls.RESOLVE_IN_ROOT)
    finally:
        os.close(root)


def refuse_the_images_own(folders: Iterable[str]) -> None:
    """Refuse folders of the host where an image has its own: nothing can be put into what is read-only.

    Raises:
        OSError: one of them is such a folder; the text names it.
    """
    for folder in folders:
        for own in ("/usr", *_IMAGE_DATA):
            if is_below(os.path.normpath(folder), own):
                raise OSError(errno.EROFS, f"{folder} cannot be shown in a room that stands on an image: "
                              f"{own} is the image's own")  # fmt: skip


def _refuse_to_hide(folder: str) -> None:
    target = os.path.normpath(folder)
    if not os.path.isabs(target) or any(is_below(own, target) for own in _OWN):
        raise OSError(errno.EINVAL, f"{folder} cannot be read-only: it would hide a folder of the room")


def _bind_inside_home(source: str, target: str) -> None:
    """Bind a folder read-only in the workspace, where an earlier room may have laid links.

    No link on the way is followed, else it would lead our mkdir out of the room.
    """
    fd = os.open(NEW + HOME, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.path.relpath(target, HOME).split("/"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=fd)
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            following = os.open(name, flags, dir_fd=fd)
            os.close(fd)
            fd = following
        scaffold.attach(source, fd)
    finally:
        os.close(fd)


def _bind_system() -> None:
    """Show the system's programs and libraries."""
    scaffold.bind("/usr", "/usr", required=True)
    for name in SHELL_FOLDERS:
        scaffold.bind_or_link(f"/{name}", f"/{name}")


def _make_configuration(spec: SandboxSpec, uid: int, configuration: Iterable[str], resolver: str) -> None:
    os.mkdir(NEW + "/etc", 0o755)
    for name, text in _own_configuration(spec, uid, resolver).items():
        with open(f"{NEW}/etc/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    os.symlink("/proc/self/mounts", NEW + "/etc/mtab")
    for path in configuration:
        scaffold.bind_or_link(path, path)


def _own_configuration(spec: SandboxSpec, uid: int, resolver: str = "") -> dict[str, str]:
    """Return the files of /etc that say who and where a room's programs are."""
    return {
        "passwd": (
            "root:x:0:0:root:/root:/bin/sh\n"
            f"user:x:{uid}:{uid}:user:{HOME}:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "group": f"root:x:0:\ntty:x:5:\nuser:x:{uid}:\nnogroup:x:65534:\n",
        "hosts": f"127.0.0.1 localhost {spec.hostname}\n::1 localhost ip6-localhost\n",
        "hostname": f"{spec.hostname}\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "resolv.conf": resolver,
        "host.conf": "multi on\n",
    }


def _resolver(tree: str) -> str:
    """Return how the host finds names in the network."""
    try:
        with open(
            _open_in(tree, "/etc/resolv.conf", os.O_RDONLY), encoding="utf-8", errors="replace"
        ) as file:
            return file.read(64 << 10)
    except OSError:
        return ""


def _make_devices(spec: SandboxSpec) -> None:
    dev = NEW + "/dev"
    os.mkdir(dev, 0o755)
    syscalls.mount("dev", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64")
    for name in _DEVICES:
        # No attributes: a device node must keep working, and nothing else can be done with it.
        os.close(os.open(f"{dev}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        syscalls.mount(f"{OLD}/dev/{name}", f"{dev}/{name}", flags=MS_BIND)
    os.mkdir(dev + "/pts", 0o755)
    options = f"newinstance,ptmxmode=0666,mode=620,max={_TERMINALS}"
    syscalls.mount("devpts", dev + "/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    os.symlink("pts/ptmx", dev + "/ptmx")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{dev}/{name}")
    os.mkdir(dev + "/shm", 0o755)
    scaffold.mount_tmpfs("/dev/shm", spec.limits.tmp_bytes, "mode=1777")  # noqa: S108


def _make_writable(spec: SandboxSpec, uid: int, workspace: str | None) -> None:
    for folder in ("/tmp", "/var", "/run", HOME):  # noqa: S108
        os.makedirs(NEW + folder, mode=0o755)
    os.symlink("/tmp", NEW + "/var/tmp")  # noqa: S108
    os.symlink("/run", NEW + "/var/run")
    scaffold.mount_tmpfs("/tmp", spec.limits.tmp_bytes, "mode=1777")  # noqa: S108
    if workspace is None:
        scaffold.mount_tmpfs(HOME, spec.limits.workspace_bytes, f"mode=755,uid={uid},gid={uid}")
    else:
        _bind_writable(workspace, HOME)
    os.mkdir(NEW + RUNTIME, 0o755)
    scaffold.mount_tmpfs(RUNTIME, RUNTIME_BYTES, f"mode=700,uid={uid},gid={uid}")


def _bind_writable(source: str, target: str) -> None:
    syscalls.mount(OLD + source, NEW + target, flags=MS_BIND)
    syscalls.mount_setattr(NEW + target, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)


def _make_proc() -> None:
    """Mount the room's own /proc, or where a container masks the host's one, a few still files."""
    proc = NEW + "/proc"
    os.mkdir(proc, 0o755)
    try:
        syscalls.mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except PermissionError:
        # A fresh proc would show what the container's own one hides (mount_namespaces(7)).
        for name in _PROC_STUB:
            scaffold.bind(f"/proc/{name}", f"/proc/{name}")
        return
    for name in _PROC_READ_ONLY:
        place = f"{proc}/{name}"
        if os.path.exists(place):
            syscalls.mount(place, place, flags=MS_BIND | MS_REC)
            syscalls.mount_setattr(place, MOUNT_ATTR_RDONLY, recursive=True)
    for name in _PROC_HIDDEN:
        scaffold.hide(f"{proc}/{name}")
