"""``embedenv languages``: what it installs or hands on, and how it shows what was found."""

from __future__ import annotations

import io
import os

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from embedenv_jupyter.cli import languages as module
from embedenv_jupyter.cli.languages import Row, command, markdown, show
from embedenv_jupyter.engine.survey import Finding
from embedenv_jupyter.engine.trial import Check, Verdict
from embedenv_jupyter.languages import installing
from embedenv_jupyter.languages.installing import Step
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.protocols.engine.listing import Checked

LANGUAGES = Languages.shipped()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def shown(*rows: Row) -> str:
    stream = io.StringIO()
    show(rows, Console(file=stream, width=200))
    return stream.getvalue()


def row(name: str, missing: tuple[str, ...] = (), more: tuple[str, ...] = (), **checks: Check) -> Row:
    return Row(Finding(LANGUAGES.named(name), missing, more, "" if missing else "1.0"), checks)


def test_an_unknown_language_is_refused() -> None:
    for arguments in (("install", "befunge"), ("--only", "befunge")):
        result = call(*arguments)
        assert result.exit_code == 1 and "'befunge' is no language known here" in result.output


def test_the_commands_are_printed_for_a_dry_run() -> None:
    result = call("install", "--dry-run", "ruby")
    assert result.exit_code == 0
    assert "apt-get install --yes --no-install-recommends ruby" in result.output


def test_who_is_not_root_gets_the_commands_to_hand_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = call("install", "ruby")
    assert result.exit_code == 1
    assert "apt-get install" in result.output and "Only root can install them for rooms." in result.output


def test_a_step_that_fails_shows_its_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(module, "TOOLCHAINS", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    failing = [Step("works", "true"), Step("fails", "echo why >&2; exit 5"), Step("never", "exit 6")]
    monkeypatch.setattr(installing, "steps", lambda *_, **__: failing)
    result = call("install", "ruby")
    assert result.exit_code == 1 and "fails: exit code 5\nwhy\nIt was: echo why" in result.output


def test_the_table_says_what_is_here_and_how_to_get_the_rest() -> None:
    text = shown(row("c", more=("clang-repl-22",)), row("awk"), row("php", ("php",)))
    assert "no clang-repl-22" in text and "files only" in text and "1.0" in text
    assert "2 of 3 are here." in text
    assert "embedenv languages install php" in text


def test_the_table_in_the_documentation_has_a_row_for_each_language() -> None:
    *_, last = markdown([row("c"), row("awk", hello=Check(Verdict.OK))]).splitlines()
    assert last == "| AWK (gawk) | `awk`, `gawk` | 1.0 | files only | ok |"


def test_a_check_that_failed_is_told_with_what_was_seen() -> None:
    failed = row("awk", hello=Check(Verdict.OK), input=Check(Verdict.FAILED, "run exit [x]"))
    assert failed.has_failed and not row("awk", hello=Check(Verdict.OK)).has_failed
    assert "awk, input: run exit [x]" in shown(failed)
    assert failed.entry().checks["input"] == Checked("failed", "run exit [x]")
