"""One program of an execution, from its start to the end of its output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.engine.events import Output, Reason, Stage, StageBegan, StageEnded, Stream
from embedenv_jupyter.engine.execution import LADDER, Control
from embedenv_jupyter.engine.pace import EventQueue
from embedenv_jupyter.errors import SandboxError, SandboxGoneError
from embedenv_jupyter.sandbox.process import Process
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, Breach, ExitStatus
from embedenv_jupyter.sandbox.streams import ByteSource

TIME_STEP_S: Final = 0.5
"""How long a program whose time is up has for each step of the ladder."""

QUIET_S: Final = 0.25
"""How long the output of an ended program is waited for, when somebody outside its session holds its pipe."""

_FULL_BYTES: Final = 64 << 10
_KILLED: Final = ExitStatus(signal=signals.SIGKILL)
_FILE_TOO_LARGE: Final = ExitStatus(signal=signals.SIGXFSZ)


@dataclass(frozen=True)
class Command:
    """A shell line and where it runs."""

    stage: Stage
    line: str
    folder: str
    env: Mapping[str, str]
    timeout_s: float | None
    arguments: tuple[str, ...] = ()
    """What the line finds as ``"$@"``, or the script as ``sys.argv[1:]``."""
    terminal: tuple[int, int] | None = None
    script: str = ""
    """A Python file that is run in a fork of the supervisor in the place of the line."""


@dataclass(frozen=True)
class Ended:
    """How a stage ended, and why."""

    event: StageEnded
    reason: Reason
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.reason is Reason.EXIT and self.event.exit.code == 0


async def run_stage(sandbox: Sandbox, command: Command, queue: EventQueue, control: Control) -> Ended:
    """Run one stage to its end, telling the queue; kills what it leaves behind, also when cancelled.

    Raises:
        SandboxError: it could not be started. An end of the sandbox later on is an outcome.
    """
    watch = Watch(sandbox)
    began_s = time.monotonic()
    await queue.put(StageBegan(command.stage))
    control.is_quiet.clear()
    try:
        process = await _spawned(sandbox, command)
    except BaseException:
        control.is_quiet.set()
        raise
    takes_input = command.stage is Stage.RUN
    connect(control, process, takes_input=takes_input)
    try:
        if not takes_input and process.stdin is not None:
            process.stdin.close()
        is_late, status = await _ended(process, command, queue, control)
    finally:
        process.close()
    wall_ms = (time.monotonic() - began_s) * 1000
    cpu_ms = None if status.cpu_s is None else status.cpu_s * 1000
    event = StageEnded(command.stage, status, wall_ms, cpu_ms)
    await queue.put(event)
    reason, detail = await watch.verdict(status, command.timeout_s, is_late=is_late, control=control)
    return Ended(event, reason, detail)


async def _spawned(sandbox: Sandbox, command: Command) -> Process:
    if command.script:
        return await sandbox.fork_script(
            command.script, command.arguments, cwd=command.folder, env=command.env
        )
    argv = ["sh", "-c", command.line, "sh", *command.arguments]
    if command.terminal is None:
        return await sandbox.spawn(argv, cwd=command.folder, env=command.env)
    return await sandbox.spawn_pty(
        argv, cwd=command.folder, env=command.env, size=command.terminal, echo=False, cooked=False
    )


async def _ended(
    process: Process, command: Command, queue: EventQueue, control: Control
) -> tuple[bool, ExitStatus]:
    """Pass the output on until the program ends; tell whether its time was up, and how it ended."""
    is_over = asyncio.Event()
    assert process.stdout is not None
    async with asyncio.TaskGroup() as pumps:
        pumps.create_task(pump(process.stdout, command.stage, Stream.STDOUT, queue, is_over))
        if process.stderr is not None:
            pumps.create_task(pump(process.stderr, command.stage, Stream.STDERR, queue, is_over))
        try:
            # Who asked for the end while the program was being started had nothing to signal.
            is_late = not control.is_stopped and not await within(process.wait(), command.timeout_s)
            if is_late or control.is_stopped:
                await descend(process)
            status = await process.wait()
        except SandboxGoneError:
            is_late, status = False, _KILLED
        finally:
            await kill(process)
            disconnect(control)
            is_over.set()
            for source in filter(None, (process.stdout, process.stderr)):
                source.wake()
    return is_late, status


async def pump(
    source: ByteSource,
    stage: Stage,
    stream: Stream,
    queue: EventQueue,
    is_over: asyncio.Event,
    quiet_s: float = QUIET_S,
) -> None:
    """Pass on what a program writes, at the pace of the reader; once it is over, what is still there."""
    while (data := source.read_now()) != b"":
        if data is not None:
            await queue.put(Output(stage, stream, data))
        elif not is_over.is_set():
            await source.readable()
        elif not quiet_s or not await within(source.readable(), quiet_s):
            return


async def within(work: Awaitable[object], limit_s: float | None) -> bool:
    """Wait for something; ``False`` when the time is up first."""
    try:
        async with deadline(limit_s):
            await work
    except TimeoutError:
        return False
    return True


async def descend(process: Process) -> None:
    """Walk the ladder of signals quickly, for a program whose time is up, while it lives."""
    for step in LADDER:
        if process.status is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            await process.signal(step)
        if await within(process.wait(), TIME_STEP_S):
            return


async def kill(process: Process) -> None:
    """End all of a program's session at once; nothing happens where there is none any more."""
    with contextlib.suppress(ProcessLookupError, SandboxError):
        await process.signal(signals.SIGKILL, "session")


