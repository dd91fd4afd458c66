"""What installs a language, and the Server-Sent Events that its installation tells.

docs/languages.md has the routes.
"""

from __future__ import annotations

from msgspec import Struct


class InstallCommand(Struct, frozen=True):
    """One step of an installation, as somebody can paste it into a shell of root."""

    title: str
    command: str


class LanguageDetails(Struct, frozen=True, kw_only=True):
    """One language: a first program in it, and how it gets here."""

    id: str
    name: str
    hello: str
    """A whole program that prints ``Hello, World!`` and a line end."""
    command: str
    """The one command that makes all steps."""
    steps: list[InstallCommand]
    obstacle: str
    """Why this server cannot make them itself; empty where it can."""


class StepBegan(Struct, frozen=True, tag="step", tag_field="type"):
    """Server to client: step ``number`` of ``of`` has begun."""

    number: int
    of: int
    title: str
    command: str


class Printed(Struct, frozen=True, tag="output", tag_field="type"):
    """Server to client: the step printed this."""

    text: str


class Done(Struct, frozen=True, tag="done", tag_field="type"):
    """Server to client: the language is there. Nothing follows."""


class Failed(Struct, frozen=True, tag="failed", tag_field="type"):
    """Server to client: a step failed, and those after it were not made. Nothing follows."""

    title: str
    exit_code: int
    """-1 where it had none."""
    output: str
    """The end of what it printed."""
    command: str


InstallEvent = StepBegan | Printed | Done | Failed
