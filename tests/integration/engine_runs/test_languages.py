"""What languages.toml promises is true of every language that this machine has.

Those in ``EXPECTED`` are installed by ``make test``; the others are tested where they are.
"""

from __future__ import annotations

import pytest

from embedenv_jupyter.engine.engine import Engine
from embedenv_jupyter.engine.trial import Check, Trial, Verdict
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.languages.registry import Languages
from tests.lacking import lacking
from tools.bootstrap import TESTED_LANGUAGES

CHECKS = ("hello", "input", "error", "interrupt", "limit")


def missing(language: Language, check: Check) -> None:
    if language.id in TESTED_LANGUAGES:
        lacking(language.name, f"…, or: embedenv languages install {language.id}")
    pytest.skip(check.detail)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", list(Languages.shipped()), ids=lambda language: language.id)
async def test_language(engine: Engine, language: Language) -> None:
    if not await engine.found(language):
        missing(language, Check(Verdict.MISSING, f"{language.name} is not installed"))
    checks = await Trial(engine, language).run()
    assert {name: checks[name] for name in CHECKS} == dict.fromkeys(CHECKS, Check(Verdict.OK))
    session = checks["session"]
    if session.verdict is Verdict.MISSING:
        pytest.skip(f"sessions: {session.detail}")
    assert session == Check(Verdict.OK if language.session is not None else Verdict.NONE)
