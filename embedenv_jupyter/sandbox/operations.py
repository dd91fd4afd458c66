"""What a supervisor does for the gateway: one method for each request of the channel, named as it is there.

None waits. Each returns its answer and the descriptors that go with it; OSError says why not.

Standard library only: part of the supervisor.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import tarfile
from collections.abc import Callable
from typing import Any

from embedenv_jupyter.sandbox import archive, kernel, listeners, script, workspace
from embedenv_jupyter.sandbox.jobs import Job, Jobs

Answer = tuple[dict[str, Any], list[int]]
Operation = Callable[["Operations", dict[str, Any], list[int]], Answer]


class Operations:
    """All that the gateway can ask of one room."""

    def __init__(self, jobs: Jobs, home_fd: int, runtime: str, forget: Callable[[], None]) -> None:
        self.jobs = jobs
        self.home_fd = home_fd
        self.runtime = runtime
        self._forget = forget
        """Closes, in a forked child, what only the supervisor may hold."""
        self._kernels: dict[int, str] = {}
        """The names of the kernels that run, by the number of their job."""

    def answer(self, message: dict[str, Any], fds: list[int]) -> Answer:
        """Do what a request asks; whatever goes wrong is its answer, and must not end the room."""
        op = str(message.get("op"))
        operation = _OPERATIONS.get(op)
        try:
            if operation is None:
                raise OSError(errno.ENOSYS, "unknown operation")
            return operation(self, message, fds)
        except OSError as exc:
            path = os.fsdecode(exc.filename) if exc.filename is not None else message.get("path", "")
            detail = exc.strerror or str(exc)
            return {"error": {"errno": exc.errno or errno.EIO, "path": path, "detail": detail}}, []
        except Exception as exc:  # noqa: BLE001 (as the docstring says)
            detail = f"{type(exc).__name__}: {exc}"[:300]
            return {"error": {"errno": errno.EINVAL, "path": "", "detail": detail}}, []

    def ended(self, job: Job) -> None:
        """Clear away what a job leaves that has ended."""
        if (name := self._kernels.pop(job.number, None)) is not None:
            kernel.remove_folder(self.runtime, name)

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
        return {"ports": listeners.ports_here()}, []

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


_OPERATIONS: dict[str, Operation] = {
    name: getattr(Operations, name)
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