def connect(control: Control, process: Process, *, takes_input: bool) -> None:
    """Let the control reach a program."""
    stdin = process.stdin
    assert stdin is not None

    async def close() -> None:
        if process.terminal is not None:
            await stdin.write(b"\x04")  # what a terminal makes the end of input of, at the start of a line
        else:
            stdin.close()

    async def send(number: int) -> None:
        with contextlib.suppress(ProcessLookupError, SandboxGoneError):
            await process.signal(number)

    control.signal, control.resize = send, process.resize
    if takes_input:
        control.write, control.close = stdin.write, close
        control.takes_input.set()


def disconnect(control: Control) -> None:
    """Take the program out of reach."""
    control.write = control.close = control.signal = control.resize = None
    control.is_quiet.set()


class Watch:
    """What a sandbox had run into before a program was started, to be compared with after its end."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._before = sandbox.keeper.counters()

    async def verdict(
        self, status: ExitStatus, timeout_s: float | None, *, is_late: bool, control: Control
    ) -> tuple[Reason, str]:
        """Say why a program ended: the limit that it ran into, if it did, else how it ended itself."""
        sandbox = self._sandbox
        if not sandbox.is_alive:
            return Reason.GONE, f"The sandbox has ended ({sandbox.cause})."
        if status.code == 0 and not is_late and not control.is_stopped:
            return Reason.EXIT, ""
        now, limits = sandbox.keeper.counters(), sandbox.spec.limits
        if now.oom_kills > self._before.oom_kills and not is_late:
            # Often it is a child that was killed, and the program itself says so: gcc, a shell.
            size = f" ({limits.memory_bytes // MIB} MiB)" if limits.memory_bytes else ""
            return Reason.OOM, f"The memory limit{size} was reached."
        pids = now.pid_refusals > self._before.pid_refusals
        too_many = f"The limit of {limits.pids} processes and threads was reached." if pids else ""
        if is_late:
            return Reason.TIME, f"Time is up after {timeout_s:g} s. {too_many}".strip()
        if control.is_stopped:
            return Reason.STOPPED, ""
        if pids:
            return Reason.PIDS, too_many
        if detail := self._full(status):
            return Reason.DISK, detail
        return (Reason.EXIT if status.signal is None else Reason.SIGNAL), ""

    def _full(self, status: ExitStatus) -> str:
        sandbox, limits = self._sandbox, self._sandbox.spec.limits
        if status.shell_code == _FILE_TOO_LARGE.shell_code:
            return f"A file reached the limit of {(limits.file_bytes or 0) // MIB} MiB."
        if sandbox.own_disk and sandbox.workspace_fd >= 0:
            found = os.fstatvfs(sandbox.workspace_fd)
            if found.f_bavail * found.f_frsize < _FULL_BYTES or found.f_favail == 0:
                return f"The workspace of {limits.workspace_bytes // MIB} MiB is full."
        elif Breach.DISK in sandbox.breaches:
            return f"The workspace of {limits.workspace_bytes // MIB} MiB is full."
        return ""
