"""Pid 1 of a room: starts its programs and hands their file descriptors out.

The gateway asks over the channel (:mod:`embedenv_jupyter.sandbox.channel`);
each answer carries data, file descriptors or both, so that terminals, pipes,
files and connections are then read by the gateway itself, without a relay.

Theory of operation. One thread, one selector. No request (:mod:`.operations`) waits:
what takes time (removing a tree, a snapshot) is a child process, and its end is
reported by the ``exit`` event that every job gets. The end of the channel ends
the supervisor, and as it is pid 1 of its namespace, the kernel then ends the
room. Programs of the room may send any signal to pid 1, so none has a Python
handler that raises.

Standard library only. This process shares the room's user id, so the gateway
does not trust it once a program has run.
"""

from __future__ import annotations

import errno
import os
import resource
import selectors
import signal
import socket
import sys
from typing import Any, NoReturn

from embedenv_jupyter.sandbox import (
    channel,
    confine,
    landlock,
    syscalls,
)
from embedenv_jupyter.sandbox.jobs import Job, Jobs
from embedenv_jupyter.sandbox.operations import Operations
from embedenv_jupyter.sandbox.spec import HOME, RUNTIME, TOOLCHAINS, SandboxSpec

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
            signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE, signal.SIGTSTP)  # fmt: skip


class Supervisor:
    """Answers the gateway's requests until the channel ends."""

    def __init__(
        self,
        connection: socket.socket,
        spec: SandboxSpec,
        home: str = HOME,
        runtime: str = RUNTIME,
        guard: int | None = None,
    ) -> None:
        self.connection = connection
        self.spec = spec
        self.home = home
        self.home_fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.selector = selectors.DefaultSelector()
        self._wake_pipe: tuple[int, ...] = ()
        self.jobs = Jobs(self.home_fd, home, program_environment(spec, home), guard)
        self._operations = Operations(self.jobs, self.home_fd, runtime, self._forget)

    def run(self) -> NoReturn:
        """Serve until the gateway is gone, then exit."""
        wake = self._watch_children()
        self.selector.register(self.connection, selectors.EVENT_READ, self._serve_request)
        self.selector.register(wake, selectors.EVENT_READ, lambda: self._reap(wake))
        home = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.home_fd)
        channel.send(self.connection, {"event": "ready", "pid": os.getpid()}, [home])
        os.close(home)
        while True:
            for key, _ in self.selector.select():
                key.data()

    def _watch_children(self) -> int:
        """Turn SIGCHLD into a readable descriptor; ignore what a room may send to pid 1."""
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        self._wake_pipe = reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return reader

    def _reap(self, wake: int) -> None:
        os.read(wake, 4096)
        for job, status in self.jobs.reap():
            self._operations.ended(job)
            self._tell_exit(job, status)

    def _tell_exit(self, job: Job, status: int) -> None:
        """Send how a job ended; its peak only where it is not hidden below what we hold ourselves."""
        told = {"event": "exit", "job": job.number, "status": status, "cpu_s": job.cpu_s}
        if job.peak_bytes > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10:
            told["peak_bytes"] = job.peak_bytes
        channel.send(self.connection, told)

    def _forget(self) -> None:
        """Close, in a forked child, what only the supervisor may hold."""
        signal.set_wakeup_fd(-1)
        for fd in self._wake_pipe:  # else a kernel's code could empty, fill or block it
            os.close(fd)
        self.selector.close()
        self.connection.close()

    def _serve_request(self) -> None:
        try:
            received = channel.receive(self.connection)
        except (channel.ChannelError, OSError) as exc:
            sys.stderr.write(f"supervisor: {exc}\n")
            os._exit(71)
        if received is None:
            os._exit(0)
        message, fds = received
        answer, passed = self._operations.answer(message, fds)
        answer["id"] = message.get("id")
        try:
            self._send(answer, passed)
        finally:
            for fd in (*passed, *fds):
                os.close(fd)

    def _send(self, answer: dict[str, Any], passed: list[int]) -> None:
        try:
            channel.send(self.connection, answer, passed)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)
        except channel.ChannelError as exc:
            self._send_error(answer, errno.EMSGSIZE, str(exc))
        except OSError as exc:
            # Programs of our user can use up what descriptors may be on their way (unix(7), ETOOMANYREFS).
            self._send_error(answer, exc.errno or errno.EIO, exc.strerror or str(exc))

    def _send_error(self, answer: dict[str, Any], number: int, detail: str) -> None:
        error = {"errno": number, "path": "", "detail": detail}
        channel.send(self.connection, {"id": answer["id"], "error": error})


def program_environment(spec: SandboxSpec, home: str) -> dict[str, str]:
    """Return the environment that every program of the room starts from."""
    own_bin = os.path.join(sys.prefix, "bin")
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    return {
        "PATH": (
            f"{home}/.local/bin:{own_bin}:/usr/local/bin:/usr/bin:/bin:"
            f"{TOOLCHAINS}/bin:{TOOLCHAINS}/venv/bin:{TOOLCHAINS}/node/node_modules/.bin"
        ),
        "EMBEDENV_LANGUAGES": os.path.join(_PACKAGE, "languages"),
        "HOME": home,
        "USER": "user",
        "LOGNAME": "user",
        "SHELL": shell,
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONUNBUFFERED": "1",
        **spec.env,
    }


def serve(
    connection: socket.socket,
    spec: SandboxSpec,
    *,
    home: str = HOME,
    runtime: str = RUNTIME,
    guard: int | None = None,
) -> NoReturn:
    """Be the supervisor of a room whose process is confined already.

    ``guard`` is the pid of the parent that stands outside, in a tier without a pid namespace.
    """
    Supervisor(connection, spec, home, runtime, guard).run()


def serve_as_told(connection: socket.socket, *, guard: int | None = None) -> NoReturn:
    """Be the supervisor in a tier that execs us: confine ourselves first, as told over the channel."""
    connection.set_inheritable(False)  # it came through an exec, and must not go through the next one
    received = channel.receive(connection)
    if received is None:
        os._exit(0)
    message, _ = received
    spec = SandboxSpec.from_dict(message["spec"])
    if message.get("landlock") is not None:
        syscalls.set_no_new_privileges()
        landlock.restrict(landlock.Rules.from_dict(message["landlock"]))
    if message.get("cores") is not None:
        confine.pin(message["cores"])
    confine.confine(spec, message.get("confine") or [])
    home, runtime = message.get("home", HOME), message.get("runtime", RUNTIME)
    serve(connection, spec, home=home, runtime=runtime, guard=guard)


def main() -> NoReturn:
    """Run as ``supervisor CHANNEL``: its descriptor, or the path of a socket to connect to."""
    os.umask(0o022)
    where = sys.argv[1]
    if where.isdigit():
        connection = socket.socket(fileno=int(where))
    else:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(where)
    serve_as_told(connection)


if __name__ == "__main__":
    main()
