"""The rules of the filter, and the names that they go by, as data.

What stands here is what somebody asks for who wants out of a room or wants to
wear its machine down. The sandbox holds all of it (docs/security.md); the filter
says so early, and by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rule:
    """What a finding is called: ``title`` completes "This code …", ``why`` is a sentence for its author."""

    id: str
    title: str
    why: str


FORK_BOMB: Final = Rule(
    "fork-bomb",
    "starts processes without an end",
    "Nothing in it waits for them or stops, so it only ends when the room has no process left.",
)
SELF_SPAWN: Final = Rule(
    "self-spawn",
    "starts itself again without a condition",
    "Every copy starts the next one, so it only ends when the room has no process left.",
)
KERNEL_CALL: Final = Rule(
    "kernel-call",
    "asks the kernel for what rooms do not have",
    "System calls such as bpf, keyctl, io_uring and those that load modules are refused in a room.",
)
PROCESS_MEMORY: Final = Rule(
    "process-memory",
    "reaches into the memory of a process",
    "ptrace and writes to /proc/PID/mem change programs from outside.",
)
NAMESPACES: Final = Rule(
    "namespaces",
    "changes mounts, namespaces or its root",
    "mount, unshare, setns, pivot_root and chroot are steps out of a sandbox, and refused in a room.",
)
KERNEL_FILES: Final = Rule(
    "kernel-files",
    "writes to settings of the kernel",
    "Files such as core_pattern, sysrq-trigger and release_agent act on the whole machine.",
)
CONTAINER_SOCKET: Final = Rule(
    "container-socket",
    "talks to a container engine",
    "Who reaches the socket of Docker, containerd, CRI-O or Podman owns the machine.",
)
RAW_DEVICE: Final = Rule(
    "raw-device",
    "touches a disk or the memory of the machine as a device",
    "Formatting or overwriting a device destroys what is on it; /dev/mem is the machine's memory.",
)
WIPE_ROOT: Final = Rule(
    "wipe-root",
    "removes or opens up the tree of the system",
    "Removing / or a folder of the system leaves a room in which nothing works.",
)
POWER: Final = Rule(
    "power",
    "switches the machine off",
    "Rebooting and halting are not for rooms.",
)

RULES: Final = {
    rule.id: rule
    for rule in (
        FORK_BOMB,
        SELF_SPAWN,
        KERNEL_CALL,
        PROCESS_MEMORY,
        NAMESPACES,
        KERNEL_FILES,
        CONTAINER_SOCKET,
        RAW_DEVICE,
        WIPE_ROOT,
        POWER,
    )
}

SYSTEM_CALLS: Final[dict[Rule, dict[str, int | None]]] = {
    # Numbers are those of x86-64, for code that writes `syscall(101, …)`; from 424 on all have the same.
    KERNEL_CALL: {
        "init_module": 175,
        "finit_module": 313,
        "delete_module": 176,
        "kexec_load": 246,
        "kexec_file_load": 320,
        "bpf": 321,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "io_uring_setup": 425,
        "io_uring_enter": 426,
        "io_uring_register": 427,
        "perf_event_open": 298,
        "userfaultfd": 323,
        "open_by_handle_at": 304,
        "iopl": 172,
        "ioperm": 173,
        "swapon": 167,
        "swapoff": 168,
        "acct": 163,
        "settimeofday": 164,
        "clock_settime": 227,
    },
    PROCESS_MEMORY: {
        "ptrace": 101,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "pidfd_getfd": 438,
    },
    NAMESPACES: {
        "mount": 165,
        "umount": None,
        "umount2": 166,
        "unshare": 272,
        "setns": 308,
        "pivot_root": 155,
        "chroot": 161,
        "open_tree": 428,
        "move_mount": 429,
        "fsopen": 430,
        "fsconfig": 431,
        "fsmount": 432,
        "mount_setattr": 442,
    },
    POWER: {"reboot": 169},
}
"""What the kernel is asked for by name or by number."""

RULE_OF_CALL: Final = {name: rule for rule, calls in SYSTEM_CALLS.items() for name in calls}
RULE_OF_NUMBER: Final = {
    number: rule for rule, calls in SYSTEM_CALLS.items() for number in calls.values() if number is not None
}

NAMESPACE_FLAG: Final = re.compile(r"CLONE_NEW(?:NS|USER|PID|NET|IPC|UTS|CGROUP|TIME)\Z")

HOLE: Final = "\ue000"
"""Stands in a text for a part that only a run would know."""

_PID = rf"(?:self|thread-self|\d+|{HOLE})"
WRITTEN_FILES: Final = (
    (KERNEL_FILES, re.compile(r"/proc/sys(?:/.*)?")),
    (KERNEL_FILES, re.compile(r"/proc/sysrq-trigger")),
    (KERNEL_FILES, re.compile(r"/sys/.+")),
    (KERNEL_FILES, re.compile(r"/(?:.*/)?release_agent")),
    (PROCESS_MEMORY, re.compile(rf"/proc/{_PID}(?:/task/{_PID})?/mem")),
    (KERNEL_FILES, re.compile(rf"/proc/{_PID}/(?:uid_map|gid_map|setgroups)")),
    (
        RAW_DEVICE,
        re.compile(
            r"/dev/(?:[shv]d[a-z]+\d*|xvd[a-z]+\d*|nvme\d.*|mmcblk\d.*|dm-\d+|loop\d+|md\d+|mapper/.+)"
        ),
    ),
    (RAW_DEVICE, re.compile(r"/dev/disk/.+")),
)
"""Paths that are not written to."""

OPENED_FILES: Final = (
    (RAW_DEVICE, re.compile(r"/dev/(?:mem|kmem|port)")),
    (RAW_DEVICE, re.compile(r"/proc/kcore")),
    (
        CONTAINER_SOCKET,
        re.compile(r"(?:/var)?/run/(?:docker|containerd/containerd|crio/crio|podman/podman)\.sock"),
    ),
    (CONTAINER_SOCKET, re.compile(rf"/run/user/(?:\d+|{HOLE})/(?:docker|podman/podman)\.sock")),
)
"""Paths that are not even opened."""

SYSTEM_FOLDER: Final = re.compile(
    r"/(?:\*|\.\*|\{,\.\}\*)?|/(?:bin|boot|dev|etc|home|lib|lib32|lib64|opt|proc|root|sbin|srv|sys|usr|var)(?:/\*?)?"
)
