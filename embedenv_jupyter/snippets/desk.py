"""From a request of the Engine protocol to its answer: what sockets and REST have in common."""

from __future__ import annotations

import asyncio
import base64
import binascii
import enum

from msgspec import UNSET, UnsetType

from embedenv_jupyter.accounts import Account, cost_of
from embedenv_jupyter.engine.events import Event, Outcome
from embedenv_jupyter.engine.execution import RunOptions
from embedenv_jupyter.engine.source import Source
from embedenv_jupyter.errors import CodeBlockedError, SourceError
from embedenv_jupyter.languages.filter import check
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.frames import given
from embedenv_jupyter.sandbox.spec import Limits
from embedenv_jupyter.snippets.rendering import Collector
from embedenv_jupyter.snippets.session import Job, Session
from embedenv_jupyter.snippets.sessions import Sessions

QUICK_CHARS = 2000
"""Code that is longer is looked at in a thread: that takes longer than the loop may wait."""


class CodeFilter(enum.StrEnum):
    """What is done about code that a rule recognises an attack in; the sandbox is what confines it."""

    BLOCK = "block"
    WARN = "warn"
    OFF = "off"


class Desk:
    """Takes requests in; one for each gateway."""

    def __init__(self, sessions: Sessions, code_filter: CodeFilter = CodeFilter.BLOCK) -> None:
        self.sessions = sessions
        self._filter = code_filter

    async def job(
        self, work: frames.Work, *, is_fresh: bool, terminal: frames.Size | UnsetType = UNSET
    ) -> Job:
        """Check a request.

        In a session, code of a language without a compiler is a cell, which finds what
        earlier ones have defined; that of a compiled one is a whole program, unless it asks to be a cell.

        Raises:
            SourceError: a value is not acceptable.
            UnknownLanguageError: there is no such language.
            CodeBlockedError: a rule recognises something, and such code is not run here.
        """
        language = self.sessions.languages.named(work.language)
        source = Source(
            work.code,
            _files(given(work.files) or {}),
            tuple(given(work.args) or ()),
            given(work.env) or {},
        )
        options = RunOptions(
            timeout_s=self.sessions.timeout_of(given(work.timeout)),
            terminal=(terminal.rows, terminal.cols) if terminal is not UNSET else None,
        )
        stdin, asked = given(work.stdin), given(work.cell)
        is_cell = not language.compile if asked is None else asked
        warnings = await self._warnings(language.id, work.code)
        return Job(
            language, source, options, is_fresh=is_fresh, is_cell=is_cell and not is_fresh,
            warnings=tuple(warnings),
            stdin=None if stdin is None else stdin.encode("utf-8", "replace"),
        )  # fmt: skip

    def price(self, job: Job) -> int:
        """Return what a job costs, in credits."""
        return cost_of(job.command)

    async def _warnings(self, language: str, code: str) -> list[tuple[str, str]]:
        """Return the rules that recognise something, and what.

        Raises:
            CodeBlockedError: such code is not run here.
        """
        if self._filter is CodeFilter.OFF:
            return []
        found = (
            check(language, code)
            if len(code) <= QUICK_CHARS
            else await asyncio.to_thread(check, language, code)
        )
        if found and self._filter is CodeFilter.BLOCK:
            raise CodeBlockedError(found[0].rule, found[0].message, found[0].line)
        return [(finding.rule, f"line {finding.line}: {finding.message}") for finding in found]

    def limits(self, work: frames.Work) -> Limits | None:
        """Return the limits that a request asks for, ``None`` for the usual ones.

        Raises:
            SourceError: they are more than this gateway allows.
        """
        asked = given(work.limits)
        if asked is None:
            return None
        return self.sessions.limits_of(
            given(asked.memory_mib), given(asked.pids), given(asked.cpus), given(asked.disk_mib)
        )

    async def answer(self, session: Session, job: Job, id: str | None = None) -> frames.Answer:
        """Run a job to its end and return all that it wrote; what it raises, nothing was run for."""
        collector = Collector(self.sessions.settings.answer_bytes)
        outcome: Outcome | None = None
        async with session.running(job) as (execution, cost):
            feeding = session.feed(execution, job.stdin if job.stdin is not None else b"")
            try:
                async for event in execution:
                    outcome = _last(event)
                    collector.take(event)
            finally:
                feeding.cancel()
        assert outcome is not None, "every execution ends with an outcome"
        return collector.answer(
            outcome, id=id, cost=cost, warnings=[f"{rule}: {message}" for rule, message in job.warnings]
        )

    async def answer_alone(self, account: Account, work: frames.Work) -> frames.Answer:
        """Run a request of REST: in its session, or in a room of its own that ends with it.

        Raises:
            SourceError: a value is not acceptable; nothing was run.
            UnknownLanguageError: there is no such language.
            EmbedEnvError: nothing was run; the text says why.
        """
        name = given(work.session)
        job = await self.job(work, is_fresh=name is None)
        session = await self.sessions.enter(account, name, self.limits(work), price=self.price(job))
        try:
            return await self.answer(session, job)
        finally:
            self.sessions.leave(session)


def _last(event: Event) -> Outcome | None:
    return event if isinstance(event, Outcome) else None


def _files(files: dict[str, str | frames.Base64]) -> dict[str, bytes]:
    return {path: _content(path, content) for path, content in files.items()}


def _content(path: str, content: str | frames.Base64) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8", "replace")
    try:
        return base64.b64decode(content.base64, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise SourceError(f"files[{path!r:.80}]", f"is no base64: {exc}") from None
