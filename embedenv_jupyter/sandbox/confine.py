"""The limits that a process puts on itself before it serves a room, for ever.

Every tier uses this: the zygote's child after it has entered its namespaces, and
the supervisors that are exec'ed in a container or under Landlock alone. Which
layers are right depends on what the tier has besides; :class:`Layer` says what
each one is for. Their order here is the order in which they are applied, and it
matters: rlimits before no capability is left to lower them as root would, the
filter last, because it refuses some of what comes before.

Standard library only: part of the zygote and of exec'ed supervisors.
"""

from __future__ import annotations

import enum
import functools
import os
import resource
from collections.abc import Iterable

from embedenv_jupyter.sandbox import landlock, oom, seccomp, syscalls
from embedenv_jupyter.sandbox.spec import HOME, RUNTIME, Limits, SandboxSpec


class Layer(enum.StrEnum):
    """What :func:`confine` can do, by the names that travel over the channel."""

    EXPENDABLE_PROGRAMS = "expendable_programs"
    """Programs go before the supervisor when memory runs out; see :mod:`.oom`."""
    RLIMITS = "rlimits"
    """Open files, file size, core files, locked memory, message queues."""
    PROCESSES = "processes"
    """``limits.pids`` as RLIMIT_NPROC: counts the whole user id, so only where the room has its own
    (in a user namespace or on the host) and no pids cgroup, which counts better."""
    MEMORY = "memory"
    """RLIMIT_DATA and RLIMIT_AS for each process, where no memory cgroup holds the sum."""
    CAPABILITIES = "capabilities"
    NO_NEW_PRIVILEGES = "no_new_privileges"
    NOT_DUMPABLE = "not_dumpable"
    """Programs of the same user cannot trace the supervisor nor read its memory."""
    LANDLOCK = "landlock"
    """Inside a room's own tree: read all of it, write the workspace, /tmp, /dev and the runtime folder.
    A second fence, so a kernel without Landlock is no error."""
    SECCOMP = "seccomp"
    # What the filter refuses in addition, see seccomp.Options. They imply SECCOMP.
    NO_SHARED_MEMORY = "no_shared_memory"
    NO_UNCOUNTED_MEMORY = "no_uncounted_memory"
    """Makes LANDLOCK keep /dev/zero from being written to, too: mapped as shared it is such memory."""
    NO_AFFINITY = "no_affinity"
    NO_DATAGRAMS = "no_datagrams"


EVERYWHERE = (
    Layer.EXPENDABLE_PROGRAMS, Layer.RLIMITS, Layer.CAPABILITIES, Layer.NO_NEW_PRIVILEGES,
    Layer.NOT_DUMPABLE, Layer.LANDLOCK, Layer.SECCOMP,
)  # fmt: skip
"""What any tier with a mount namespace applies, whatever else holds the limits."""

WITHOUT_MEMORY_CGROUP = (Layer.MEMORY, Layer.NO_SHARED_MEMORY, Layer.NO_UNCOUNTED_MEMORY)

_FILTER_OPTIONS = frozenset(
    (Layer.NO_SHARED_MEMORY, Layer.NO_UNCOUNTED_MEMORY, Layer.NO_AFFINITY, Layer.NO_DATAGRAMS)
)

_WRITABLE = (HOME, "/tmp", RUNTIME)  # noqa: S108

_DEVICES = tuple(
    f"/dev/{name}" for name in ("null", "full", "random", "urandom", "tty", "ptmx", "pts", "shm")
)
"""What of /dev may be written to where /dev/zero may not."""

_DATA_FACTOR, _ADDRESSES_FACTOR = 2, 4
"""Language run times reserve far more addresses than memory; the sum is the watchdog's business."""

_SMALL_BYTES = 64 << 10
_NO_CORE_BYTES = 1
"""No core file, and unlike with 0 no core_pattern helper of the host is started either (core(5))."""


