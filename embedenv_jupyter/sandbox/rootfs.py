"""The file tree of a room: what its programs see of the host, and what is their own.

Theory of operation. In a fresh mount namespace a small tmpfs becomes the root
first, with the host's tree below it at ``/old`` and the room's at ``/new``. As
sources and targets are now in different trees, nothing that is mounted can hide
what is still to be bound: a Python environment below the host's /tmp or /home is
reachable though the room has its own /tmp and /home. The read-only folders of
the spec come last, over everything else. A second pivot makes ``/new`` the root
and lets go of the host's tree, which then has no name in the room.

What is bound from the host is read-only, recursively (mount_setattr, Linux
5.12); what is writable is tmpfs of a bounded size, or a folder that the spec
names. The caller is root, or root of a user namespace that owns the mount
namespace.

Standard library only: part of the zygote.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import site
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from embedenv_jupyter.sandbox import syscalls
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
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
)

_OLD, _NEW = "/old", "/new"

_SHELL_FOLDERS = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")

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

_PACKAGE_DATABASES = ("/var/lib/ghc", "/var/lib/perl6")
"""Where compilers below /usr find their libraries, though it is not below /usr."""

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

_BYTES_PER_INODE = 4096
"""A tmpfs of a million empty files costs a gigabyte that its size does not count."""


@dataclass(frozen=True)
class Host:
    """What every room sees of this host: looked up once, as long as links still lead there.

    ``configuration`` are paths below /etc and /var/lib; ``python`` pairs each folder of the
    interpreter and its modules, as it is called, with where it really is. ``private``
    are folders below those that no room may look into.
    """

    configuration: tuple[str, ...]
    python: tuple[tuple[str, str], ...]
    private: tuple[str, ...] = ()


def look_at_host(module_folders: Iterable[str] = ()) -> Host:
    """Find what every room sees; ``module_folders`` are further ones that this process imports from."""
    found = [match for pattern in _CONFIGURATION for match in glob.glob(f"/etc/{pattern}")]
    found += filter(os.path.isdir, _PACKAGE_DATABASES)
    return Host(tuple(sorted(found)), _resolved(python_folders(module_folders)), _server_settings())


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
    folders = (*host.python, *_resolved(spec.read_only)) if spec.read_only else host.python
    workspace = os.path.realpath(spec.workspace) if spec.workspace is not None else None
    _enter_scaffold()
    _bind_system()
    _make_configuration(spec, uid, host.configuration)
    _make_devices(spec)
    _make_writable(spec, uid, workspace)
    for target, source in folders:
        if is_below(target, HOME):
            _bind_inside_home(source, target)
        else:
            _bind(source, target, required=True)
    for folder in host.private:
        _hide(_NEW + folder)
    _make_proc()
    syscalls.mount_setattr(_NEW + "/dev", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
    _leave_scaffold()


def _resolved(folders: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Pair each folder's name inside with where it really is; a link becomes a folder, too."""
    pairs: dict[str, str] = {}
    for folder in folders:
        _refuse_to_hide(folder)
        try:
            real = os.path.realpath(folder, strict=True)
        except OSError as exc:
            raise OSError(exc.errno, f"{folder}: {exc.strerror}") from exc
        _refuse_to_hide(real)
        pairs[os.path.normpath(folder)] = real
        pairs[real] = real
    return tuple((target, pairs[target]) for target in outermost(pairs))


def _refuse_to_hide(folder: str) -> None:
    target = os.path.normpath(folder)
    if not os.path.isabs(target) or any(is_below(own, target) for own in _OWN):
        raise OSError(errno.EINVAL, f"{folder} cannot be read-only: it would hide a folder of the room")


def _enter_scaffold() -> None:
    """Make a tmpfs the root, with the host's tree at ``/old`` and an empty ``/new``."""
    syscalls.mount("none", "/", flags=MS_REC | MS_PRIVATE)
    base = next(path for path in ("/tmp", "/run", "/mnt") if os.path.isdir(path))  # noqa: S108
    syscalls.mount("room", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m,nr_inodes=4k")
    os.mkdir(base + _OLD)
    os.mkdir(base + _NEW)
    os.chdir(base)
    syscalls.pivot_root(".", _OLD[1:])
    os.chdir("/")
    syscalls.mount(_NEW, _NEW, flags=MS_BIND)


def _leave_scaffold() -> None:
    syscalls.umount(_OLD)
    os.chdir(_NEW)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".")
    os.chdir("/")
    syscalls.mount_setattr("/", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)


def _bind(source: str, target: str, *, required: bool = False) -> bool:
    """Bind a path of the host read-only; tell whether the host has it."""
    try:
        is_folder = stat.S_ISDIR(os.stat(_OLD + source).st_mode)
    except OSError:
        if required:
            raise
        return False
    place = _NEW + target
    os.makedirs(place if is_folder else os.path.dirname(place), mode=0o755, exist_ok=True)
    if not is_folder:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    _attach(source, place)
    return True


