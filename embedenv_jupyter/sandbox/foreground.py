"""Who has a terminal: the groups that Ctrl+C is for, and whether they wait for input.

All of it is read from /proc, from inside the room. Standard library only: part
of the supervisor.
"""

from __future__ import annotations

import os
import select
import signal
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_IS_X86 = os.uname().machine == "x86_64"
_READS = {0, 17, 19, 295, 327} if _IS_X86 else {63, 67, 65, 69, 286}
_POLLS = {7, 271} if _IS_X86 else {73}
_SELECTS = {23, 270} if _IS_X86 else {72}
_EPOLLS = {232, 281, 441} if _IS_X86 else {22, 441}

_READABLE = select.POLLIN | select.POLLRDNORM
_MAX_POLLED = 1024
_MAX_THREADS = 256
_MAX_PASSES = 200


@dataclass(frozen=True)
class _Process:
    """What /proc/PID/stat says (proc_pid_stat(5))."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    foreground: int

    @property
    def sleeps(self) -> bool:
        return self.state == "S"


def _look_at(pid: int) -> _Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *numbers = file.read().rpartition(b")")[2].decode().split()[:6]
    except OSError:
        return None
    parent, group, session, _, foreground = map(int, numbers)
    return _Process(pid, state, parent, group, session, foreground)


def _session(session: int) -> list[_Process]:
    found = (_look_at(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None and process.session == session]


def front_groups(session: int) -> set[int]:
    """Return the groups that Ctrl+C is for; none where the terminal has no group in front.

    These are the foreground group and those that stem from it: in a shell without
    job control, ``timeout`` makes a group of its own, and the shell waits for it. A
    foreground group that waits for input waits for no other: at the prompt of an
    interactive shell its background jobs are spared.
    """
    processes = _session(session)
    front = next((process.foreground for process in processes if process.foreground > 1), None)
    if front is None:
        return set()
    groups = {front}
    if _awaits([process for process in processes if process.group == front]):
        return groups
    by_pid = {process.pid: process for process in processes}
    while True:
        stemming = {
            process.group
            for process in processes
            if process.group not in groups
            and (parent := by_pid.get(process.parent)) is not None
            and parent.group in groups
        }
        if not stemming:
            return groups
        groups |= stemming


def signal_session(session: int, signum: int) -> None:
    """Signal every process of a session; with SIGKILL until none is new, so that no fork gets around it.

    Raises:
        ProcessLookupError: there is none.
    """
    reached: set[int] = set()
    for _ in range(_MAX_PASSES if signum == signal.SIGKILL else 1):
        fresh = {process.pid for process in _session(session)} - reached
        if not fresh:
            break
        for pid in fresh:
            try:
                os.kill(pid, signum)
            except (ProcessLookupError, PermissionError):
                continue
        reached |= fresh
    if not reached:
        raise ProcessLookupError


def awaiting_input(session: int) -> bool | None:
    """Tell whether the foreground group waits for input: in a read of its terminal, or for it to be readable.

    ``None`` when the kernel does not say (no /proc, or no ``syscall`` file).
    """
    processes = _session(session)
    front = next((process.foreground for process in processes if process.foreground > 1), None)
    if front is None:
        return None
    return _awaits([process for process in processes if process.group == front])


def _awaits(processes: list[_Process]) -> bool | None:
    states = [
        _thread_awaits(process.pid, thread)
        for process in processes
        if process.sleeps
        for thread in _threads(process.pid)
    ]
    if True in states:
        return True
    return None if None in states else False


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")[:_MAX_THREADS]
    except OSError:
        return []


def _thread_awaits(pid: int, thread: str) -> bool | None:
    """Look at the system call that a thread sleeps in; ``None`` when it is hidden."""
    try:
        with open(f"/proc/{pid}/task/{thread}/syscall", "rb") as file:
            number, *arguments = file.read().split()
        if not number.isdigit():
            return False  # it runs
        values = [int(argument, 16) for argument in arguments]
        return any(_is_terminal(pid, fd) for fd in _watched(pid, int(number), values))
    except (FileNotFoundError, ProcessLookupError):
        return False  # it has ended
    except OSError:
        return None


def _watched(pid: int, number: int, arguments: list[int]) -> Iterator[int]:
    """Yield the descriptors that a system call waits to read from.

    Raises:
        OSError: the memory of the process cannot be read.
    """
    if number in _READS:
        yield arguments[0]
    elif number in _POLLS:
        count = min(arguments[1], _MAX_POLLED)
        for fd, events, _ in struct.iter_unpack("ihh", _memory(pid, arguments[0], 8 * count)):
            if events & _READABLE:
                yield fd
    elif number in _SELECTS and arguments[1]:
        bits = int.from_bytes(_memory(pid, arguments[1], (min(arguments[0], _MAX_POLLED) + 7) // 8), "little")
        yield from (fd for fd in range(bits.bit_length()) if bits >> fd & 1)
    elif number in _EPOLLS:
        yield from _registered(pid, arguments[0])


def _memory(pid: int, address: int, size: int) -> bytes:
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        data = os.pread(memory.fileno(), size, address)
    return data[: len(data) // 8 * 8] if size % 8 == 0 else data


def _registered(pid: int, fd: int) -> Iterator[int]:
    """Yield what an epoll descriptor waits to read from (proc_pid_fdinfo(5))."""
    with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as file:
        for line in file:
            words = line.split()
            if words[:1] == [b"tfd:"] and int(words[3], 16) & _READABLE:
                yield int(words[1])


def _is_terminal(pid: int, fd: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}").startswith(("/dev/pts/", "/dev/tty"))
    except OSError:
        return False
