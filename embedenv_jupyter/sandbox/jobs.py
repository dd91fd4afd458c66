"""The programs that a supervisor has started, by number.

A job is a child of the supervisor in a session of its own. Numbers are never
used twice, so a late signal cannot reach a stranger that got the same pid.

Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import struct
import sys
import termios
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from embedenv_jupyter.sandbox import foreground, oom, tree

MAX_REMEMBERED_GROUPS = 256
"""How many ended jobs are remembered whose process group may still have members."""

_FIRST_FREE = 10
"""Below it are the numbers that programs know their streams by."""

_STREAMS = (True, False, False)
"""Stdin, stdout and stderr: whether a program reads it."""

_SIDE = (True, False)

_RESET_SIGNALS = [
    number
    for number in range(1, signal.NSIG)
    if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGHUP, 32, 33)
]
# SIGHUP stays ignored: when the shell of a run exits, the kernel hangs up its
# foreground group, and what the user left running with "&" must live on.


@dataclass
class Job:
    """One started program; ``status`` is its return code once it has ended."""

    number: int
    pid: int
    status: int | None = None
    cpu_s: float = 0.0
    peak_bytes: int = 0
    """Of the program and what it waited for; not less than this process has held itself (getrusage(2))."""


class Jobs:
    """Starts programs in sessions of their own and signals them."""

    def __init__(
        self, home_fd: int, home: str, environment: dict[str, str], guard: int | None = None
    ) -> None:
        self._alone = os.getpid() == 1 or (guard is not None and _is_out_of_reach(guard))
        self._home_fd = home_fd
        self._home = home
        self._environment = environment
        self._by_number: dict[int, Job] = {}
        self._by_pid: dict[int, Job] = {}
        self._next = 1

    def spawn_piped(
        self, argv: list[str], cwd: str | int | None, env: dict[str, str], *, side: bool = False
    ) -> tuple[Job, list[int]]:
        """Start a program on three pipes; return the gateway's ends: stdin, stdout, stderr.

        With ``side`` it has two more, as descriptors 3 to read and 4 to write.
        """
        with _pipes(_STREAMS + _SIDE if side else _STREAMS) as (inside, outside):
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(inside)]
            return self._spawn(argv, cwd, env, actions), outside

    def spawn_terminal(
        self,
        argv: list[str],
        cwd: str | None,
        env: dict[str, str],
        *,
        rows: int,
        columns: int,
        echo: bool,
        cooked: bool,
    ) -> tuple[Job, int]:
        """Start a program on a new terminal, which is its controlling one; return the master."""
        master, slave = os.openpty()
        try:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            _set_modes(slave, echo=echo, cooked=cooked)
            # Opened by name in the new session, the slave becomes the controlling terminal.
            actions = [
                (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ]
            return self._spawn(argv, cwd, env, actions), master
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)

    def _spawn(
        self, argv: list[str], cwd: str | int | None, env: dict[str, str], actions: Sequence[tuple[Any, ...]]
    ) -> Job:
        environment = {**self._environment, **env}
        self._enter(cwd)
        try:
            program = shutil.which(argv[0], path=environment.get("PATH", ""))
            if program is None:
                raise FileNotFoundError(errno.ENOENT, "no such program in the room", argv[0])
            with oom.expendable_children():
                pid = os.posix_spawn(
                    program, argv, environment,
                    file_actions=actions, setsid=True, setsigmask=[], setsigdef=_RESET_SIGNALS,
                )  # fmt: skip
        finally:
            os.fchdir(self._home_fd)
        return self._add(pid)

    def _enter(self, cwd: str | int | None) -> None:
        if isinstance(cwd, int):
            os.fchdir(cwd)
        elif cwd:
            os.fchdir(self._home_fd)
            os.chdir(cwd)
        else:
            os.fchdir(self._home_fd)

    def fork(
        self,
        body: Callable[[], None],
        *,
        env: dict[str, str],
        forget: Callable[[], None],
        cwd: str | None = None,
    ) -> tuple[Job, int]:
        """Fork a child of this process that runs ``body``; return the read end of all that it prints."""
        reader, writer = os.pipe()
        try:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            try:
                return self._fork(body, (null, writer, writer), [reader], env, forget, cwd), reader
            finally:
                os.close(null)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)

    def fork_piped(
        self,
        body: Callable[[], None],
        *,
        env: dict[str, str],
        forget: Callable[[], None],
        cwd: str | None = None,
    ) -> tuple[Job, list[int]]:
        """Fork a child that runs ``body`` on three pipes; return our ends: stdin, stdout, stderr."""
        with _pipes(_STREAMS) as (inside, outside):
            stdin, stdout, stderr = inside
            return self._fork(body, (stdin, stdout, stderr), outside, env, forget, cwd), outside

    def _fork(
        self,
        body: Callable[[], None],
        streams: tuple[int, int, int],
        ours: list[int],
        env: dict[str, str],
        forget: Callable[[], None],
        cwd: str | None,
    ) -> Job:
        with oom.expendable_children():
            pid = os.fork()
            if pid == 0:
                oom.forget()
        if pid == 0:
            status = 1
            try:
                _close(ours)
                forget()
                _become_child(streams)
                self._enter(cwd)
                os.environ.clear()
                os.environ.update({**self._environment, **env})
                body()
                status = 0
            except SystemExit as exc:  # whoever ends itself so has said why
                status = exc.code if isinstance(exc.code, int) else 1
            except BaseException:  # noqa: BLE001 (a forked child must not return into the supervisor's loop)
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(status)
        return self._add(pid)

    def _add(self, pid: int) -> Job:
        job = Job(self._next, pid)
        self._next += 1
        self._by_number[job.number] = job
        self._by_pid[pid] = job
        return job

    def reap(self) -> Iterator[tuple[Job, int]]:
        """Collect the children that have ended; strangers that pid 1 inherited are only reaped."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._by_pid.pop(pid, None)
            if job is not None:
                job.status = os.waitstatus_to_exitcode(status)
                job.cpu_s = used.ru_utime + used.ru_stime
                job.peak_bytes = used.ru_maxrss << 10
                self._forget_old()
                yield job, job.status

    def _forget_old(self) -> None:
        ended = [job.number for job in self._by_number.values() if job.status is not None]
        for number in ended[:-MAX_REMEMBERED_GROUPS]:
            del self._by_number[number]

    def signal(self, number: int, signum: int, target: str) -> None:
        """Signal a job.

        Raises:
            ProcessLookupError: nothing of it is left.
        """
        job = self._by_number.get(number)
        if job is None:
            raise ProcessLookupError(errno.ESRCH, "this job has ended")
        if target == "process":
            if job.status is not None:
                raise ProcessLookupError(errno.ESRCH, "this job has ended")
            os.kill(job.pid, signum)
            return
        if target == "session":
            foreground.signal_session(job.pid, signum)
            return
        groups = {job.pid}
        if target == "foreground" and job.status is None:
            groups = foreground.front_groups(job.pid) or groups
        for group in groups:
            os.killpg(group, signum)

    def signal_all(self, signum: int) -> None:
        """Signal every process of the room but this one."""
        if not 0 < signum < signal.NSIG:
            raise OSError(errno.EINVAL, f"{signum} is no signal")
        if not self._alone:
            tree.signal_descendants(os.getpid(), signum)
            return
        try:
            os.kill(-1, signum)  # atomic with respect to fork; the caller itself is spared
        except ProcessLookupError:
            return

    def awaiting_input(self, number: int) -> bool | None:
        """Tell whether the job waits for input on its terminal; ``None`` when the kernel does not say."""
        job = self._by_number.get(number)
        if job is None or job.status is not None:
            return False
        return foreground.awaiting_input(job.pid)


