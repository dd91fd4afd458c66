"""Which languages a room can run, in which version, and what the others lack."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from embedenv_jupyter.deadlines import deadline
from embedenv_jupyter.engine.toolchains import Toolchains
from embedenv_jupyter.errors import SandboxRequestError
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.protocols.engine.listing import LanguageEntry
from embedenv_jupyter.sandbox.sandbox import Sandbox

VERSION_TIMEOUT_S: Final = 30.0
MAX_AT_ONCE: Final = 4
MAX_VERSION_BYTES: Final = 4096
MAX_VERSION_CHARACTERS: Final = 100


@dataclass(frozen=True)
class Finding:
    """What a room has of one language. ``version`` is "" for one that is missing or does not say."""

    language: Language
    missing: tuple[str, ...]
    missing_for_session: tuple[str, ...]
    version: str = ""

    @property
    def is_found(self) -> bool:
        return not self.missing

    @property
    def has_session(self) -> bool:
        """Whether state can be kept between runs here."""
        return self.is_found and self.language.session is not None and not self.missing_for_session

    def entry(self) -> LanguageEntry:
        """Return it as lists of languages have it."""
        language = self.language
        return LanguageEntry(
            id=language.id, name=language.name, aliases=list(language.aliases), found=self.is_found,
            version=self.version, session=self.has_session,
            missing=[*self.missing, *self.missing_for_session],
            packages={name: list(packages) for name, packages in language.all_packages.items() if packages},
        )  # fmt: skip


async def survey(sandbox: Sandbox, languages: Iterable[Language], *, versions: bool = True) -> list[Finding]:
    """Look for each language in a sandbox; with ``versions`` ask those that are there."""
    chosen = list(languages)
    wanted = {name for language in chosen for name in (*language.needs, *_for_session(language))}
    found = await Toolchains(sandbox).look(sorted(wanted))
    turns = asyncio.Semaphore(MAX_AT_ONCE)

    async def finding(language: Language) -> Finding:
        missing = tuple(name for name in language.needs if name not in found)
        more = tuple(name for name in _for_session(language) if name not in found)
        if missing or not versions:
            return Finding(language, missing, more)
        async with turns:
            return Finding(language, missing, more, await _version(sandbox, language))

    return await asyncio.gather(*map(finding, chosen))


def _for_session(language: Language) -> tuple[str, ...]:
    return language.session.needs if language.session is not None else ()


async def _version(sandbox: Sandbox, language: Language) -> str:
    """Return the first line that says something; some print it as an error."""
    try:
        process = await sandbox.spawn(["sh", "-c", f"({language.version}) 2>&1"], env=language.env)
    except SandboxRequestError:  # as many processes as the room may have run already
        return ""
    assert process.stdout is not None
    said = b""
    try:
        async with deadline(VERSION_TIMEOUT_S):
            while len(said) < MAX_VERSION_BYTES and (data := await process.stdout.read(MAX_VERSION_BYTES)):
                said += data
    except TimeoutError:
        return ""
    finally:
        process.close()
    lines = (line.strip() for line in said.decode(errors="replace").splitlines())
    return next((line for line in lines if line), "")[:MAX_VERSION_CHARACTERS]
