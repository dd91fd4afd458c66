"""Which languages a gateway's rooms can run: the answer of ``GET embedenv/api/languages``.

``embedenv languages --json`` prints the same of the machine that it runs on.
"""

from __future__ import annotations

from msgspec import Struct, field


class Checked(Struct, frozen=True):
    """What came of trying a language; ``detail`` says what was seen where that is not what was promised."""

    verdict: str
    """``ok``, ``failed``, ``missing``, or ``-`` where the language does not have this."""
    detail: str = ""


class LanguageEntry(Struct, frozen=True, kw_only=True):
    """One language: whether it can be run, and what it lacks if not."""

    id: str
    """What a request names it by."""
    name: str
    """What people call it."""
    aliases: list[str]
    """Other names that a request may use."""
    found: bool
    """Whether a room has what it takes to run it."""
    version: str
    """As its own toolchain says it; empty where it is missing or does not say."""
    session: bool
    """Whether state is kept from one run of a session to the next."""
    missing: list[str]
    """Programs that a room lacks, those included that only sessions need."""
    packages: dict[str, list[str]]
    """By package manager, what brings the language."""
    checks: dict[str, Checked] = field(default_factory=dict)
    """Empty but for ``embedenv languages --test``, which tries each language."""


class LanguageList(Struct, frozen=True):
    """All languages that the gateway knows, those included that its rooms cannot run now."""

    languages: list[LanguageEntry]
