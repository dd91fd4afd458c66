"""``%%lang``: a cell as a program of another language, in the room of its kernel.

The source goes into a folder of the workspace that is this kernel's and this
language's own, so that two notebooks do not write over each other. It is compiled and run
there on a terminal: programs flush their lines, and the sandbox can tell when one
waits for input. So standard error comes in the same stream as standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import signal
import time
from typing import TYPE_CHECKING, Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import EmbedEnvError, SandboxError, SandboxRequestError, WorkspaceError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.magics.lines import MagicError
from embedenv_jupyter.kernels.magics.turn import Turn
from embedenv_jupyter.languages.registry import Language, Languages, UnknownLanguageError
from embedenv_jupyter.protocols.kernels import Message
from embedenv_jupyter.rooms.cells import program_command
from embedenv_jupyter.rooms.events import Event, Output, Prompt, StopStep
from embedenv_jupyter.rooms.runs import Run, RunState
from embedenv_jupyter.sandbox.spec import MIB, ExitStatus

if TYPE_CHECKING:
    from embedenv_jupyter.kernels.kernel import Kernel

FOLDER: Final = "cells"
"""Where the sources are, in the workspace; in it a folder for each kernel and language."""

LOOK_TIMEOUT_S: Final = 30.0
KILLED_TIMEOUT_S: Final = 5.0

_SECRET: Final = re.compile(r"pass(word|phrase|code)|\bPIN\b|secret", re.IGNORECASE)
_LOOK: Final = 'for name; do command -v "$name" >/dev/null && echo "$name"; done; true'
_NO_INPUT: Final = "[This client gives no input; the program gets the end of its input instead.]\n"


class Programs:
    """Runs the programs of one kernel's ``%%lang`` cells; what they leave behind ends with the kernel."""

    def __init__(self, kernel: Kernel, languages: Languages) -> None:
        self._kernel = kernel
        self._languages = languages
        self._left: set[Run] = set()

    async def run(self, turn: Turn, name: str, arguments: list[str], source: str) -> bool:
        """Compile and run; true when the program ended with code 0. Every other end is answered as an error.

        Raises:
            MagicError: no such language, or the room lacks what it needs.
            InsufficientCreditsError: nothing was run.
            WorkspaceError: the source cannot be written.
        """
        language = await self._language(name)
        folder = f"{FOLDER}/{language.id}-{self._kernel.id[:8]}"
        room = self._kernel.room
        turn.execution.cost = await room.charge_command(program_command(language, source), turn.execution.run)
        try:
            await room.sandbox.files.write(f"{folder}/{language.source}", source.encode("utf-8", "replace"))
        except SandboxRequestError as exc:
            await room.refund_cell(turn.execution.run)
            raise WorkspaceError(exc.path or folder, exc.detail or str(exc)) from exc
        try:
            return await self._stages(turn, language, folder, arguments)
        except SandboxError:  # nothing of it could be started, or the room is gone
            await room.refund_cell(turn.execution.run)
            raise

    async def _stages(self, turn: Turn, language: Language, folder: str, arguments: list[str]) -> bool:
        line = f"exec {language.run} {shlex.join(arguments)}"
        for command, what in ((language.compile, "The compiler"), (line, "The program")):
            if command and not await self._stage(turn, language, folder, command, what):
                return False
        turn.answer.ok()
        return True

    # What there is.

    async def _language(self, name: str) -> Language:
        """Find a language that can be run here.

        Raises:
            MagicError: naming those that can.
        """
        try:
            language = self._languages.named(name)
        except UnknownLanguageError:
            here = await self._named_here()
            raise MagicError(f"There is no language {name!r:.80}. This room can run: {here}.") from None
        needed = list(language.needs)
        missing = [program for program in needed if program not in await self._found(needed)]
        if missing:
            packages = "; ".join(
                f"{kind}: {' '.join(names)}" for kind, names in language.packages.items() if names
            )
            raise MagicError(
                f"This room has no {' and no '.join(missing)}, which {language.name} needs ({packages}). "
                f"Ask who runs this gateway to install it. This room can run: {await self._named_here()}."
            )
        return language

    async def _named_here(self) -> str:
        needed = {language.id: list(language.needs) for language in self._languages}
        found = await self._found(sorted({program for programs in needed.values() for program in programs}))
        here = [name for name, programs in needed.items() if found.issuperset(programs)]
        return ", ".join(here) or "none"

    async def _found(self, programs: list[str]) -> set[str]:
        """Return which of these the room has on its PATH."""
        process = await self._kernel.room.sandbox.spawn(["bash", "-c", _LOOK, "bash", *programs])
        assert process.stdout is not None
        said = b""
        try:
            async with deadline(LOOK_TIMEOUT_S):
                while data := await process.stdout.read():
                    said = (said + data)[-65536:]
        except TimeoutError:
            raise MagicError("The room did not say which programs it has; try again.") from None
        finally:
            process.close()
        return set(said.decode(errors="replace").split())

    # Running.

    async def _stage(self, turn: Turn, language: Language, folder: str, command: str, what: str) -> bool:
        """Run one shell line; answer with an error where it does not end with code 0."""
        sandbox = self._kernel.room.sandbox
        oom_kills = sandbox.keeper.counters().oom_kills
        process = await sandbox.spawn_pty(
            ["bash", "-c", command], cwd=folder, env=language.env, echo=False, cooked=False
        )
        screen = _Screen(turn)
        run = Run(
            0, command, turn.session.member, process, screen, asks_in_silence=True, on_change=self._changed
        )
        self._left.add(run)
        self._kernel.room.work_began(_work(run))
        screen.run = run
        turn.on_interrupt, turn.on_input = screen.interrupt, screen.give_input
        try:
            await run.ended.wait()
        except asyncio.CancelledError:
            await _kill(run)
            raise
        finally:
            await screen.aclose()
            self._kernel.prompts.withdraw(turn.execution.run)
        assert run.status is not None, "it has ended"
        if run.status.code == 0 and not screen.steps:
            return True
        await sandbox.look_at_limits()
        is_oom = sandbox.keeper.counters().oom_kills > oom_kills
        turn.fail(*self._verdict(run.status, what, screen.steps, is_oom=is_oom))
        return False

    def _verdict(self, status: ExitStatus, what: str, steps: list[str], *, is_oom: bool) -> tuple[str, str]:
        """Say how a program ended that did not end well."""
        if steps:
            return "KeyboardInterrupt", f"{what} was interrupted ({', then '.join(steps)}): {status}."
        if is_oom and status.signal == signal.SIGKILL:
            memory = (self._kernel.room.sandbox.spec.limits.memory_bytes or 0) // MIB
            return "MemoryError", f"{what} was ended: the room ran out of memory (its limit is {memory} MiB)."
        if not self._kernel.room.sandbox.is_alive:
            return "RoomEnded", f"The room has ended: {self._kernel.room.sandbox.cause}."
        name = "Signal" if status.signal is not None else "ExitCode"
        return name, f"{what} ended with {status}."

    def _changed(self, run: Run) -> None:
        if run.state is RunState.ENDED:
            self._left.discard(run)
            self._kernel.room.work_ended(_work(run))

    async def aclose(self) -> None:
        """End what was left running; idempotent."""
        for run in list(self._left):
            await _kill(run)
            await run.aclose()