@contextlib.contextmanager
def _pipes(are_input: tuple[bool, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """Make pipes: a program's ends, and ours, which stay open on success. ``True`` is one that it reads."""
    inside: list[int] = []
    outside: list[int] = []
    try:
        for is_input in are_input:
            reader, writer = os.pipe()
            outside.append(writer if is_input else reader)
            # Out of the way of the numbers that the program will know them by.
            inside.append(_moved_up(reader if is_input else writer))
        yield inside, outside
    except BaseException:
        _close(outside)
        raise
    finally:
        _close(inside)


def _become_child(streams: tuple[int, int, int]) -> None:
    """Give a forked child the session, signals and standard streams of a program."""
    os.setsid()
    for number in _RESET_SIGNALS:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            continue
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    for fd in set(streams) - {
        0,
        1,
        2,
    }:  # else nobody would see that the program has closed one of its streams
        os.close(fd)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", buffering=1, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False)  # type: ignore[misc]  # noqa: SIM115


def _set_modes(slave: int, *, echo: bool, cooked: bool) -> None:
    modes = termios.tcgetattr(slave)
    modes[0] |= getattr(termios, "IUTF8", 0o40000)
    if not cooked:
        modes[1] &= ~termios.OPOST
    if not echo:
        modes[3] &= ~(termios.ECHO | termios.ECHONL | termios.ECHOCTL | termios.ECHOKE)
    termios.tcsetattr(slave, termios.TCSANOW, modes)


def _moved_up(fd: int) -> int:
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    finally:
        os.close(fd)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


def _is_out_of_reach(guard: int) -> bool:
    """Tell whether this process may not signal its own parent.

    A user id of its own or Landlock's scope shuts it in then, and only then may it use kill(-1).
    """
    try:
        os.kill(guard, 0)
    except PermissionError:
        return os.getppid() == guard
    return False
