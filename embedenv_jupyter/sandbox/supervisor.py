"""Pid 1 of a room: starts its programs and hands their file descriptors out.

The gateway asks over the channel (:mod:`embedenv_jupyter.sandbox.channel`);
each answer carries data, file descriptors or both, so that terminals, pipes,
files and connections are then read by the gateway itself, without a relay.

Theory of operation. One thread, one selector. A request handler never waits:
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
import tarfile
from collections.abc import Callable
from typing import Any, NoReturn

from embedenv_jupyter.sandbox import (
    archive,
    channel,
    confine,
    kernel,
    landlock,
    script,
    syscalls,
    workspace,
)
from embedenv_jupyter.sandbox.jobs import Job, Jobs
from embedenv_jupyter.sandbox.spec import HOME, RUNTIME, TOOLCHAINS, SandboxSpec

Answer = tuple[dict[str, Any], list[int]]
Handler = Callable[["Supervisor", dict[str, Any], list[int]], Answer]

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
        self.runtime = runtime
        self._kernels: dict[int, str] = {}
        """The names of the kernels that run, by the number of their job."""
        self.home_fd = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.selector = selectors.DefaultSelector()
        self._wake_pipe: tuple[int, ...] = ()
        self.jobs = Jobs(self.home_fd, home, program_environment(spec, home), guard)

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
            if (name := self._kernels.pop(job.number, None)) is not None:
                kernel.remove_folder(self.runtime, name)
            self._tell_exit(job, status)

    def _tell_exit(self, job: Job, status: int) -> None:
        """Send how a job ended; its peak only where it is not hidden below what we hold ourselves."""
        told = {"event": "exit", "job": job.number, "status": status, "cpu_s": job.cpu_s}
        if job.peak_bytes > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10:
            told["peak_bytes"] = job.peak_bytes
        channel.send(self.connection, told)

    def _serve_request(self) -> None:
        try:
            received = channel.receive(self.connection)
        except (channel.ChannelError, OSError) as exc:
            sys.stderr.write(f"supervisor: {exc}\n")
            os._exit(71)
        if received is None:
            os._exit(0)
        message, fds = received
        answer, passed = self._answer(message, fds)
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

    def _answer(self, message: dict[str, Any], fds: list[int]) -> Answer:
        op = str(message.get("op"))
        handler = _HANDLERS.get(op)
        try:
            if handler is None:
                raise OSError(errno.ENOSYS, "unknown operation")
            return handler(self, message, fds)
        except OSError as exc:
            path = os.fsdecode(exc.filename) if exc.filename is not None else message.get("path", "")
            detail = exc.strerror or str(exc)
            return {"error": {"errno": exc.errno or errno.EIO, "path": path, "detail": detail}}, []
        except Exception as exc:  # noqa: BLE001 (whatever a request is like, it must not end the room)
            detail = f"{type(exc).__name__}: {exc}"[:300]
            return {"error": {"errno": errno.EINVAL, "path": "", "detail": detail}}, []

    # Requests. Each returns its answer and the descriptors that go with it.

    def ping(self, message: dict[str, Any], fds: list[int]) -> Answer:
        return {}, []

    def spawn(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Start a program on pipes (answer: stdin, stdout, stderr, and with ``side`` two more)."""
        job, ends = self.jobs.spawn_piped(
            message["argv"], message.get("cwd"), message.get("env") or {}, side=bool(message.get("side"))
        )
        return _started(job), ends

    def spawn_pty(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Start a program on a terminal of its own (answer: the master)."""
        rows, columns = message.get("size") or (24, 80)
        job, master = self.jobs.spawn_terminal(
            message["argv"], message.get("cwd"), message.get("env") or {},
            rows=rows, columns=columns,
            echo=bool(message.get("echo", True)), cooked=bool(message.get("cooked", True)),
        )  # fmt: skip
        return _started(job), [master]

    def fork_kernel(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Fork a kernel from this warm process (answer: its stderr, its readiness, its folder).

        The second descriptor gives one byte once the kernel's sockets are bound in the third.
        """
        folder, path = kernel.make_folder(self.runtime, message["name"], message["key"])
        reader, writer = os.pipe()

        def serve_kernel() -> None:
            os.close(reader)
            kernel.run_kernel(path, message.get("argv") or [], writer)

        try:
            job, stderr = self.jobs.fork(
                serve_kernel, cwd=message.get("cwd"), env=message.get("env") or {}, forget=self._forget
            )
        except BaseException:
            os.close(folder)
            os.close(reader)
            kernel.remove_folder(self.runtime, message["name"])
            raise
        finally:
            os.close(writer)
        self._kernels[job.number] = message["name"]
        return _started(job), [stderr, reader, folder]

    def fork_script(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Run a Python program in a fork of this warm process (answer: stdin, stdout, stderr)."""
        path, arguments = str(message["path"]), [str(word) for word in message.get("argv") or []]
        job, ends = self.jobs.fork_piped(
            lambda: script.run_script(path, arguments),
            cwd=message.get("cwd"), env=message.get("env") or {}, forget=self._forget,
        )  # fmt: skip
        return _started(job), ends

    def _forget(self) -> None:
        """Close, in a forked child, what only the supervisor may hold."""
        signal.set_wakeup_fd(-1)
        for fd in self._wake_pipe:  # else a kernel's code could empty, fill or block it
            os.close(fd)
        self.selector.close()
        self.connection.close()

    def signal(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Signal a job: its ``process``, ``group``, ``session``, or what is in the ``foreground``."""
        self.jobs.signal(message["job"], message["signal"], message.get("target", "group"))
        return {}, []

    def awaiting_input(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Say whether the job's foreground group waits for input on its terminal."""
        return {"awaiting": self.jobs.awaiting_input(message["job"])}, []

    def signal_all(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Signal every process of the room except this one."""
        self.jobs.signal_all(message["signal"])
        return {}, []

    def open(self, message: dict[str, Any], fds: list[int]) -> Answer:
        fd = workspace.open_beneath(
            self.home_fd, message["path"], message.get("flags", os.O_RDONLY), message.get("mode", 0o644)
        )
        return {}, [fd]

    def write(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Replace a file atomically by the content of the descriptor that came along."""
        digest = workspace.replace_file(
            self.home_fd, message["path"], fds[0],
            mode=message.get("mode"), expected_sha256=message.get("expected_sha256"),
            exclusive=bool(message.get("exclusive")),
        )  # fmt: skip
        return {"sha256": digest}, []

    def append(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Write the content of the descriptor that came along at the end of a file of a known size."""
        workspace.append_file(self.home_fd, message["path"], fds[0], at=message["at"])
        return {}, []

    def make_dir(self, message: dict[str, Any], fds: list[int]) -> Answer:
        workspace.make_directories(self.home_fd, message["path"], exclusive=bool(message.get("exclusive")))
        return {}, []

    def rename(self, message: dict[str, Any], fds: list[int]) -> Answer:
        workspace.rename(self.home_fd, message["path"], message["to"], replace=bool(message.get("replace")))
        return {}, []

    def remove(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Remove a file at once, or start a job that removes a tree."""
        path = message["path"]
        parent, name = workspace.open_parent(self.home_fd, path)
        try:
            with workspace.naming(path):
                if self._removed_at_once(parent, name, recursive=bool(message.get("recursive"))):
                    return {"job": None}, []
            job, ends = self.jobs.spawn_piped(["/bin/rm", "-rf", "--", f"./{name}"], parent, {})
        finally:
            os.close(parent)
        return _started(job), ends

    def _removed_at_once(self, parent: int, name: str, *, recursive: bool) -> bool:
        """Remove a file or an empty folder; ``False`` for a tree, which takes time."""
        if not workspace.is_directory(parent, name):
            os.unlink(name, dir_fd=parent)
        elif recursive:
            return False
        else:
            os.rmdir(name, dir_fd=parent)
        return True

    def connect(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Begin a TCP connection to a port inside; the gateway waits for its outcome."""
        family = socket.AF_INET6 if message.get("ipv6") else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
            code = probe.connect_ex(("::1" if message.get("ipv6") else "127.0.0.1", message["port"]))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            return {}, [probe.detach()]

    def ports(self, message: dict[str, Any], fds: list[int]) -> Answer:
        return {"ports": workspace.listening_ports()}, []

    def snapshot(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Start a job that writes the workspace as tar (answer: stdout, stderr)."""
        reader, writer = os.pipe()

        def write() -> None:
            os.close(reader)  # so that a gateway that stops reading ends this child
            _complain(lambda: archive.write(self.home_fd, writer))

        try:
            job, stderr = self.jobs.fork(write, env={}, forget=self._forget)
        finally:
            os.close(writer)
        return _started(job), [reader, stderr]

    def restore(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Start a job that unpacks the tar stream behind the given descriptor (answer: stderr)."""
        source = fds[0]
        job, stderr = self.jobs.fork(
            lambda: _complain(lambda: archive.read(self.home_fd, source)), env={}, forget=self._forget
        )
        return _started(job), [stderr]


_HANDLERS: dict[str, Handler] = {
    name: getattr(Supervisor, name)
    for name in (
        "ping", "spawn", "spawn_pty", "fork_kernel", "fork_script", "signal", "awaiting_input", "signal_all",
        "open", "write", "append", "make_dir", "rename", "remove", "connect", "ports", "snapshot", "restore",
    )
}  # fmt: skip


def _started(job: Job) -> dict[str, Any]:
    return {"job": job.number, "pid": job.pid}


def _complain(work: Callable[[], None]) -> None:
    """Let work in a forked child fail with one line for the gateway, not with a traceback."""
    try:
        work()
    except (OSError, ValueError, tarfile.TarError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        sys.stderr.write(f"{reason}\n")
        sys.stderr.flush()
        os._exit(1)


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