def _bind_inside_home(source: str, target: str) -> None:
    """Bind a folder read-only in the workspace, where an earlier room may have laid links.

    No link on the way is followed, else it would lead our mkdir out of the room.
    """
    fd = os.open(_NEW + HOME, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.path.relpath(target, HOME).split("/"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=fd)
            flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            following = os.open(name, flags, dir_fd=fd)
            os.close(fd)
            fd = following
        _attach(source, fd)
    finally:
        os.close(fd)


def _attach(source: str, place: str | int) -> None:
    """Clone a subtree of the host's mounts, make the clone read-only, then put it in its place."""
    tree = syscalls.open_tree(_OLD + source, syscalls.OPEN_TREE_CLONE | syscalls.AT_RECURSIVE)
    try:
        attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
        syscalls.mount_setattr("", attributes, recursive=True, dir_fd=tree)
        syscalls.move_mount(tree, place)
    finally:
        os.close(tree)


def _bind_system() -> None:
    """Show the host's programs and libraries."""
    _bind("/usr", "/usr", required=True)
    for name in _SHELL_FOLDERS:
        if os.path.islink(f"{_OLD}/{name}"):
            os.symlink(os.readlink(f"{_OLD}/{name}"), f"{_NEW}/{name}")
        else:
            _bind(f"/{name}", f"/{name}")


def _make_configuration(spec: SandboxSpec, uid: int, configuration: Iterable[str]) -> None:
    os.mkdir(_NEW + "/etc", 0o755)
    for name, text in _own_configuration(spec, uid).items():
        with open(f"{_NEW}/etc/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    os.symlink("/proc/self/mounts", _NEW + "/etc/mtab")
    for path in configuration:
        if os.path.islink(_OLD + path):
            os.makedirs(os.path.dirname(_NEW + path), mode=0o755, exist_ok=True)
            os.symlink(os.readlink(_OLD + path), _NEW + path)
        else:
            _bind(path, path)


def _own_configuration(spec: SandboxSpec, uid: int) -> dict[str, str]:
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
        "resolv.conf": _resolver() if spec.network else "",
        "host.conf": "multi on\n",
    }


def _resolver() -> str:
    try:
        with open(f"{_OLD}/etc/resolv.conf", encoding="utf-8", errors="replace") as file:
            return file.read(64 << 10)
    except OSError:
        return ""


def _make_devices(spec: SandboxSpec) -> None:
    dev = _NEW + "/dev"
    os.mkdir(dev, 0o755)
    syscalls.mount("dev", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k,nr_inodes=64")
    for name in _DEVICES:
        # No attributes: a device node must keep working, and nothing else can be done with it.
        os.close(os.open(f"{dev}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        syscalls.mount(f"{_OLD}/dev/{name}", f"{dev}/{name}", flags=MS_BIND)
    os.mkdir(dev + "/pts", 0o755)
    options = f"newinstance,ptmxmode=0666,mode=620,max={_TERMINALS}"
    syscalls.mount("devpts", dev + "/pts", "devpts", MS_NOSUID | MS_NOEXEC, options)
    os.symlink("pts/ptmx", dev + "/ptmx")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{dev}/{name}")
    os.mkdir(dev + "/shm", 0o755)
    _mount_tmpfs("/dev/shm", spec.limits.tmp_bytes, "mode=1777")  # noqa: S108


def _mount_tmpfs(target: str, size_bytes: int, options: str) -> None:
    inodes = max(1024, size_bytes // _BYTES_PER_INODE)
    syscalls.mount(
        "room", _NEW + target, "tmpfs", MS_NOSUID | MS_NODEV,
        f"size={size_bytes},nr_inodes={inodes},{options}",
    )  # fmt: skip


def _make_writable(spec: SandboxSpec, uid: int, workspace: str | None) -> None:
    for folder in ("/tmp", "/var", "/run", HOME):  # noqa: S108
        os.makedirs(_NEW + folder, mode=0o755, exist_ok=True)
    os.symlink("/tmp", _NEW + "/var/tmp")  # noqa: S108
    os.symlink("/run", _NEW + "/var/run")
    _mount_tmpfs("/tmp", spec.limits.tmp_bytes, "mode=1777")  # noqa: S108
    if workspace is None:
        _mount_tmpfs(HOME, spec.limits.workspace_bytes, f"mode=755,uid={uid},gid={uid}")
    else:
        _bind_writable(workspace, HOME)
    os.mkdir(_NEW + RUNTIME, 0o755)
    _mount_tmpfs(RUNTIME, RUNTIME_BYTES, f"mode=700,uid={uid},gid={uid}")


def _bind_writable(source: str, target: str) -> None:
    syscalls.mount(_OLD + source, _NEW + target, flags=MS_BIND)
    syscalls.mount_setattr(_NEW + target, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)


def _make_proc() -> None:
    """Mount the room's own /proc, or where a container masks the host's one, a few still files."""
    proc = _NEW + "/proc"
    os.mkdir(proc, 0o755)
    try:
        syscalls.mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except PermissionError:
        # A fresh proc would show what the container's own one hides (mount_namespaces(7)).
        for name in _PROC_STUB:
            _bind(f"/proc/{name}", f"/proc/{name}")
        return
    for name in _PROC_READ_ONLY:
        place = f"{proc}/{name}"
        if os.path.exists(place):
            syscalls.mount(place, place, flags=MS_BIND | MS_REC)
            syscalls.mount_setattr(place, MOUNT_ATTR_RDONLY, recursive=True)
    for name in _PROC_HIDDEN:
        _hide(f"{proc}/{name}")


def _hide(place: str) -> None:
    try:
        is_folder = stat.S_ISDIR(os.stat(place).st_mode)
    except OSError:
        return
    if is_folder:
        syscalls.mount("none", place, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "nr_inodes=2")
    else:
        syscalls.mount(f"{_NEW}/dev/null", place, flags=MS_BIND)
