"""``embedenv kernelspec``: put a language into Jupyter's list of kernels."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from embedenv_jupyter.client.address import API_KEY_VARIABLE, URL_VARIABLE, engine_endpoint
from embedenv_jupyter.client.refusal import AddressError
from embedenv_jupyter.languages.registry import Language, Languages, UnknownLanguageError

MODULE = "embedenv_jupyter.forwarder"
ENGINE_MODULE = f"{MODULE}.engine_kernel"
LANGUAGE_VARIABLE = "EMBEDENV_LANGUAGE"
PROVISIONER = "embedenv-forwarding"

_NAME = re.compile(r"[a-z0-9._-]+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Installed:
    """A kernel of ours in Jupyter's list."""

    name: str
    display_name: str
    language: str
    url: str
    path: str


@click.group("kernelspec")
def command() -> None:
    """Add languages to the list of kernels.

    The kernel "Embedenv" comes with the package. These commands add one for each
    language that you want to pick by name. Keys are never written: the kernel reads
    EMBEDENV_API_KEY where Jupyter is started.
    """


@command.command()
@click.option("--lang", "language", default="python", show_default=True, metavar="NAME",
              help="The language, by name or alias.")  # fmt: skip
@click.option("--url", metavar="URL", help="The gateway; else EMBEDENV_URL counts when the kernel starts.")
@click.option("--name", metavar="NAME", help="The kernel's name.  [default: embedenv-LANGUAGE]")
@click.option("--user", is_flag=True, help="For this user.  [default: for this environment]")
@click.option("--prefix", metavar="PATH", help="For the environment at PATH.")
@click.option("--engine", is_flag=True, help="Speak the Engine protocol without asking what the gateway has.")
def install(
    language: str, url: str | None, name: str | None, user: bool, prefix: str | None, engine: bool
) -> None:
    """Add a kernel for a language.

    In a gateway with rooms the cells run in a room, where files and the other
    languages are at hand. A gateway that speaks only the Engine protocol runs any
    language that it has; the kernel finds out which it is when it starts.
    """
    if user and prefix is not None:
        raise click.UsageError("--user and --prefix exclude each other.")
    try:
        chosen = Languages.shipped().named(language)
    except UnknownLanguageError as exc:
        raise click.ClickException(str(exc)) from exc
    name = name or f"embedenv-{chosen.id}"
    if not _NAME.fullmatch(name):
        raise click.ClickException(f"{name!r} is no name of a kernel: use letters, digits and . _ -")
    where = None if user else prefix or sys.prefix
    path = _write(_spec(chosen, _without_secrets(url), engine), name.lower(), user, where)
    click.echo(f"Installed {name.lower()} ({display_name(chosen)}) in {path}")
    missing = [API_KEY_VARIABLE] if url else [URL_VARIABLE, API_KEY_VARIABLE]
    click.echo(f"For a gateway elsewhere, set {' and '.join(missing)} where Jupyter is started.", err=True)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_installed(as_json: bool) -> None:
    """List the kernels that forward to gateways."""
    found = _installed()
    if as_json:
        click.echo(json.dumps([asdict(kernel) for kernel in found], indent=2))
        return
    if not found:
        click.echo("None yet. Add one with: embedenv kernelspec install --lang NAME", err=True)
    for kernel in found:
        click.echo("\t".join((kernel.name, kernel.display_name, kernel.url or "-", kernel.path)))


@command.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove(names: tuple[str, ...]) -> None:
    """Remove kernels from the list, by the names that `list` shows."""
    ours = {kernel.name for kernel in _installed()}
    for name in names:
        if name not in ours:
            known = ", ".join(sorted(ours)) or "none"
            raise click.ClickException(f"{name!r} is no kernel of Embedenv; there are: {known}.")
    for name in names:
        try:
            path = KernelSpecManager().remove_kernel_spec(name)
        except (OSError, NoSuchKernel) as exc:
            raise click.ClickException(f"{name} cannot be removed: {exc}") from exc
        click.echo(f"Removed {path}")


def display_name(language: Language) -> str:
    """Return what people pick."""
    return f"Embedenv ({language.name})"


def _spec(language: Language, url: str | None, engine: bool) -> dict[str, Any]:
    """Return a kernel.json: it may be read by others, so it holds no key."""
    environment = {LANGUAGE_VARIABLE: language.id} | ({URL_VARIABLE: url} if url else {})
    module = ENGINE_MODULE if engine else MODULE
    return {
        # Not "python": Jupyter would put its own interpreter there, which may not have this package.
        "argv": [sys.executable, "-m", module, "-f", "{connection_file}"],
        "display_name": display_name(language),
        "language": language.id,
        "interrupt_mode": "message",
        "env": environment,
        # Inside a server that has rooms, no process is needed.
        "metadata": {} if engine else {"kernel_provisioner": {"provisioner_name": PROVISIONER}},
    }


def _without_secrets(url: str | None) -> str | None:
    """Refuse an address that cannot be used, or that holds what must not be in a file that others read."""
    if url is None:
        return None
    try:
        engine_endpoint(url, {})
    except AddressError as exc:
        raise click.ClickException(f"--url: {exc}") from exc
    if urlsplit(url).query or urlsplit(url).fragment:
        raise click.ClickException("--url: leave out what follows '?' or '#'; others can read kernel.json.")
    return url.strip()


def _write(spec: dict[str, Any], name: str, user: bool, prefix: str | None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the copy keeps the mode, and other users start kernels, too
        Path(folder, "kernel.json").write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
        try:
            return str(KernelSpecManager().install_kernel_spec(folder, name, user=user, prefix=prefix))
        except OSError as exc:
            raise click.ClickException(f"{exc}. Try --user, or --prefix with a folder of yours.") from exc


def _installed() -> list[Installed]:
    """Find our kernels: those whose command starts the forwarder."""
    found = []
    for name, path in sorted(KernelSpecManager().find_kernel_specs().items()):
        try:
            spec = json.loads(Path(path, "kernel.json").read_text(encoding="utf-8"))
            if not {MODULE, ENGINE_MODULE} & set(spec["argv"]):
                continue
        except (OSError, ValueError, KeyError, TypeError):
            continue  # Somebody else's, and broken: Jupyter itself complains about it.
        environment = spec.get("env", {})
        found.append(
            Installed(
                name, spec.get("display_name", name), environment.get(LANGUAGE_VARIABLE, "python"),
                environment.get(URL_VARIABLE, ""), path,
            )
        )  # fmt: skip
    return found
