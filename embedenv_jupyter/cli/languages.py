"""``embedenv languages``: what rooms here can run, whether it really works, and how to get more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from embedenv_jupyter.cli.image_choice import image_option, resolved
from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.languages import installing
from embedenv_jupyter.languages.installing import Step
from embedenv_jupyter.languages.language import TOOLCHAINS, Language
from embedenv_jupyter.languages.registry import Languages, UnknownLanguageError
from embedenv_jupyter.protocols.engine.listing import Checked, LanguageEntry, LanguageList

if TYPE_CHECKING:
    from embedenv_jupyter.engine.survey import Finding
    from embedenv_jupyter.engine.trial import Check
    from embedenv_jupyter.sandbox.sandbox import Sandbox
    from embedenv_jupyter.sandbox.tiers import Tier

MEMORY_MIB: Final = 1024
PIDS: Final = 256
"""Of the rooms that languages are tried in: what the largest compilers need, with room to spare."""

LAST_LINES: Final = 15

_MARKS: Final = {
    "ok": "[green]ok[/]",
    "failed": "[red]failed[/]",
    "missing": "[yellow]missing[/]",
    "-": "[dim]-[/]",
}


@dataclass
class Row:
    """One language in the list: what was found, and the checks that were made."""

    finding: Finding
    checks: dict[str, Check]

    def entry(self) -> LanguageEntry:
        checks = {name: Checked(check.verdict, check.detail) for name, check in self.checks.items()}
        return msgspec.structs.replace(self.finding.entry(), checks=checks)

    @property
    def has_failed(self) -> bool:
        return any(check.verdict == "failed" for check in self.checks.values())


@click.group("languages", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a table in Markdown.")
@click.option("--test", "tests", is_flag=True, help="Run programs in each language that is there.")
@click.option("--only", "names", multiple=True, metavar="NAME", help="Only this language; may be repeated.")
@click.option("--tier", default="auto", show_default=True, help="How rooms are isolated.")
@image_option
@click.pass_context
def command(
    context: click.Context, as_json: bool, as_markdown: bool, tests: bool, names: tuple[str, ...],
    tier: str, image: str | None,
) -> None:  # fmt: skip
    """List the languages that rooms here can run.

    With --test each one runs a first program, one that asks a question, one that
    fails, one that is interrupted, one whose time is up, and a session, in a room of
    its own. The exit code is 1 when something does not work as it should.
    """
    if context.invoked_subcommand is not None:
        return
    try:
        chosen = _chosen(names)
        rows = asyncio.run(_rows(chosen, tier, image, tests=tests, shows=not as_json))
    except (EmbedEnvError, UnknownLanguageError) as exc:
        raise click.ClickException(str(exc)) from exc
    if as_json:
        listed = LanguageList([row.entry() for row in rows])
        click.echo(msgspec.json.format(msgspec.json.encode(listed), indent=2).decode())
    elif as_markdown:
        click.echo(markdown(rows))
    else:
        show(rows, Console())
    sys.exit(1 if any(row.has_failed for row in rows) else 0)


def _chosen(names: Sequence[str]) -> list[Language]:
    known = Languages.shipped()
    return [known.named(name) for name in names] if names else list(known)


async def _rows(
    languages: list[Language], tier_name: str, image: str | None, *, tests: bool, shows: bool
) -> list[Row]:
    from embedenv_jupyter.engine.survey import survey

    progress = _progress(Console(stderr=True), disable=not shows)
    async with _tier(tier_name, image) as tier:
        async with _room(tier) as sandbox:
            rows = [Row(finding, {}) for finding in await survey(sandbox, languages)]
        if tests:
            with progress:
                for row in progress.track(
                    [row for row in rows if row.finding.is_found], description="Testing"
                ):
                    progress.update(progress.task_ids[0], description=row.finding.language.name)
                    row.checks = await _tried(tier, row.finding.language)
    return rows


async def _tried(tier: Tier, language: Language) -> dict[str, Check]:
    from embedenv_jupyter.engine.engine import Engine
    from embedenv_jupyter.engine.trial import Trial

    async with _room(tier) as sandbox:
        engine = Engine(sandbox)
        try:
            return await Trial(engine, language).run()
        finally:
            await engine.aclose()


@contextlib.asynccontextmanager
async def _tier(name: str, image: str | None) -> AsyncIterator[Tier]:
    from embedenv_jupyter.sandbox.choose import choose

    tier = await choose(name, image=resolved(image))
    try:
        yield tier
    finally:
        await tier.aclose()


@contextlib.asynccontextmanager
async def _room(tier: Tier) -> AsyncIterator[Sandbox]:
    from embedenv_jupyter.sandbox.spec import MIB, Limits, SandboxSpec

    limits = Limits(memory_bytes=MEMORY_MIB * MIB, pids=PIDS, cpu_cores=None)
    sandbox = await tier.start(SandboxSpec(id="languages", limits=limits))
    try:
        yield sandbox
    finally:
        await sandbox.aclose()


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table for people, and how to get what is missing."""
    checks = list(dict.fromkeys(name for row in rows for name in row.checks))
    table = Table(title="Languages that rooms here can run", title_justify="left")
    for heading in ("language", "names", "here", "session", *checks):
        table.add_column(heading, overflow="fold")
    for row in rows:
        finding = row.finding
        here = escape(finding.version or "yes") if finding.is_found else "[yellow]missing[/]"
        names = ", ".join((finding.language.id, *finding.language.aliases))
        marks = [_MARKS[row.checks[name].verdict] if name in row.checks else "" for name in checks]
        table.add_row(finding.language.name, names, here, _session(finding), *marks)
    console.print(table)
    for row in rows:
        for name, check in row.checks.items():
            if check.verdict == "failed":
                console.print(f"{row.finding.language.id}, {name}: {escape(check.detail)}", highlight=False)
    missing = [row.finding.language.id for row in rows if not row.finding.is_found]
    found = len(rows) - len(missing)
    console.print(f"{found} of {len(rows)} are here.", highlight=False)
    if missing:
        console.print(
            f"To install others: embedenv languages install {' '.join(missing)}",
            soft_wrap=True,
            highlight=False,
        )


