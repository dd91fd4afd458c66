"""The system calls that programs of a room may make, as a seccomp filter.

Theory of operation. The kernel runs the program (classic BPF) on each system
call of a confined process, over ``struct seccomp_data``: the number, the
architecture, and six 64-bit arguments. Its blocks, in this order:

1. Another architecture's call table (i386 through ``int 0x80``) kills the process.
2. x32 numbers and numbers newer than those this filter knows fail with
   ``ENOSYS``, so that programs fall back to calls that were judged here.
3. Calls that are refused whatever their arguments are jump to one shared
   ``EPERM``. What is left is either allowed or has a block of its own below;
   Linux finds such constant outcomes once (5.11) and then skips the program.
4. ``clone3`` fails with ``ENOSYS``: it takes its flags by pointer, which no
   filter can read, and libc then calls ``clone``, which block 5 can.
5. One block for each call that is judged by arguments. A block loads the words
   that it needs, ends in a jump to an outcome, and never falls through.
6. The outcomes: ``ALLOW`` and one ``ERRNO`` for each error number.

Arguments are compared on their low 32 bits, because the kernel itself reads
them so (``unsigned int`` commands, domains and personalities, pids; the namespace
flags lie in the low half): a high half that is set must not hide a low half.
Pointers are compared with null, in both halves.

Standard library only: part of the zygote and of exec'ed supervisors.
"""

from __future__ import annotations

import errno
import platform
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from embedenv_jupyter.sandbox import syscalls

_X86, _ARM = 0, 1
_COLUMNS = {"x86_64": _X86, "aarch64": _ARM}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_X32_BIT = 0x40000000

NEWEST_KNOWN = 462
"""``mseal`` (Linux 6.10). Whoever raises this judges each number in between."""

# linux/seccomp.h
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
_ALLOW = 0x7FFF0000

# struct seccomp_data
_OFFSET_NUMBER = 0
_OFFSET_ARCH = 4
_OFFSET_ARGUMENTS = 16

# linux/bpf_common.h: class, size, mode and operation of the instructions used here
_LOAD = 0x20
_AND = 0x54
_JUMP = 0x05
_IF_EQUAL = 0x15
_IF_AT_LEAST = 0x35
_IF_ANY_BIT = 0x45
_RETURN = 0x06

_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # Mounts and roots: the tree of a room is finished before its first program runs.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "statmount": (457, 457), "listmount": (458, 458), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    # Other processes' memory, descriptors and namespaces.
    "setns": (308, 268), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # Parts of the kernel with a long record of exploits that rooms do not need.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "vmsplice": (278, 75), "memfd_secret": (447, 447), "modify_ldt": (154, None),
    # The machine as a whole.
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "syslog": (103, 116),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
    "vhangup": (153, 58), "iopl": (172, None), "ioperm": (173, None),
    "io_setup": (206, 0),  # all of the machine share fs.aio-max-nr, which one room could use up
    "migrate_pages": (256, 238), "move_pages": (279, 239), "mbind": (237, 235),
    "set_mempolicy": (238, 237), "set_mempolicy_home_node": (450, 450),
    # Long dead.
    "uselib": (134, None), "ustat": (136, None), "sysfs": (139, None), "_sysctl": (156, None),
    "nfsservctl": (180, 42), "lookup_dcookie": (212, 18),
}  # fmt: skip

_SHARED_MEMORY = {
    "memfd_create": (319, 279), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180),
}  # fmt: skip
_UNCOUNTED_MEMORY = {"landlock_create_ruleset": (444, 444)}
_AFFINITY = {"sched_setaffinity": (203, 122)}

_JUDGED = {
    "clone": (56, 220), "clone3": (435, 435), "unshare": (272, 97), "personality": (135, 92),
    "ioctl": (16, 29), "fcntl": (72, 25), "socket": (41, 198), "socketpair": (53, 199),
    "prlimit64": (302, 261), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
}  # fmt: skip

