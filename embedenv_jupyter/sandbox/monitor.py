"""The parent of a supervisor that has no pid namespace: ends what the supervisor leaves behind.

With a pid namespace the kernel does this. Without one, this process stands
between gateway and supervisor, outside of whatever confines the room. It is a
subreaper, so what the supervisor orphans becomes its child. When the supervisor
ends, or the gateway's end of the lifeline closes, it stops and then kills
everything below itself and exits with the supervisor's status (128 + the
signal's number after a signal, as a shell says it).

Standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from embedenv_jupyter.sandbox import supervisor, syscalls, tree

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

GIVE_UP_S = 5.0
"""How long to wait for the end of killed processes; one that changed its user may refuse to go."""


def main() -> NoReturn:
    """Run as ``monitor CHANNEL_FD LIFELINE_FD [UID]``."""
    connection_fd, lifeline = int(sys.argv[1]), int(sys.argv[2])
    uid = int(sys.argv[3]) if len(sys.argv) > 3 else None
    os.umask(0o022)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    syscalls.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    monitor = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(lifeline)
        _be_supervisor(connection_fd, monitor, uid)
    os.close(connection_fd)
    status = _watch(pid, lifeline)
    _end_all(uid)
    os._exit(_shell_code(status))


def _be_supervisor(connection_fd: int, monitor: int, uid: int | None) -> NoReturn:
    try:
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        # After the change of user, which resets it (prctl(2)).
        syscalls.set_death_signal(signal.SIGKILL)
        if os.getppid() != monitor:
            os._exit(70)
        syscalls.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        supervisor.serve_as_told(socket.socket(fileno=connection_fd), monitor=monitor)
    finally:
        os._exit(70)


def _watch(pid: int, lifeline: int) -> int | None:
    """Wait for the end of the supervisor or of the gateway; return the supervisor's wait status."""
    child = os.pidfd_open(pid)
    waiter = select.poll()
    waiter.register(child, select.POLLIN)
    waiter.register(lifeline, select.POLLIN | select.POLLHUP)
    ready = {fd for fd, _ in waiter.poll()}
    if child not in ready:
        signal.pidfd_send_signal(child, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _end_all(uid: int | None) -> None:
    """Kill until no child remains: each orphan that this brings up is ours as well."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        if uid is not None:
            _kill_all_of(uid)
        tree.signal_descendants(os.getpid(), signal.SIGKILL)
        left_s = deadline - time.monotonic()
        if not _reap() or left_s < 0:
            return
        signal.sigtimedwait({signal.SIGCHLD}, left_s)


def _reap() -> bool:
    """Collect what has ended; tell whether children remain."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _kill_all_of(uid: int) -> None:
    """Kill every process of the room's own user at once; no fork gets around kill(-1)."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _shell_code(status: int | None) -> int:
    if status is None:
        return 70
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    main()
