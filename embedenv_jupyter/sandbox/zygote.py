"""The process that forks rooms: warm, single-threaded, and without any secret.

The gateway execs it with a minimal environment and speaks to it over a channel
(:mod:`embedenv_jupyter.sandbox.channel`):

    gateway: {"op": "configure", "user_mode": bool, "kernels": bool, "cgroups": [folder, …],
              "layers": [layer, …], "host_tree": folder}
    zygote:  {"event": "ready"}  or  {"event": "failed", "errno": e, "detail": text}
    zygote:  {"event": "settled"}, once nothing more is to be learned
    gateway: {"op": "start", "id": n, "cgroups": [folder, …]} and two descriptors: connection, report
    zygote:  {"id": n} and a pidfd of the room's pid 1,  or  {"id": n, "error": {…}}
    zygote:  {"event": "exit", "id": n, "status": returncode}
    gateway: {"op": "stop"}

Theory of operation. Two processes. The first one enters the nursery (see
:mod:`embedenv_jupyter.sandbox.namespaces`), forks, and from then on only guards:
when the second one ends it thaws what is frozen, so that the kernel can end all
rooms, and when the gateway has gone without a word it removes their cgroups. The
second one is the zygote. What it reads is numbers and cgroup folders; the room's
spec, whose environment may hold secrets, waits on the room's own connection and
is read by the child alone, because what the zygote has once had in its memory
every later room can find in its own.

A zygote stands on what its rooms stand on: the host, or an image that it was put on
(:mod:`embedenv_jupyter.sandbox.stand`). ``host_tree`` is where the host's tree is for it then, else empty.

A child that cannot become a room writes why to ``report``; one that could closes it.

Standard library only, but for ipykernel (:mod:`embedenv_jupyter.sandbox.kernel`) and
what it stands on (:mod:`embedenv_jupyter.sandbox.rehearsal`).
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib.util
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from embedenv_jupyter.sandbox import (
    cgroups,
    channel,
    confine,
    kernel,
    namespaces,
    rehearsal,
    rootfs,
    supervisor,
    syscalls,
)
from embedenv_jupyter.sandbox.spec import SandboxSpec

_SHIELDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGUSR1,
             signal.SIGUSR2)  # fmt: skip
"""What a terminal or an operator sends to the gateway's group is the gateway's to act upon."""

_IDLE_S = 2.0
"""How long nobody must have asked for anything before the zygote does what can wait."""

_GATEWAY_IS_GONE = 72
"""The zygote's exit code when its channel ended without a ``stop``."""


def main() -> NoReturn:
    """Run as ``zygote CONTROL_FD``."""
    os.umask(0o022)
    for number in _SHIELDED:
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    received = channel.receive(control)
    if received is None:
        sys.exit(0)
    configuration = received[0]
    try:
        namespaces.enter_nursery(user_mode=configuration["user_mode"])
    except OSError as exc:
        channel.send(control, {"event": "failed", "errno": exc.errno, "detail": exc.strerror or str(exc)})
        sys.exit(1)
    scratch = _scratch()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        syscalls.set_death_signal(signal.SIGKILL)
        os.close(reader)
        Zygote(control, configuration).run()
    os.close(writer)
    control.close()
    _guard(pid, reader, configuration["cgroups"], scratch)


def _scratch() -> str | None:
    """Make a folder for what the zygote writes while it warms up; it may be ended in the middle of that."""
    try:
        tempfile.tempdir = tempfile.mkdtemp(prefix=f"zygote-{os.getpid()}-")
    except OSError:  # no place for temporary files: then what needs some is left to each kernel
        return None
    return tempfile.tempdir


def _guard(zygote: int, alive: int, folders: list[str], scratch: str | None) -> NoReturn:
    """Wait for the zygote's death, then see to it that nothing of it and its rooms is left.

    Only the zygote holds the other end of ``alive``. Its pidfd would not do: it
    dies completely only after its rooms have, and a frozen room cannot die.
    """
    os.read(alive, 1)
    for folder in folders:
        cgroups.thaw_below(folder)
    _, status = os.waitpid(zygote, 0)
    code = os.waitstatus_to_exitcode(status)
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
    if code == _GATEWAY_IS_GONE:  # else the folders are the gateway's to keep or remove
        for folder in folders:
            cgroups.remove_below(folder)
    os._exit(128 - code if code < 0 else code)