_MAPPING = {"mmap": (9, 222)}
_SENDING = {"sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269)}
_FLAGS_OF_SENDING = {"sendto": 3, "sendmsg": 2, "sendmmsg": 3}
"""Which argument of these has the flags."""

_NEW_NAMESPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWCGROUP | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET
)  # fmt: skip

_CLONE_VM, _CLONE_VFORK, _CLONE_THREAD = 0x100, 0x4000, 0x10000
"""Processes with one memory that are no threads, nor about to run something else, hand it on."""

_TIOCSTI, _TIOCLINUX, _TIOCSETD = 0x5412, 0x541C, 0x5423
"""Type into, and paste into, a terminal that somebody else reads; load another line discipline."""

_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, these with UNAME26, ADDR_NO_RANDOMIZE (gdb), and the question."""

_F_SETLEASE = 1024
"""Who holds a lease on a file keeps others that open it waiting (fcntl(2)): snapshots, for example."""

_SUPERVISOR = 1
"""Its pid inside. It has the user of its programs, whom the kernel would let slow it down and starve it."""

_SCHEDULING = ("sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")
_WHO_PROCESS = {"setpriority": 0, "ioprio_set": 1}
"""How these two say that they mean one process, and not a group or all of a user."""

_SHARED_ANONYMOUS = 0x01 | 0x20
"""MAP_SHARED and MAP_ANONYMOUS: what such a mapping has had stays when it is not mapped any more."""

_MSG_FASTOPEN = 0x20000000
"""Connects by sending (tcp(7)), past the rules of Landlock (landlock-lsm/linux, issue 41)."""

_SOCK_TYPE_MASK = 0xF
_NETLINK, _NETLINK_ROUTE = 16, 0
_INET_PROTOCOLS = (0, socket.IPPROTO_ICMP, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMPV6)
"""Neither SCTP, DCCP nor SMC, whose modules a socket would load, nor MPTCP, which Landlock's rules miss."""


@dataclass(frozen=True)
class Options:
    """What a filter refuses beyond what every filter refuses.

    ``shared_memory``: memory that no rlimit counts (memfd, and what System V keeps:
    segments, queues, semaphores; POSIX queues), to be refused where no cgroup counts
    it, and where no IPC namespace lets it end with the room. ``uncounted_memory``:
    other memory that only a cgroup counts: shared anonymous mappings, rulesets of Landlock, and
    what processes with one memory hand on to each other.
    ``affinity``: leaving the cores that the room was pinned to, where no cgroup
    limits the time. ``datagrams``: UDP and ICMP, where the network is the host's
    and Landlock filters TCP only, and what it does not see of TCP.
    """

    deny_shared_memory: bool = False
    deny_uncounted_memory: bool = False
    deny_affinity: bool = False
    deny_datagrams: bool = False


@dataclass
class _Assembler:
    """Lays out instructions; jumps go to labels, which must lie ahead (BPF has no way back)."""

    code: list[tuple[int, str | None, str | None, int]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)

    def load(self, offset: int) -> None:
        self.code.append((_LOAD, None, None, offset))

    def mask(self, bits: int) -> None:
        self.code.append((_AND, None, None, bits))

    def test(self, kind: int, value: int, then: str | None, otherwise: str | None = None) -> None:
        """Jump to a label, or go on to the next instruction where it is ``None``."""
        self.code.append((kind, then, otherwise, value))

    def jump(self, label: str) -> None:
        self.code.append((_JUMP, label, None, 0))

    def answer(self, value: int) -> None:
        self.code.append((_RETURN, None, None, value))

    def label(self, name: str) -> None:
        self.labels[name] = len(self.code)

    def assemble(self) -> bytes:
        """Return the program as ``struct sock_filter[]``."""
        return b"".join(self._encoded())

    def _encoded(self) -> Iterator[bytes]:
        for here, (kind, then, otherwise, value) in enumerate(self.code):
            yes, no = self._distance(here, then), self._distance(here, otherwise)
            if kind == _JUMP:
                yes, value = 0, yes
            assert 0 <= yes <= 255
            assert 0 <= no <= 255
            yield struct.pack("=HBBI", kind, yes, no, value & 0xFFFFFFFF)

    def _distance(self, here: int, label: str | None) -> int:
        return 0 if label is None else self.labels[label] - here - 1


