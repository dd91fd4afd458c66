"""The Linux system calls that Python does not offer, typed, through ctypes.

A call that fails raises :class:`OSError` with the kernel's number and a text
that names the call and what it was about. Nothing here decides anything.

Numbers are those of x86_64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h);
on another machine only the calls that have no function in libc fail, with
``ENOSYS``.

Standard library only: part of the zygote and the supervisor.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

# sched.h
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# sys/mount.h
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MNT_DETACH = 2

# linux/mount.h, for mount_setattr(2)
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
MOUNT_ATTR_IDMAP = 0x00100000

# linux/fcntl.h
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
RENAME_NOREPLACE = 1

# linux/openat2.h
RESOLVE_NO_XDEV = 1
RESOLVE_NO_MAGICLINKS = 2
RESOLVE_NO_SYMLINKS = 4
RESOLVE_BENEATH = 8
RESOLVE_IN_ROOT = 16

RESOLVE_ATTEMPTS = 128
"""How often openat2(2) is called again where somebody's rename, anywhere, may have changed what ``..`` is."""

# linux/kcmp.h
KCMP_VM = 1

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

# linux/seccomp.h
SECCOMP_SET_MODE_FILTER = 1

# linux/landlock.h
LANDLOCK_CREATE_RULESET_VERSION = 1

_LINUX_CAPABILITY_VERSION_3 = 0x20080522

_NUMBERS = {  # name: (x86_64, aarch64)
    "capset": (126, 91),
    "pivot_root": (155, 41),
    "kcmp": (312, 272),
    "renameat2": (316, 276),
    "seccomp": (317, 277),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "openat2": (437, 437),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}
_COLUMN = {"x86_64": 0, "aarch64": 1}.get(platform.machine())

_libc = ctypes.CDLL(None, use_errno=True)


def _fail(what: str, code: int) -> OSError:
    return OSError(code, f"{what}: {os.strerror(code)}")


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise _fail(what, ctypes.get_errno())
    return result


def _syscall(name: str, *arguments: int | bytes | None, about: str = "") -> int:
    """Make a call by number; integers go as long, bytes as the address of their content."""
    what = f"{name} {about}" if about else name
    if _COLUMN is None:
        raise _fail(what, errno.ENOSYS)
    number = ctypes.c_long(_NUMBERS[name][_COLUMN])
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return _checked(_libc.syscall(number, *words), what)


def unshare(flags: int) -> None:
    """Leave the namespaces that ``flags`` name for new ones (unshare(2))."""
    _checked(_libc.unshare(ctypes.c_int(flags)), f"unshare {flags:#x}")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace behind ``fd`` (setns(2))."""
    _checked(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), f"setns {kind:#x}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system, or bind a path (mount(2))."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode() or None,
        ctypes.c_ulong(flags), options.encode() or None,
    )  # fmt: skip
    _checked(result, f"mount {kind or source} on {target}")


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """Take a mount away (umount2(2)); by default as soon as nobody uses it."""
    _checked(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), f"umount2 {target}")


def mount_setattr(
    target: str, attributes: int, *, recursive: bool = False, dir_fd: int = AT_FDCWD, userns_fd: int = 0
) -> None:
    """Add attributes to a mount, and to those below it if ``recursive`` (Linux 5.12).

    An empty ``target`` means the mount that ``dir_fd`` itself stands for.
    """
    request = struct.pack("QQQQ", attributes, 0, 0, userns_fd)
    flags = (AT_RECURSIVE if recursive else 0) | (0 if target else AT_EMPTY_PATH)
    _syscall("mount_setattr", dir_fd, os.fsencode(target), flags, request, len(request), about=target)


def open_tree(path: str, flags: int) -> int:
    """Return a descriptor for a mount; with ``OPEN_TREE_CLONE``, for a detached copy of it."""
    return _syscall("open_tree", AT_FDCWD, os.fsencode(path), flags | os.O_CLOEXEC, about=path)


def move_mount(fd: int, target: str | int) -> None:
    """Attach the detached mount behind ``fd`` at a path, or on what a descriptor stands for."""
    if isinstance(target, int):
        flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
        _syscall("move_mount", fd, b"", target, b"", flags, about=f"descriptor {target}")
    else:
        path = os.fsencode(target)
        _syscall("move_mount", fd, b"", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH, about=target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make ``new_root`` the root of this mount namespace (pivot_root(2))."""
    _syscall("pivot_root", os.fsencode(new_root), os.fsencode(put_old), about=new_root)


