"""``embedenv image``: build, list, check, hand over and remove what rooms can stand on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from embedenv_jupyter.accounts import data_dir
from embedenv_jupyter.cli.image_progress import ShownProgress
from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.images import engines, plan, record
from embedenv_jupyter.images.building import Builder
from embedenv_jupyter.images.errors import ImageError
from embedenv_jupyter.images.store import ImageStore, Listed
from embedenv_jupyter.images.verifying import Hello, say_hello
from embedenv_jupyter.languages.registry import Languages, UnknownLanguageError
from embedenv_jupyter.sandbox.choose import choose

_SHOWN_DIFFERENCES = 20


@contextmanager
def _told() -> Iterator[None]:
    """Tell what went wrong in one message, without a traceback."""
    try:
        yield
    except (ImageError, UnknownLanguageError, plan.ImageNameError) as exc:
        raise click.ClickException(str(exc)) from exc
    except SandboxUnavailableError as exc:
        raise click.ClickException(str(exc)) from exc


def _store() -> ImageStore:
    return ImageStore(data_dir())


@click.group("image")
def command() -> None:
    """Build what rooms stand on.

    An image is the tree of another system with the toolchains of languages in it.
    Rooms see it read-only in the place of this machine's own /usr: set
    EmbedenvApp.image to its name.
    """


@command.command()
@click.argument("wanted", nargs=-1, required=True, metavar="core|all|LANGUAGE…")
@click.option("--name", metavar="NAME", help="What it is called.  [default: core, all, or its languages]")
@click.option("--suite", metavar="NAME", help="The release of Debian or the like.  [default: this machine's]")
@click.option("--sources", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A list of apt's sources for it (deb822).  [default: this machine's]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the image's record as JSON.")
def build(
    wanted: tuple[str, ...], name: str | None, suite: str | None, sources: Path | None, as_json: bool
) -> None:
    """Build an image with the core languages, all, or the named ones.

    A build that was interrupted continues when it is called again. Rooms that
    stand on an image of the same name keep it until they end; new ones get the
    new image. The exit code is 2 when the image goes without some of the languages.
    """
    with _told():
        chosen = plan.select(wanted, Languages.shipped())
        name = plan.check_name(name) if name is not None else plan.name_for(wanted, chosen)
        with ShownProgress(Console(stderr=True)) as progress:
            source_list = sources.read_text("utf-8") if sources is not None else None
            builder = Builder(
                _store(), plan.make_plan(name, chosen), progress, source_list=source_list, suite=suite
            )
            made = builder.build()
    if as_json:
        click.echo(made.to_json(), nl=False)
    else:
        click.echo(f"Built {made.name}: {len(made.languages)} languages, {made.size_bytes >> 20} MiB, "
                   f"{made.took_s:.0f} s.")  # fmt: skip
        for language, failure in {**made.failed, **made.warnings}.items():
            click.echo(f"  {'without ' if language in made.failed else ''}{language}: {failure}", err=True)
    if made.failed:
        sys.exit(2)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as one JSON array.")
def list_images(as_json: bool) -> None:
    """List the images that were built here."""
    store = _store()
    with _told():
        found = [store.find(name) for name in store.names()]
    if as_json:
        unfinished = [{"name": name, "unfinished": True} for name in store.unfinished_names()]
        click.echo(json.dumps([*map(_as_dict, found), *unfinished], indent=2))
        return
    table = Table()
    for title in ("image", "languages", "size", "built", "used by"):
        table.add_column(title, overflow="fold")
    for listed in found:
        made = listed.record
        users = ", ".join(f"process {user}" for user in listed.users) or "nobody"
        languages = f"{len(made.languages)}: {', '.join(made.languages)}"
        table.add_row(listed.name, languages, f"{made.size_bytes >> 20} MiB", made.built, users)
    for name in store.unfinished_names():
        table.add_row(name, "not finished", "", "", "")
    Console().print(table)


def _as_dict(listed: Listed) -> dict[str, Any]:
    return {**asdict(listed.record), "tree": str(listed.tree), "users": listed.users}


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def remove(names: tuple[str, ...]) -> None:
    """Remove images, or what was begun of them. Those that rooms stand on stay."""
    store = _store()
    for name in names:
        with _told():
            store.remove(name)
        click.echo(f"Removed {name}.")


@command.command()
@click.argument("name")
@click.option("--files/--no-files", default=True, help="Compare each file with the list of the build.")
@click.option("--hello/--no-hello", default=True, help="Run a program in each language, each in a room.")
@click.option("--tier", default="auto", show_default=True, help="In which tier those rooms are.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as one JSON object.")
def verify(name: str, files: bool, hello: bool, tier: str, as_json: bool) -> None:
    """Check that an image is what was built, and that its languages work.

    The exit code is 1 when a file has changed or a language does not work.
    """
    store = _store()
    with _told():
        listed = store.find(name)
        tell: Callable[[str], None] = (lambda line: None) if as_json else click.echo
        differences = record.compare(listed.tree, store.list_of_files(listed)) if files else None
        if differences is not None:
            _tell_differences(differences, tell)
        hellos = asyncio.run(_hellos(store, listed, tier, tell)) if hello else []
    failed = bool(differences) or any(found.failure for found in hellos)
    if as_json:
        report = {
            "name": name, "ok": not failed,
            "files": asdict(differences) if differences is not None else None,
            "languages": [asdict(found) for found in hellos],
        }  # fmt: skip
        click.echo(json.dumps(report, indent=2))
    sys.exit(1 if failed else 0)


def _tell_differences(found: record.Differences, tell: Callable[[str], None]) -> None:
    if not found:
        tell("Every file is as it was built.")
    for what in ("changed", "missing", "added"):
        paths = getattr(found, what)
        for path in paths[:_SHOWN_DIFFERENCES]:
            tell(f"{what}: /{path}")
        if len(paths) > _SHOWN_DIFFERENCES:
            tell(f"{what}: and {len(paths) - _SHOWN_DIFFERENCES} more")


async def _hellos(store: ImageStore, listed: Listed, tier: str, tell: Callable[[str], None]) -> list[Hello]:
    languages = plan.select(listed.record.languages, Languages.shipped())
    # The tree that was compared, whatever the name means by now.
    image = replace(store.resolve(listed.name), tree=str(listed.tree))
    chosen = await choose(tier, image=image)
    found = []
    try:
        async for hello in say_hello(chosen, languages):
            found.append(hello)
            tell(f"{hello.language}: {hello.failure or 'works'} ({hello.took_s:.1f} s)")
    finally:
        await chosen.aclose()
    return found


@command.command()
@click.argument("name")
@click.option("--output", "-o", type=click.File("wb"), default="-", help="Where to; else standard output.")
def export(name: str, output: Any) -> None:
    """Write an image as a tar archive, for other machines and `docker import`."""
    with _told():
        if output.isatty():
            raise click.UsageError("An archive is not for a terminal: name a file by --output.")
        engines.archive(_store().find(name), output)


@command.command()
@click.argument("name")
@click.argument("engine", type=click.Choice(engines.ENGINES))
def load(name: str, engine: str) -> None:
    """Make an image one of docker's or podman's; rooms of that tier then stand on it by the same name."""
    with _told():
        click.echo(engines.load(_store().find(name), engine))