def _argument(index: int) -> int:
    """Return where the low 32 bits of an argument lie (both architectures are little-endian)."""
    return _OFFSET_ARGUMENTS + 8 * index


def _high_half(index: int) -> int:
    """Return where the high 32 bits of an argument lie; only a pointer has any that count."""
    return _argument(index) + 4


def build(options: Options = Options(), machine: str | None = None) -> bytes:
    """Compile the filter for a machine, by default this one.

    Raises:
        OSError: ``ENOSYS``, there is no table for this machine.
    """
    machine = machine or platform.machine()
    if machine not in _COLUMNS:
        raise OSError(errno.ENOSYS, f"no seccomp filter for {machine}, only for x86_64 and aarch64")
    column = _COLUMNS[machine]
    program = _Assembler()
    _check_table(program, machine)
    _refuse(program, column, options)
    for name, numbers in _judged(options).items():
        program.test(_IF_EQUAL, numbers[column], name)
    program.jump("allow")
    _judge_processes(program, options)
    _guard_supervisor(program)
    _judge_devices(program)
    if options.deny_uncounted_memory:
        _judge_mappings(program)
    if options.deny_datagrams:
        _judge_sending(program)
    _judge_sockets(program, options)
    for label, value in _OUTCOMES.items():
        program.label(label)
        program.answer(value)
    return program.assemble()


def _judged(options: Options) -> dict[str, tuple[int, int]]:
    mapping = _MAPPING if options.deny_uncounted_memory else {}
    sending = _SENDING if options.deny_datagrams else {}
    return {**_JUDGED, **mapping, **sending}


_OUTCOMES = {
    "allow": _ALLOW,
    "refuse": _ERRNO | errno.EPERM,
    "unknown": _ERRNO | errno.ENOSYS,
    "no family": _ERRNO | errno.EAFNOSUPPORT,
    "not supported": _ERRNO | errno.EOPNOTSUPP,
    "kill": _KILL_PROCESS,
}


def _check_table(program: _Assembler, machine: str) -> None:
    program.load(_OFFSET_ARCH)
    program.test(_IF_EQUAL, _AUDIT_ARCH[machine], None, "kill")
    program.load(_OFFSET_NUMBER)
    if machine == "x86_64":
        program.test(_IF_AT_LEAST, _X32_BIT, "unknown")
    program.test(_IF_AT_LEAST, NEWEST_KNOWN + 1, "unknown")


def _refuse(program: _Assembler, column: int, options: Options) -> None:
    tables = [_REFUSED]
    if options.deny_shared_memory:
        tables.append(dict(_SHARED_MEMORY))
    if options.deny_uncounted_memory:
        tables.append(dict(_UNCOUNTED_MEMORY))
    if options.deny_affinity:
        tables.append(dict(_AFFINITY))
    for table in tables:
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                program.test(_IF_EQUAL, number, "refuse")


def _judge_processes(program: _Assembler, options: Options) -> None:
    program.label("clone3")
    program.jump("unknown")
    program.label("clone")
    program.load(_argument(0))
    if options.deny_uncounted_memory:
        program.test(_IF_ANY_BIT, _NEW_NAMESPACES, "refuse")
        program.test(_IF_ANY_BIT, _CLONE_VM, None, "allow")
        program.test(_IF_ANY_BIT, _CLONE_THREAD | _CLONE_VFORK, "allow", "refuse")
    else:
        program.test(_IF_ANY_BIT, _NEW_NAMESPACES, "refuse", "allow")
    program.label("unshare")
    program.load(_argument(0))
    # In clone's flags this bit is part of the exit signal.
    program.test(_IF_ANY_BIT, _NEW_NAMESPACES | syscalls.CLONE_NEWTIME, "refuse", "allow")
    program.label("personality")
    program.load(_argument(0))
    for value in _PERSONALITIES:
        program.test(_IF_EQUAL, value, "allow")
    program.jump("refuse")