def markdown(rows: Sequence[Row]) -> str:
    """Return the table for docs/languages.md."""
    checks = list(dict.fromkeys(name for row in rows for name in row.checks))
    headings = ["language", "names", "version", "state in sessions", *checks]
    lines = [headings, ["---"] * len(headings)]
    for row in rows:
        finding, language = row.finding, row.finding.language
        names = ", ".join(f"`{name}`" for name in (language.id, *language.aliases))
        way = language.session.way.value if language.session is not None else "files only"
        verdicts = [str(row.checks[name].verdict) if name in row.checks else "" for name in checks]
        version = finding.version or ("yes" if finding.is_found else "missing")
        lines.append([language.name, names, version.replace("|", "\\|"), way, *verdicts])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _session(finding: Finding) -> str:
    if finding.language.session is None:
        return "[dim]files only[/]"
    if not finding.is_found:
        return ""
    return "[green]yes[/]" if finding.has_session else f"no {escape(' '.join(finding.missing_for_session))}"


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@click.option("--dry-run", is_flag=True, help="Print the commands and run none.")
@click.option(
    "--warm/--no-warm", default=True, show_default=True, help="Compile libraries and drivers in advance."
)
def install(names: tuple[str, ...], dry_run: bool, warm: bool) -> None:
    """Install languages on this machine, with packages of Debian, PyPI and npm.

    That takes root. Anybody else gets the commands to hand on.
    """
    try:
        chosen = _chosen(names)
    except UnknownLanguageError as exc:
        raise click.ClickException(str(exc)) from exc
    steps = installing.steps(chosen, present=installing.present(), warm=warm)
    why_not = "" if dry_run else installing.obstacle()
    if dry_run or why_not:
        for step in steps:
            click.echo(step.command)
        if why_not:
            raise click.ClickException(f"{why_not} These commands install {', '.join(names)}.")
        return
    _install(steps)


def _install(steps: Sequence[Step]) -> None:
    Path(TOOLCHAINS).mkdir(parents=True, exist_ok=True)
    with _progress(Console(stderr=True)) as progress:
        task = progress.add_task("", total=len(steps))
        for step in steps:
            progress.update(task, description=step.title)
            done = subprocess.run(
                ["sh", "-c", step.line], env={**os.environ, **step.env}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
            )  # fmt: skip
            if done.returncode != 0:
                last = "\n".join(done.stdout.strip().splitlines()[-LAST_LINES:])
                raise click.ClickException(
                    f"{step.title}: exit code {done.returncode}\n{last}\nIt was: {step.command}"
                )
            progress.advance(task)


def _progress(console: Console, *, disable: bool = False) -> Progress:
    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    return Progress(*columns, console=console, disable=disable)
