"""Sessions: what one run leaves is there in the next."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from embedenv_jupyter.engine.execution import Execution, RunOptions
from embedenv_jupyter.engine.runner import Runner
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.errors import SandboxError, SessionError
from embedenv_jupyter.languages.language import Language


class LanguageSession(Protocol):
    """One language, one folder, one run at a time."""

    @property
    def language(self) -> Language: ...

    @property
    def keeps_state(self) -> bool:
        """Whether variables and definitions are kept, not only files."""

    @property
    def is_closed(self) -> bool: ...

    async def start(self, source: Source, options: RunOptions | None = None) -> Execution:
        """Run source in the session.

        Raises:
            SessionError: another run has not ended, or the session was closed.
            SourceError: the source does not fit, or brings what a session cannot take.
            SandboxError: the sandbox has ended, or does not answer.
        """

    async def aclose(self) -> None:
        """End the session and what runs in it, and remove its folder; idempotent."""


class Turn:
    """Lets one run at a time into a session."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._running: Execution | None = None
        self._is_starting = False
        self.is_closed = False

    async def take(self, start: Callable[[], Awaitable[Execution]]) -> Execution:
        """Start a run, if none runs.

        Raises:
            SessionError: one has not ended, or there will be none any more.
        """
        if self.is_closed:
            raise SessionError(f"This session of {self._language.name} was closed.")
        if self._is_starting or (self._running is not None and not self._running.has_ended):
            raise SessionError(
                f"This session of {self._language.name} has a run that has not ended; wait for it or stop it."
            )
        self._is_starting = True
        try:
            self._running = await start()
        finally:
            self._is_starting = False
        return self._running

    async def close(self) -> None:
        self.is_closed = True
        if self._running is not None:
            await self._running.aclose()


class FolderSession:
    """A session of a language that keeps no state: its folder stays, with files and compiled results."""

    keeps_state = False

    def __init__(self, runner: Runner, language: Language, folder: str) -> None:
        self.language = language
        self._runner = runner
        self._folder = folder
        self._turn = Turn(language)

    @property
    def is_closed(self) -> bool:
        return self._turn.is_closed

    async def start(self, source: Source, options: RunOptions | None = None) -> Execution:
        return await self._turn.take(lambda: self._start(source, options or RunOptions()))

    async def _start(self, source: Source, options: RunOptions) -> Execution:
        return await self._runner.start(self.language, source, options, self._folder, discard=False)

    async def aclose(self) -> None:
        await self._turn.close()
        with contextlib.suppress(SandboxError):
            await self._runner.sandbox.files.remove(self._folder, recursive=True)
