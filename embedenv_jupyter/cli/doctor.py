"""``embedenv doctor``: which tiers of isolation work on this machine, and what would unlock the others."""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from embedenv_jupyter.cli.image_choice import image_option, resolved
from embedenv_jupyter.sandbox import probe_cache
from embedenv_jupyter.sandbox.probe import Report, TierReport, probe
from embedenv_jupyter.sandbox.tiers.by_name import ORDER


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything that was found, as one JSON object.")
@click.option("--tier", type=click.Choice(ORDER), help="Look at this tier only.")
@image_option
def doctor(as_json: bool, tier: str | None, image: str | None) -> None:
    """Say what works on this machine, and why not.

    Each tier of isolation starts a room and runs a program in it. The exit code
    is 0 when at least one works.
    """
    if platform.system() != "Linux":
        raise click.ClickException(f"Rooms need Linux; this is {platform.system()}.")
    # Tiers that fail log it; here their failures are findings, and the report has them.
    logging.getLogger("embedenv_jupyter").setLevel(logging.CRITICAL)
    found = resolved(image)
    report = asyncio.run(probe((tier,) if tier is not None else ORDER, found))
    probe_cache.store(probe_cache.default_path(), report.facts, report.tiers, found)
    if as_json:
        click.echo(json.dumps(as_dict(report), indent=2))
    else:
        show(report, Console())
    sys.exit(0 if report.best is not None else 1)


command = doctor


def as_dict(report: Report) -> dict[str, Any]:
    """Return a report as plain values, with the conclusion on top."""
    return {"best": report.best, **asdict(report)}


def show(report: Report, console: Console) -> None:
    """Print a report for people: the tiers, then what the best leaves open, then what would help."""
    facts = report.facts
    where = f", in a container ({facts.container})" if facts.container else ""
    console.print(f"Linux {facts.kernel} on {facts.machine}, as user {facts.user}{where}", highlight=False)
    console.print(f"{_ground(report)}\n", markup=False, highlight=False, soft_wrap=True)
    console.print(_tiers(report.tiers))
    console.print(_layers(report))
    best = next((found for found in report.tiers if found.tier == report.best), None)
    if best is None:
        console.print("[bold red]No tier works here:[/] rooms start only with allow_unsafe, unprotected.\n")
    else:
        _list(console, f"Rooms use [bold]{best.tier}[/]. It does not protect against:", best.unprotected)
    _list(console, "Limits could be held better:", report.better_limits)
    for found in report.tiers:
        _list(console, f"To unlock [bold]{found.tier}[/]:", found.unlock)


def _ground(report: Report) -> str:
    image = report.image
    if image is None:
        return "Rooms stand on this machine's own /usr."
    known = [f"the tree {image.tree}"] if image.tree is not None else []
    known += [f"{image.engine} in docker and podman"] if image.engine is not None else []
    return f"Rooms stand on the image {image.name}: {', '.join(known)}."


def _tiers(reports: Iterable[TierReport]) -> Table:
    table = Table(title="Tiers of isolation, best first", title_justify="left", show_lines=True)
    table.add_column("tier", no_wrap=True)
    table.add_column("works", no_wrap=True)
    table.add_column("what holds its limits, or why not")
    for report in reports:
        lines = [report.reason] if report.reason else []
        if report.works:
            lines += _holders(report.limits)
        table.add_row(report.tier, _verdict(report), escape("\n".join(lines)))
    return table


def _holders(limits: dict[str, str]) -> list[str]:
    """Put the limits that one thing holds on one line."""
    held: dict[str, list[str]] = {}
    for limit, holder in limits.items():
        held.setdefault(holder, []).append(limit)
    return [f"{', '.join(names)}: {holder}" for holder, names in held.items()]


def _verdict(report: TierReport) -> str:
    if report.ok:
        return "[green]yes[/]"
    return "[yellow]if asked for[/]" if report.works else "[red]no[/]"


def _layers(report: Report) -> Table:
    table = Table(title="Layers, each tried once", title_justify="left")
    table.add_column("layer")
    table.add_column("works")
    table.add_column("found", overflow="fold")
    for name, attempt in report.layers.items():
        table.add_row(name, "[green]yes[/]" if attempt.ok else "[red]no[/]", escape(attempt.detail))
    return table


def _list(console: Console, title: str, entries: Iterable[str]) -> None:
    entries = tuple(entries)
    if not entries:
        return
    console.print(title)
    for entry in entries:
        # As it is: a command that was wrapped at the edge of a terminal could not be copied.
        lines = entry.replace("\n", "\n    ")
        console.print(f"  • {lines}", markup=False, highlight=False, soft_wrap=True)
    console.print()