def confine(spec: SandboxSpec, layers: Iterable[str]) -> list[str]:
    """Apply the named layers to this process; return those that hold now.

    Raises:
        ValueError: a name that no layer has.
        OSError: the kernel refused a layer; the process must not go on.
    """
    wanted = _with_implied(layers)
    program = compiled_filter(wanted)
    devices = _DEVICES if Layer.NO_UNCOUNTED_MEMORY in wanted else ("/dev",)
    return [layer.value for layer in Layer if layer in wanted and _apply(layer, spec, program, devices)]


def compiled_filter(layers: Iterable[str]) -> bytes:
    """Return the filter that these layers need; compiled once, so the zygote asks before it forks."""
    wanted = _with_implied(layers)
    return _build(frozenset(wanted & _FILTER_OPTIONS)) if Layer.SECCOMP in wanted else b""


def _with_implied(layers: Iterable[str]) -> frozenset[Layer]:
    wanted = {Layer(name) for name in layers}
    if wanted & _FILTER_OPTIONS:
        wanted.add(Layer.SECCOMP)
    if wanted & {Layer.SECCOMP, Layer.LANDLOCK}:
        wanted.add(Layer.NO_NEW_PRIVILEGES)
    return frozenset(wanted)


@functools.cache
def _build(options: frozenset[Layer]) -> bytes:
    return seccomp.build(
        seccomp.Options(
            deny_shared_memory=Layer.NO_SHARED_MEMORY in options,
            deny_uncounted_memory=Layer.NO_UNCOUNTED_MEMORY in options,
            deny_affinity=Layer.NO_AFFINITY in options,
            deny_datagrams=Layer.NO_DATAGRAMS in options,
        )
    )


def _apply(layer: Layer, spec: SandboxSpec, program: bytes, devices: tuple[str, ...]) -> bool:
    match layer:
        case Layer.EXPENDABLE_PROGRAMS:
            syscalls.set_dumpable(True)  # else our own files in /proc are root's
            return oom.prepare()
        case Layer.RLIMITS:
            _set_limits(_general_limits(spec.limits))
        case Layer.PROCESSES:
            _set_limits([(resource.RLIMIT_NPROC, spec.limits.pids)])
        case Layer.MEMORY:
            _set_limits(_memory_limits(spec.limits))
        case Layer.CAPABILITIES:
            syscalls.clear_capabilities()
        case Layer.NO_NEW_PRIVILEGES:
            syscalls.set_no_new_privileges()
        case Layer.NOT_DUMPABLE:
            syscalls.set_dumpable(False)
        case Layer.LANDLOCK:
            return _restrict_files(devices)
        case Layer.SECCOMP:
            seccomp.install(program)
    return True


def _general_limits(limits: Limits) -> list[tuple[int, int | None]]:
    return [
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, _NO_CORE_BYTES),
        (resource.RLIMIT_MEMLOCK, _SMALL_BYTES),
        (resource.RLIMIT_MSGQUEUE, _SMALL_BYTES),
    ]


def _memory_limits(limits: Limits) -> list[tuple[int, int | None]]:
    if limits.memory_bytes is None:
        return []
    return [
        (resource.RLIMIT_DATA, _DATA_FACTOR * limits.memory_bytes),
        (resource.RLIMIT_AS, _ADDRESSES_FACTOR * limits.memory_bytes),
    ]


def _set_limits(limits: Iterable[tuple[int, int | None]]) -> None:
    """Lower soft and hard limits; what is lower already stays."""
    for kind, value in limits:
        if value is None:
            continue
        _, hard = resource.getrlimit(kind)
        lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowered, lowered))


def _restrict_files(devices: tuple[str, ...]) -> bool:
    if landlock.abi() == 0:
        return False
    landlock.restrict(landlock.Rules(read=("/",), write=(*_WRITABLE, *devices)))
    return True


def pin(cores: Iterable[int]) -> None:
    """Bind this process and all that it will start to some cores (see ``Layer.NO_AFFINITY``)."""
    os.sched_setaffinity(0, cores)