class _Screen:
    """Where a run's output and questions go: into the answer of its cell, in the place of a room's log."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self.run: Run | None = None
        self.steps: list[str] = []
        """The steps of the stop ladder that the run got."""
        self._stopping: asyncio.Task[None] | None = None

    def append(self, event: Event) -> None:
        """Take what the run tells; its beginning and end are told by the cell itself."""
        match event:
            case Output(prompt=False, text=text):
                self._turn.answer.stream("stdout", text)
            case Prompt(text=text):
                self._ask(text)
            case StopStep(step=step):
                self.steps.append(step)
                room_log = self._turn.kernel.room.log
                if not room_log.is_finished:
                    room_log.append(StopStep(run=self._turn.execution.run, step=step, at=time.time()))

    async def writable(self) -> None:
        await self._turn.answer.writable()

    def _ask(self, text: str) -> None:
        if self._turn.cell.request.allow_stdin:
            self._turn.ask(text, password=bool(_SECRET.search(text)))
            return
        self._turn.answer.stream("stdout", text)
        self._turn.answer.stream("stderr", _NO_INPUT)
        assert self.run is not None, "it has asked"
        self.run.send_eof()

    async def give_input(self, message: Message) -> None:
        """Type an answer; one that the terminal does not take is said in the cell."""
        assert self.run is not None, "it has asked"
        try:
            self.run.send_line(messages.input_reply(message).value)
        except EmbedEnvError as exc:
            self._turn.answer.stream("stderr", f"[{exc}]\n")

    async def interrupt(self) -> None:
        """Begin to walk the ladder INT, TERM, KILL; pressed again, go on with it at once."""
        assert self.run is not None, "it was started"
        if self._stopping is None:
            self._stopping = asyncio.create_task(self.run.stop("interrupted"), name="stop of a %%lang cell")
        else:
            await self.run.interrupt()

    async def aclose(self) -> None:
        """Stop to stop; idempotent."""
        if self._stopping is not None:
            self._stopping.cancel()
            await asyncio.gather(self._stopping, return_exceptions=True)


async def _kill(run: Run) -> None:
    """End a run at once, and wait for that."""
    await run.kill()
    with contextlib.suppress(TimeoutError):
        async with deadline(KILLED_TIMEOUT_S):
            await run.ended.wait()


def _work(run: Run) -> str:
    return f"lang-{id(run):x}"