class Zygote:
    """Serves the gateway until it is gone."""

    def __init__(self, control: socket.socket, configuration: dict[str, Any]) -> None:
        self._control = control
        self._kernels = bool(configuration["kernels"])
        self._layers = tuple(configuration["layers"])
        self._host_tree = str(configuration["host_tree"])
        self._rooms: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._host: rootfs.Host | None = None
        self._filler: list[Any] = []
        self._rehearsal: Iterator[Callable[[], None]] | None = None

    def run(self) -> NoReturn:
        """Warm up, then serve; when the gateway is gone, end, and with it every room."""
        try:
            self._warm()
            wake = self._watch_children()
            self._selector.register(self._control, selectors.EVENT_READ, self._serve)
            self._selector.register(wake, selectors.EVENT_READ, lambda: self._reap(wake))
            channel.send(self._control, {"event": "ready"})
            if self._rehearsal is None:
                channel.send(self._control, {"event": "settled"})
            while True:
                asked = self._selector.select(_IDLE_S if self._rehearsal is not None else None)
                for key, _ in asked:
                    key.data()
                if not asked:
                    self._rehearse()
        except BrokenPipeError:  # the gateway went while we warmed up
            os._exit(0)
        except BaseException:  # noqa: BLE001 - nothing may leave this process but by its exit
            traceback.print_exc()
            os._exit(70)

    def _warm(self) -> None:
        """Do now what every room would otherwise do; then hide it from the garbage collector."""
        if self._kernels and self._can_have_kernels():
            kernel.warm()
            self._rehearsal = rehearsal.steps()
            next(self._rehearsal)()
        confine.compiled_filter(self._layers)
        modules = [path for path in sys.path if path.rstrip("/").endswith(("site-packages", "dist-packages"))]
        self._host = rootfs.look_at_host(modules, self._host_tree)
        self._settle()

    def _can_have_kernels(self) -> bool:
        """Tell whether there are modules for kernels; an image may do without them."""
        self._kernels = not self._host_tree or importlib.util.find_spec("ipykernel") is not None
        return self._kernels

    def _rehearse(self) -> None:
        """Use the time in which nobody asks for a room."""
        step = next(self._rehearsal, None) if self._rehearsal is not None else None
        if step is None:
            self._rehearsal = None
            self._tell({"event": "settled"})
            return
        step()
        self._settle()

    def _settle(self) -> None:
        """See to it that what is in memory now can be shared with rooms."""
        threads = os.listdir("/proc/self/task")
        if len(threads) != 1:
            # A lock that another thread holds at the fork would stay locked in the room for ever.
            raise RuntimeError(f"an import has started threads: {len(threads)} run")
        self._filler.clear()
        gc.collect()
        if self._kernels:
            rehearsal.gather_file_names()
            self._filler += rehearsal.fill_gaps()
        gc.freeze()  # else the collector would write to, and so copy, every page in every room

    def _watch_children(self) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        return reader

    def _reap(self, wake: int) -> None:
        os.read(wake, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            room = self._rooms.pop(pid, None)
            if room is not None:
                self._tell({"event": "exit", "id": room, "status": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        try:
            channel.send(self._control, message, fds)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(_GATEWAY_IS_GONE)

    def _serve(self) -> None:
        try:
            received = channel.receive(self._control)
        except ConnectionResetError:
            received = None
        # However this process ends, the kernel then ends its pid namespace: all rooms.
        if received is None:
            os._exit(_GATEWAY_IS_GONE)
        message, fds = received
        if message["op"] == "stop":
            os._exit(0)
        try:
            self._start(message, fds)
        except OSError as exc:
            error = {"errno": exc.errno, "path": "", "detail": exc.strerror or str(exc)}
            self._tell({"id": message["id"], "error": error})
        finally:
            for fd in fds:
                os.close(fd)

    def _start(self, message: dict[str, Any], fds: list[int]) -> None:
        """Fork a room and hand out the pidfd of its pid 1."""
        if len(fds) != 2:
            raise OSError(errno.EBADMSG, "a start needs a connection and a report")
        pid = namespaces.fork_room(self._pid_namespace)
        if pid == 0:
            self._be_room(message["cgroups"], *fds)
        try:
            pidfd = os.pidfd_open(pid)
            try:
                # In user mode a room can use up the descriptors that our user may have on their way.
                self._tell({"id": message["id"]}, (pidfd,))
            finally:
                os.close(pidfd)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # a room that nobody holds must not live
            raise
        self._rooms[pid] = message["id"]

    def _be_room(self, folders: list[str], connection_fd: int, report: int) -> NoReturn:
        """Become the room's supervisor. Nothing of the zygote's goes along but its memory."""
        try:
            self._let_go((connection_fd, report))
            for folder in folders:
                namespaces.join(folder)
            connection = socket.socket(fileno=connection_fd)
            received = channel.receive(connection)
            if received is None:
                os._exit(0)
            spec = SandboxSpec.from_dict(received[0]["spec"])
            entry = namespaces.Entry.from_dict(received[0]["entry"])
            assert self._host is not None, "the zygote looks at the host before it serves"
            namespaces.enter(spec, entry, self._host)
            _use_null_streams()
            os.close(report)
        except BaseException as exc:  # noqa: BLE001 - a half-confined process must not go on
            with contextlib.suppress(OSError):  # nobody waits for the room any more
                _report(report, exc)
            os._exit(70)
        supervisor.serve(connection, spec)

    def _let_go(self, kept: tuple[int, int]) -> None:
        """Forget the gateway's channel and all descriptors but the standard ones and ``kept``."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._control.close()
        self._rooms.clear()
        os.environ.clear()
        first = 3
        for fd in sorted(kept):
            os.closerange(first, fd)
            first = fd + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _use_null_streams() -> None:
    """Leave the gateway's terminal; programs get streams of their own."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _report(fd: int, failure: BaseException) -> None:
    number = failure.errno if isinstance(failure, OSError) else None
    text = f"{type(failure).__name__}: {failure}"
    os.write(fd, json.dumps({"errno": number, "detail": text[:2000]}).encode())


if __name__ == "__main__":
    main()
