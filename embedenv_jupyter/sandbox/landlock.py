"""Which files a confined process may read and write, by Landlock.

Inside a room's own mount namespace this is a second fence behind the mounts,
and the one that keeps programs from writing into /proc. In the tier without
namespaces it is the only one. The kernel's version decides how much it can
do: see :func:`abi` and the table at https://docs.kernel.org/userspace-api/landlock.html.

Standard library only: part of the zygote and of exec'ed supervisors.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

from embedenv_jupyter.sandbox import syscalls
from embedenv_jupyter.sandbox.syscalls import landlock_version as abi

__all__ = ["Rules", "abi", "restrict"]

# linux/landlock.h: access to files
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FIRST_VERSION_BITS = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15  # ABI 2, 3 and 5
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR

_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1  # ABI 4
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1  # ABI 6

_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2


@dataclass(frozen=True)
class Rules:
    """What is allowed; all else of the same kind is refused.

    ``read`` and ``write`` are paths, each with everything beneath it; reading
    includes executing, writing includes reading. A path that does not exist
    allows nothing. ``bind_tcp`` and ``connect_tcp`` are port numbers, or
    ``None`` to leave TCP alone.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    bind_tcp: tuple[int, ...] | None = None
    connect_tcp: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        bind, connect = data["bind_tcp"], data["connect_tcp"]
        return cls(
            tuple(data["read"]), tuple(data["write"]),
            None if bind is None else tuple(bind), None if connect is None else tuple(connect),
        )  # fmt: skip


def _file_bits(version: int) -> int:
    bits = _FIRST_VERSION_BITS
    for since, bit in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        if version >= since:
            bits |= bit
    return bits


def _attributes(rules: Rules, version: int) -> bytes:
    """Pack ``struct landlock_ruleset_attr``, as long as this kernel knows it."""
    ports = (_BIND_TCP if rules.bind_tcp is not None else 0) | (
        _CONNECT_TCP if rules.connect_tcp is not None else 0
    )
    packed = struct.pack("QQQ", _file_bits(version), ports, _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS)
    return packed[: 8 if version < 4 else 16 if version < 6 else 24]


def restrict(rules: Rules) -> int:
    """Confine this process for ever; return the kernel's Landlock ABI.

    From ABI 6 on it also loses the abstract sockets of, and signals to,
    processes outside. The caller has set no_new_privs.

    Raises:
        OSError: Landlock is not to be had here; ``ENOSYS`` or ``EOPNOTSUPP``.
    """
    version = abi()
    ruleset = syscalls.landlock_create_ruleset(_attributes(rules, max(version, 1)))
    try:
        bits = _file_bits(version)
        _allow_paths(ruleset, rules.read, _READ)
        _allow_paths(ruleset, rules.write, bits)
        if version >= 4:
            _allow_ports(ruleset, rules.bind_tcp or (), _BIND_TCP)
            _allow_ports(ruleset, rules.connect_tcp or (), _CONNECT_TCP)
        syscalls.landlock_restrict_self(ruleset)
    finally:
        os.close(ruleset)
    return version


def _allow_paths(ruleset: int, paths: Iterable[str], access: int) -> None:
    for path in paths:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
            allowed = access if is_directory else access & _ON_FILES
            rule = struct.pack("=Qi", allowed, fd)
            syscalls.landlock_add_rule(ruleset, _RULE_PATH_BENEATH, rule, path)
        finally:
            os.close(fd)


def _allow_ports(ruleset: int, ports: Iterable[int], access: int) -> None:
    for port in ports:
        syscalls.landlock_add_rule(ruleset, _RULE_NET_PORT, struct.pack("=QQ", access, port), f"port {port}")