def prctl(option: int, argument: int = 0) -> int:
    """Set or read one property of this process; the unused arguments are zero."""
    words = [ctypes.c_ulong(word) for word in (argument, 0, 0, 0)]
    return _checked(_libc.prctl(ctypes.c_int(option), *words), f"prctl {option}")


def set_death_signal(signum: int) -> None:
    """Have this process signalled when the thread that forked it ends."""
    prctl(PR_SET_PDEATHSIG, signum)


def set_dumpable(dumpable: bool) -> None:
    """Say whether processes of the same user may trace this one and read its memory."""
    prctl(PR_SET_DUMPABLE, int(dumpable))


def set_no_new_privileges() -> None:
    """Make set-user-id bits and file capabilities void for this process for ever."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def drop_bounding_set() -> None:
    """Drop every capability from the bounding set; needs ``CAP_SETPCAP``."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as exc:
            if exc.errno == errno.EINVAL:  # past the kernel's last capability
                return
            raise


def clear_capabilities() -> None:
    """Give up all ambient, effective, permitted and inheritable capabilities."""
    words = [ctypes.c_ulong(word) for word in (PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)]
    _checked(_libc.prctl(ctypes.c_int(PR_CAP_AMBIENT), *words), "prctl PR_CAP_AMBIENT")
    _syscall("capset", struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0), bytes(24))


def openat2(dir_fd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open with limits on how the path may resolve (Linux 5.6).

    Beneath a root, the kernel gives ``..`` up with ``EAGAIN`` whenever a rename or a
    mount is made meanwhile, in any place: that a room renames files all the time
    must not keep others from theirs.
    """
    how = struct.pack("QQQ", flags, mode, resolve)
    for _ in range(RESOLVE_ATTEMPTS):
        try:
            return _syscall("openat2", dir_fd, _path(path), how, len(how), about=path)
        except BlockingIOError:
            pass
    return _syscall("openat2", dir_fd, _path(path), how, len(how), about=path)


def renameat2(source_fd: int, source: str, target_fd: int, target: str, flags: int = 0) -> None:
    """Rename with flags, such as ``RENAME_NOREPLACE``."""
    _syscall(
        "renameat2", source_fd, _path(source), target_fd, _path(target), flags,
        about=f"{source} to {target}",
    )  # fmt: skip


def has_same_memory(pid: int, other: int) -> bool:
    """Tell whether two processes or threads have one address space, as after vfork(2) (kcmp(2)).

    They have not as far as we may know where we may not look at one of them.
    """
    try:
        return _syscall("kcmp", pid, other, KCMP_VM, 0, 0) == 0
    except OSError:
        return False


def _path(path: str) -> bytes:
    """Encode a path that others chose; C would silently cut it at a NUL."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    return encoded


def landlock_version() -> int:
    """Return the kernel's Landlock ABI, 0 where there is none."""
    try:
        return _syscall("landlock_create_ruleset", None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    except OSError:
        return 0


def landlock_create_ruleset(attributes: bytes) -> int:
    """Make a ruleset from a ``struct landlock_ruleset_attr``; return its descriptor."""
    return _syscall("landlock_create_ruleset", attributes, len(attributes), 0)


def landlock_add_rule(ruleset: int, kind: int, rule: bytes, about: str = "") -> None:
    """Add one rule of the kind ``LANDLOCK_RULE_…`` to a ruleset."""
    _syscall("landlock_add_rule", ruleset, kind, rule, 0, about=about)


def landlock_restrict_self(ruleset: int) -> None:
    """Enforce a ruleset on this thread and all that it will start."""
    _syscall("landlock_restrict_self", ruleset, 0)


class _FilterProgram(ctypes.Structure):
    """``struct sock_fprog``: a count of 8-byte instructions and where they are."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def seccomp_set_filter(program: bytes) -> None:
    """Install a BPF program on this thread and all that it will start (seccomp(2))."""
    if _COLUMN is None:
        raise _fail("seccomp", errno.ENOSYS)
    described = _FilterProgram(len(program) // 8, program)
    words = [ctypes.c_long(w) for w in (_NUMBERS["seccomp"][_COLUMN], SECCOMP_SET_MODE_FILTER, 0)]
    _checked(_libc.syscall(*words, ctypes.byref(described)), "seccomp")
