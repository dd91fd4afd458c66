"""Runs whole programs: writes the files, compiles or takes what was compiled, runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal as signals
import time

from embedenv_jupyter.engine.builds import Builds, key_of
from embedenv_jupyter.engine.events import (
    Outcome,
    Reason,
    SessionState,
    Stage,
    StageBegan,
    StageEnded,
)
from embedenv_jupyter.engine.execution import Control, Execution, RunOptions, begin
from embedenv_jupyter.engine.pace import EventQueue
from embedenv_jupyter.engine.source import Source, write_files
from embedenv_jupyter.engine.stages import Command, Ended, run_stage
from embedenv_jupyter.engine.toolchains import Toolchains
from embedenv_jupyter.errors import SandboxError, SandboxGoneError, SandboxRequestError, SourceError
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.sandbox.sandbox import Sandbox
from embedenv_jupyter.sandbox.spec import MIB, ExitStatus

_PYTHON = "python"


class Runner:
    """Runs programs in one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.toolchains = Toolchains(sandbox)
        self._builds = Builds(sandbox)
        self._removing: set[asyncio.Task[None]] = set()

    async def start(
        self,
        language: Language,
        source: Source,
        options: RunOptions,
        folder: str,
        *,
        discard: bool,
        state: SessionState = SessionState.NONE,
    ) -> Execution:
        """Write the files, then start; ``discard`` removes the folder after the run.

        Raises:
            MissingToolchainError: nothing was written.
            SourceError: the files do not fit into the workspace.
        """
        toolchain = "" if _is_forked(language, options) else await self.toolchains.require(language)
        try:
            await self.write(source, folder, language.source)
        except BaseException:
            if discard:
                self._remove_later(folder)
            raise
        program = Program(self, language, source, options, folder, toolchain, state)

        async def work(queue: EventQueue, control: Control) -> Outcome:
            try:
                return await program.run(queue, control)
            finally:
                if discard:
                    self._remove_later(folder)

        return begin(work)

    async def write(self, source: Source, folder: str, name: str) -> None:
        """Write a source's files, its code as ``name``; a file of that name is not allowed.

        Raises:
            SourceError: it does not fit, or a file has the name of the code.
        """
        if name in source.files:
            raise SourceError(f"files[{name!r}]", "is the file of the code itself; choose another name")
        files = {**source.files, name: source.data}
        removing = set(self._removing)
        try:
            await write_files(self.sandbox, folder, files, code=name)
        except SourceError:
            if not removing:
                raise
            # What an earlier run has filled the disk with was still being removed.
            await asyncio.wait(removing)
            await write_files(self.sandbox, folder, files, code=name)

    async def compiled(self, program: Program, queue: EventQueue, control: Control) -> Ended:
        """Compile, or take what the same content has given before."""
        language, source, options = program.language, program.source, program.options
        key = key_of(language, program.toolchain, source)
        began_s = time.monotonic()
        if options.use_cache and await self._builds.fetch(key, program.folder):
            event = StageEnded(
                Stage.COMPILE, ExitStatus(code=0), (time.monotonic() - began_s) * 1000, 0.0, cached=True
            )
            await queue.put(StageBegan(Stage.COMPILE))
            await queue.put(event)
            return Ended(event, Reason.EXIT)
        command = Command(
            Stage.COMPILE, language.compile, program.folder, language.env, options.compile_timeout_s
        )
        ended = await run_stage(self.sandbox, command, queue, control)
        if ended.ok:
            await self._builds.keep(key, program.folder)
        return ended

    def _remove_later(self, folder: str) -> None:
        task = asyncio.create_task(self._remove(folder), name=f"remove {folder}")
        self._removing.add(task)
        task.add_done_callback(self._removing.discard)

    async def _remove(self, folder: str) -> None:
        with contextlib.suppress(SandboxError):  # what cannot be removed ends with the room
            await self.sandbox.files.remove(folder, recursive=True)

    async def aclose(self) -> None:
        """Wait until what was to be removed is."""
        await asyncio.gather(*self._removing, return_exceptions=True)


class Program:
    """One whole program on its way through the stages."""

    def __init__(
        self,
        runner: Runner,
        language: Language,
        source: Source,
        options: RunOptions,
        folder: str,
        toolchain: str,
        state: SessionState,
    ) -> None:
        self._runner = runner
        self.language = language
        self.source = source
        self.options = options
        self.folder = folder
        self.toolchain = toolchain
        self._state = state

    async def run(self, queue: EventQueue, control: Control) -> Outcome:
        """Run the stages; the end of the sandbox is an outcome, too."""
        began_s = time.monotonic()
        ended: list[Ended] = []
        for stage in (Stage.COMPILE, Stage.RUN) if self.language.compile else (Stage.RUN,):
            if control.is_stopped:
                ended.append(_never_run(stage, Reason.STOPPED, signals.SIGINT))
            else:
                ended.append(await self._stage(stage, queue, control))
            if not ended[-1].ok:
                break
        return self._outcome(ended, (time.monotonic() - began_s) * 1000)

    async def _stage(self, stage: Stage, queue: EventQueue, control: Control) -> Ended:
        try:
            if stage is Stage.COMPILE:
                return await self._runner.compiled(self, queue, control)
            return await run_stage(self._runner.sandbox, self._command(), queue, control)
        except SandboxGoneError as exc:
            return _never_run(stage, Reason.GONE, signals.SIGKILL, str(exc))
        except SandboxRequestError as exc:
            if exc.errno not in (errno.EAGAIN, errno.ENOMEM):
                raise
            detail = f"The room can start no more programs now ({exc.detail or exc})."
            return _never_run(stage, Reason.PIDS, signals.SIGKILL, detail)

    def _command(self) -> Command:
        language, source = self.language, self.source
        return Command(
            Stage.RUN,
            f'exec {language.run} "$@"',
            self.folder,
            {**language.env, **source.env},
            self.options.timeout_s,
            source.arguments,
            self.options.terminal,
            script=language.source if _is_forked(language, self.options) else "",
        )

    def _outcome(self, ended: list[Ended], wall_ms: float) -> Outcome:
        last = ended[-1]
        times = [stage.event.cpu_ms for stage in ended if stage.event.cpu_ms is not None]
        peaks = [stage.event.exit.peak_bytes for stage in ended if stage.event.exit.peak_bytes is not None]
        return Outcome(
            stage=last.event.stage,
            exit=last.event.exit,
            reason=last.reason,
            wall_ms=wall_ms,
            cpu_ms=sum(times) if times else None,
            peak_memory_mib=round(max(peaks) / MIB, 1) if peaks else None,
            detail=last.detail,
            session=self._state,
        )


def _is_forked(language: Language, options: RunOptions) -> bool:
    """Whether a fork of the supervisor runs it, which is a Python itself: no interpreter has to start."""
    return language.id == _PYTHON and options.terminal is None


def _never_run(stage: Stage, reason: Reason, signum: int, detail: str = "") -> Ended:
    return Ended(StageEnded(stage, ExitStatus(signal=signum), 0.0, None), reason, detail)
