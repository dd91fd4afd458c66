"""The list of commands: quick to show, and true."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from embedenv_jupyter import __version__
from embedenv_jupyter.cli import COMMANDS, CommandEntry, main


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert name in result.output
        assert entry.summary in result.output


def test_help_imports_no_command() -> None:
    question = (
        "import sys\n"
        "from embedenv_jupyter.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "print('imported:', [name for name in sys.modules if name.startswith('embedenv_jupyter.cli.')])\n"
    )
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True)
    assert "imported: []" in answer.stdout


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"embedenv, version {__version__}\n"


def test_a_misspelled_command_gets_a_suggestion() -> None:
    result = CliRunner().invoke(main, ["docter"])
    assert result.exit_code == 2
    assert "doctor" in result.output


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_has_help_of_its_own(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_a_target_that_is_no_command_is_refused() -> None:
    with pytest.raises(TypeError, match="cli:COMMANDS is no command"):
        CommandEntry("embedenv_jupyter.cli:COMMANDS", "").load()


def test_targets_are_click_commands() -> None:
    assert all(isinstance(entry.load(), click.Command) for entry in COMMANDS.values())
