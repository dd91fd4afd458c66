"""The parent of a supervisor that has no pid namespace: ends what the supervisor leaves behind.

With a pid namespace the kernel does this. Without one, this process stands
between gateway and supervisor, outside of whatever confines the room. It is a
subreaper, so what the supervisor orphans becomes its child. When the supervisor
ends, or the gateway writes to the lifeline or closes it, it stops and then kills
everything below itself and exits with the supervisor's status (128 + the
signal's number after a signal, as a shell says it).

Run as ``guard JSON``, an object with the descriptors ``channel`` and
``lifeline``, the room's ``uid`` (null: our own), the ``cgroups`` to join, and the
``folder`` that is removed when the gateway is not there any more to do it. The
supervisor's pid, as text, is written to the lifeline.

Standard library only.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

from embedenv_jupyter.sandbox import cgroups, supervisor, syscalls, tree

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

_SHARED_FILES = "/dev/shm"  # noqa: S108

GIVE_UP_S = 5.0
"""How long to wait for the end of killed processes; one that changed its user may refuse to go."""


def main() -> NoReturn:
    """Fork the supervisor and stand guard over it."""
    told: dict[str, Any] = json.loads(sys.argv[1])
    os.umask(0o022)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    syscalls.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(told["lifeline"])
        _be_supervisor(told, guard)
    os.close(told["channel"])
    os.write(told["lifeline"], str(pid).encode())
    gateway_is_gone = _watch(pid, told["lifeline"])
    claimed = [os.path.dirname(folder) for folder in told["cgroups"]] if gateway_is_gone else []
    for folder in claimed:
        cgroups.thaw_below(folder)  # what cgroup v1 has frozen does not die
    _, status = os.waitpid(pid, 0)
    _end_all(told["uid"])
    if told["uid"] is not None:
        _remove_shared_files(told["uid"])
    for folder in claimed:
        cgroups.remove_below(folder)
    if gateway_is_gone:
        os.execv(tree.REMOVE[0], [*tree.REMOVE, told["folder"]])  # noqa: S606 - the last thing to do
    code = os.waitstatus_to_exitcode(status)
    os._exit(128 - code if code < 0 else code)


def _be_supervisor(told: dict[str, Any], guard: int) -> NoReturn:
    try:
        for folder in told["cgroups"]:
            with open(f"{folder}/cgroup.procs", "w") as file:
                file.write("0")
        if told["uid"] is not None:
            _become(told["uid"])
        # After the change of user, which resets it (prctl(2)).
        syscalls.set_death_signal(signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(70)
        syscalls.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        supervisor.serve_as_told(socket.socket(fileno=told["channel"]), guard=guard)
    except BaseException:  # noqa: BLE001 - a half-confined process must not go on
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(70)


def _become(uid: int) -> None:
    syscalls.drop_bounding_set()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _watch(pid: int, lifeline: int) -> bool:
    """Wait for the end of the supervisor, or for the gateway's word or end; tell whether it was the last.

    In the other cases the gateway itself thaws what it has frozen.
    """
    child = os.pidfd_open(pid)
    waiter = select.poll()
    waiter.register(child, select.POLLIN)
    waiter.register(lifeline, select.POLLIN | select.POLLHUP)
    if lifeline not in {fd for fd, _ in waiter.poll()}:
        return False
    gateway_is_gone = not os.read(lifeline, 1)
    signal.pidfd_send_signal(child, signal.SIGKILL)
    return gateway_is_gone


def _end_all(uid: int | None) -> None:
    """Kill until no child remains: each orphan that this brings up is ours as well."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    deadline_s = time.monotonic() + GIVE_UP_S
    while True:
        if uid is not None:
            _kill_all_of(uid)
        tree.signal_descendants(os.getpid(), signal.SIGKILL)
        left_s = deadline_s - time.monotonic()
        if not _reap() or left_s < 0:
            return
        signal.sigtimedwait({signal.SIGCHLD}, left_s)


def _remove_shared_files(uid: int) -> None:
    """Remove what the room's user has left in /dev/shm: the next room with this id would own it."""
    try:
        entries = os.scandir(_SHARED_FILES)
    except OSError:
        return
    with entries:
        for entry in entries:
            try:
                if entry.stat(follow_symlinks=False).st_uid != uid:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    os.spawnv(os.P_WAIT, tree.REMOVE[0], [*tree.REMOVE, entry.path])  # noqa: S606
                else:
                    os.unlink(entry.path)
            except OSError:
                continue


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


if __name__ == "__main__":
    main()
