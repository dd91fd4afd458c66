"""Installs a language on the machine of a gateway, step by step, as its user watches."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.errors import BusyError
from embedenv_jupyter.languages import installing
from embedenv_jupyter.languages.installing import Step
from embedenv_jupyter.languages.language import TOOLCHAINS, Language
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.protocols.engine.installation import (
    Done,
    Failed,
    InstallEvent,
    Printed,
    StepBegan,
)

log = logging.getLogger(__name__)

KEPT_EVENTS: Final = 1000
"""Who comes later, or reads too slowly, misses what is older."""

PIECE_BYTES: Final = 4096
LAST_WORDS: Final = 2000
"""How many characters of what a step printed are told with its failure."""

TERM_S: Final = 10.0


class Installation:
    """One language being installed. Its events have numbers from 1 on."""

    def __init__(self, language: Language, steps: list[Step]) -> None:
        self.language = language
        self.steps = steps
        self.is_over = False
        self._events: deque[InstallEvent] = deque(maxlen=KEPT_EVENTS)
        self._last = 0
        self._news = asyncio.Condition()

    async def tell(self, event: InstallEvent) -> None:
        """Take down what happened; ``Done`` and ``Failed`` are the last."""
        async with self._news:
            self._events.append(event)
            self._last += 1
            self.is_over = isinstance(event, Done | Failed)
            self._news.notify_all()

    async def events(self) -> AsyncGenerator[tuple[int, InstallEvent]]:
        """Yield all events that are kept, and what comes, to the end."""
        told = 0
        while True:
            async with self._news:
                while self._last == told:
                    if self.is_over:
                        return
                    await self._news.wait()
                first = self._last - len(self._events) + 1
                new = [(n, event) for n, event in enumerate(self._events, first) if n > told]
                told = self._last
            for number, event in new:
                yield number, event


class Installer:
    """Installs one language at a time; it goes on when nobody watches.

    ``obstacle`` says why nothing can be installed here, or ""; ``installed`` is called
    when a language has come.
    """

    def __init__(
        self, languages: Languages, obstacle: Callable[[], str], installed: Callable[[], None]
    ) -> None:
        self.obstacle = obstacle
        self._languages = languages
        self._installed = installed
        self._now: Installation | None = None
        self._task: asyncio.Task[None] | None = None

    def steps(self, language: Language) -> list[Step]:
        """Return what installs a language on this machine."""
        return installing.steps([language], present=installing.present())

    def begin(self, name: str) -> Installation:
        """Install a language, or return its installation where that is under way.

        The caller has seen that there is no obstacle.

        Raises:
            UnknownLanguageError: there is none of this name.
            BusyError: another one is being installed.
        """
        language = self._languages.named(name)
        if self._now is not None and not self._now.is_over:
            if self._now.language.id == language.id:
                return self._now
            raise BusyError(f"{self._now.language.name} is being installed; wait until it is there.")
        self._now = Installation(language, self.steps(language))
        self._task = asyncio.create_task(self._install(self._now), name=f"installation of {language.id}")
        return self._now

    async def _install(self, installation: Installation) -> None:
        steps, name = installation.steps, installation.language.name
        try:
            await asyncio.to_thread(Path(TOOLCHAINS).mkdir, parents=True, exist_ok=True)
            for number, step in enumerate(steps, 1):
                await installation.tell(StepBegan(number, len(steps), step.title, step.command))
                log.info("installing %s: %s", name, step.title)
                exit_code, last_words = await self._run(step, installation)
                if exit_code != 0:
                    log.error("%s was not installed: exit code %d of %s", name, exit_code, step.command)
                    await installation.tell(Failed(step.title, exit_code, last_words, step.command))
                    return
        except OSError as exc:
            log.exception("%s was not installed", name)
            await installation.tell(Failed("preparing", -1, str(exc), ""))
            return
        except asyncio.CancelledError:
            await installation.tell(Failed("stopped", -1, "The server stopped.", ""))
            raise
        self._installed()
        await installation.tell(Done())

    async def _run(self, step: Step, installation: Installation) -> tuple[int, str]:
        """Make a step; return its exit code, and the end of what it printed."""
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", step.line, env={**os.environ, **step.env}, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        last_words = ""
        try:
            while data := await process.stdout.read(PIECE_BYTES):
                text = decoder.decode(data)
                last_words = (last_words + text)[-LAST_WORDS:]
                if text:
                    await installation.tell(Printed(text))
            return await process.wait(), last_words
        finally:
            await _end(process)

    async def aclose(self) -> None:
        """End an installation that is under way; idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make sure that a step and what it started have ended."""
    if process.returncode is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):  # the second for what does not heed the first
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with deadline(TERM_S):
                await process.wait()
