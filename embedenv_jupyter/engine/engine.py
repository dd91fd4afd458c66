"""The engine of one room: runs source in any language that the room has a toolchain for.

Theory of operation. A one-shot run gets a fresh folder of the workspace (:mod:`.runner`):
files and source are written, the compile stage runs unless its result is known
(:mod:`.builds`), then the run stage, each one program on pipes in a session of its
own, which is killed as a whole when its first program ends (:mod:`.stages`). What
happens comes as events through a bounded queue (:mod:`.pace`), so that a slow reader
slows the program and nothing is dropped.

A session keeps state between runs where the language has a way to (:mod:`.driven`);
otherwise it keeps its folder (:mod:`.session`).
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from embedenv_jupyter.engine.driven import DrivenSession
from embedenv_jupyter.engine.execution import Execution, RunOptions
from embedenv_jupyter.engine.runner import Runner
from embedenv_jupyter.engine.session import FolderSession, LanguageSession
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.sandbox.sandbox import Sandbox

RUNS: Final = ".engine/runs"
SESSIONS: Final = ".engine/sessions"


class Engine:
    """Runs source in one sandbox; :meth:`aclose` ends what still runs, and leaves the sandbox open."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._runner = Runner(sandbox)
        self._executions: set[Execution] = set()
        self._sessions: set[LanguageSession] = set()

    async def start(self, language: Language, source: Source, options: RunOptions | None = None) -> Execution:
        """Start a one-shot run in a fresh folder, which is removed after it. Any number may run at once.

        The caller iterates over its events, and calls its ``aclose`` when it loses interest.

        Raises:
            MissingToolchainError: the room cannot run this language; nothing was started.
            SourceError: the source takes more room than is left.
            SandboxError: the sandbox has ended, or does not answer.
        """
        folder = f"{RUNS}/{secrets.token_hex(6)}"
        execution = await self._runner.start(language, source, options or RunOptions(), folder, discard=True)
        self._executions = {running for running in self._executions if running.outcome is None}
        self._executions.add(execution)
        return execution

    async def open_session(self, language: Language, *, programs: bool = False) -> LanguageSession:
        """Open a session: what one run leaves is there in the next. The caller closes it.

        With ``programs`` each run is a whole program, and what it leaves are files.

        Raises:
            MissingToolchainError: the room cannot run this language, or keeps no state in it.
        """
        folder = f"{SESSIONS}/{secrets.token_hex(6)}"
        await self._runner.toolchains.require(language, session=not programs)
        await self._runner.sandbox.files.make_dir(folder)
        session: LanguageSession
        if language.session is None or programs:
            session = FolderSession(self._runner, language, folder)
        else:
            session = DrivenSession(self._runner, language, language.session, folder)
        self._sessions = {open for open in self._sessions if not open.is_closed}
        self._sessions.add(session)
        return session

    async def found(self, language: Language) -> bool:
        """Tell whether the room has what runs of a language need."""
        return await self._runner.toolchains.look(language.needs) == frozenset(language.needs)

    async def aclose(self) -> None:
        """End all executions and sessions; idempotent."""
        closing = [*(running.aclose() for running in self._executions), *(s.aclose() for s in self._sessions)]
        await asyncio.gather(*closing)
        self._executions.clear()
        self._sessions.clear()
        await self._runner.aclose()
