"""What a sandbox is made from and what it reports, as plain values.

Standard library only: the zygote and the supervisor import this module, and
everything in those two processes is part of the security boundary.
"""

from __future__ import annotations

import enum
import signal
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

MIB = 1 << 20

HOME = "/home/user"
"""The workspace of a room as its programs see it (in tiers with a mount namespace)."""

RUNTIME = "/run/room"
"""Where the room's kernels put their ipc sockets, seen from inside; a small tmpfs of the room's own."""

RUNTIME_BYTES = 1 << 20

TOOLCHAINS = "/usr/local/lib/embedenv"
"""Where languages that PyPI or npm bring are installed, on a host and in an image: a part of /usr."""


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use at most; ``None`` means no limit of our own."""

    memory_bytes: int | None = 512 * MIB
    pids: int | None = 128
    cpu_cores: float | None = 1.0
    open_files: int = 1024
    file_bytes: int | None = 256 * MIB
    workspace_bytes: int = 256 * MIB
    tmp_bytes: int = 64 * MIB
    wall_s: float | None = None
    """How long a room may live, whatever runs in it. The one limit that no tier holds: who opens the room
    ends it (:class:`embedenv_jupyter.rooms.manager.RoomManager`, with the event ``time``), and takes its
    own ``life_s`` where this is ``None``."""

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known})


@dataclass(frozen=True)
class SandboxSpec:
    """One request for a sandbox.

    ``workspace`` is a host directory to bind as the workspace, or ``None`` for
    a tmpfs of ``limits.workspace_bytes``. ``read_only`` are host directories that
    appear at the same path inside (the Python environment of the kernels, for
    example). ``image`` is the absolute path of a root tree that this room stands on, in
    tiers that can (:mod:`.image`); ``None`` for what the rooms of the tier stand on.
    """

    id: str
    limits: Limits = field(default_factory=Limits)
    workspace: str | None = None
    read_only: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    hostname: str = "room"
    network: bool = False
    image: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}
        values = {k: v for k, v in data.items() if k in known}
        values["limits"] = Limits.from_dict(values.get("limits") or {})
        values["read_only"] = tuple(values.get("read_only") or ())
        return cls(**values)


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended: exactly one of ``code`` and ``signal`` is set.

    ``cpu_s`` and ``peak_bytes`` (of the largest process) count what it waited for, too.
    They are ``None`` where the tier cannot tell, and the peak of a program that needed
    less than its supervisor holds is not known.
    """

    code: int | None = None
    signal: int | None = None
    cpu_s: float | None = field(default=None, compare=False)
    peak_bytes: int | None = field(default=None, compare=False)

    @classmethod
    def from_returncode(
        cls, returncode: int, *, cpu_s: float | None = None, peak_bytes: int | None = None
    ) -> Self:
        """Read the convention of subprocess: a negative number is a signal."""
        code, signum = (None, -returncode) if returncode < 0 else (returncode, None)
        return cls(code, signum, cpu_s, peak_bytes)

    @property
    def shell_code(self) -> int:
        """What ``$?`` would show: 128 + the signal's number after a signal."""
        return 128 + self.signal if self.signal is not None else (self.code or 0)

    def __str__(self) -> str:
        if self.signal is None:
            return f"exit code {self.code}"
        try:
            return f"signal {signal.Signals(self.signal).name}"
        except ValueError:
            return f"signal {self.signal}"


class Breach(enum.StrEnum):
    """A limit that the room ran into; the names that events carry."""

    OOM = "oom"
    PIDS = "pids"
    DISK = "disk"
    TIME = "time"


@dataclass(frozen=True)
class Usage:
    """A sample of what a sandbox uses now; ``None`` where this tier cannot tell."""

    cpu_s: float | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    pids: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True)
class FileInfo:
    """One entry of the room's file tree, never following a symbolic link."""

    name: str
    type: str
    size_bytes: int
    modified_s: float
    mode: int
    changed_s: float = 0.0
    """When content or attributes changed last (the ctime of stat(2)); Linux's stat tells no birth."""
