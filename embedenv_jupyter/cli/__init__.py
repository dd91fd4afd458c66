"""The command line: ``embedenv COMMAND``.

Each command lives in its own module and is imported when it is called, so that
``embedenv --help`` and a completion in the shell do not wait for a web server
or a database to be imported.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click

from embedenv_jupyter import __version__


@dataclass(frozen=True)
class CommandEntry:
    """Where a command is (``module:attribute``) and what the list of commands says of it."""

    target: str
    summary: str

    def load(self) -> click.Command:
        """Import the command.

        Raises:
            TypeError: the table names something that is no command: a bug in this package.
        """
        module, _, attribute = self.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is no command")
        return command


COMMANDS = {
    name: CommandEntry(f"{__name__}.{name}:command", summary)
    for name, summary in (
        ("credits", "Show, grant and account for credits."),
        ("doctor", "Say what works on this machine, and why not."),
        ("image", "Build what rooms stand on."),
        ("kernelspec", "Add languages to the list of kernels."),
        ("keys", "Create, list and revoke keys."),
        ("languages", "List, test and install languages."),
        ("run", "Run a file in a new room."),
        ("serve", "Serve rooms without JupyterLab."),
    )
}
"""Every command, by name: the module of that name holds it as ``command``."""


class LazyGroup(click.Group):
    """A group of placeholders: only the command that is called is imported."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Put the real command in the place of its placeholder, before its arguments are parsed."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        if name is None or placeholder is None:
            return name, placeholder, rest
        return name, COMMANDS[name].load(), rest


@click.group(
    cls=LazyGroup,
    commands={name: click.Command(name, help=entry.summary) for name, entry in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="embedenv")
def main() -> None:
    """Shared, sandboxed rooms for code, shells, files and people."""