def _guard_supervisor(program: _Assembler) -> None:
    # Limits are one's own to lower. Those of others may be asked for: the new ones are a null pointer then.
    program.label("prlimit64")
    program.load(_argument(0))
    program.test(_IF_EQUAL, 0, "allow")
    program.load(_argument(2))
    program.test(_IF_EQUAL, 0, None, "refuse")
    program.load(_high_half(2))
    program.test(_IF_EQUAL, 0, "allow", "refuse")
    for name in _SCHEDULING:
        program.label(name)
        program.load(_argument(0))
        program.test(_IF_EQUAL, _SUPERVISOR, "refuse", "allow")
    for name, process in _WHO_PROCESS.items():
        program.label(name)
        program.load(_argument(0))
        program.test(_IF_EQUAL, process, None, "refuse")
        program.load(_argument(1))
        program.test(_IF_EQUAL, _SUPERVISOR, "refuse", "allow")


def _judge_devices(program: _Assembler) -> None:
    program.label("ioctl")
    program.load(_argument(1))
    program.test(_IF_EQUAL, _TIOCSTI, "refuse")
    program.test(_IF_EQUAL, _TIOCSETD, "refuse")
    program.test(_IF_EQUAL, _TIOCLINUX, "refuse", "allow")
    program.label("fcntl")
    program.load(_argument(1))
    program.test(_IF_EQUAL, _F_SETLEASE, "refuse", "allow")


def _judge_mappings(program: _Assembler) -> None:
    program.label("mmap")
    program.load(_argument(3))
    program.mask(_SHARED_ANONYMOUS)
    program.test(_IF_EQUAL, _SHARED_ANONYMOUS, "refuse", "allow")


def _judge_sending(program: _Assembler) -> None:
    for name, flags in _FLAGS_OF_SENDING.items():
        program.label(name)
        program.load(_argument(flags))
        program.test(_IF_ANY_BIT, _MSG_FASTOPEN, "not supported", "allow")


def _judge_sockets(program: _Assembler, options: Options) -> None:
    program.label("socket")
    program.load(_argument(0))
    program.test(_IF_EQUAL, socket.AF_UNIX, "allow")
    program.test(_IF_EQUAL, socket.AF_INET, "inet")
    program.test(_IF_EQUAL, socket.AF_INET6, "inet")
    program.test(_IF_EQUAL, _NETLINK, None, "no family")
    program.load(_argument(2))
    program.test(_IF_EQUAL, _NETLINK_ROUTE, "allow", "no family")
    program.label("inet")
    # The kernel takes 0 as the protocol of each type, so the type is judged as well.
    program.load(_argument(1))
    program.mask(_SOCK_TYPE_MASK)
    program.test(_IF_EQUAL, socket.SOCK_STREAM, "protocol")
    program.test(_IF_EQUAL, socket.SOCK_RAW, "refuse")
    program.test(_IF_EQUAL, socket.SOCK_DGRAM, "refuse" if options.deny_datagrams else None, "no family")
    program.label("protocol")
    program.load(_argument(2))
    for protocol in _INET_PROTOCOLS:
        program.test(_IF_EQUAL, protocol, "allow")
    program.jump("no family")
    program.label("socketpair")
    program.load(_argument(0))
    program.test(_IF_EQUAL, socket.AF_UNIX, "allow", "no family")


def install(program: bytes) -> None:
    """Put this process under the filter for ever; the caller has set no_new_privs."""
    syscalls.seccomp_set_filter(program)
