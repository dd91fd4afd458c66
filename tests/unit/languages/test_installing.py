"""What installs a language, as commands that can be run or handed on."""

from __future__ import annotations

import subprocess

import pytest

from embedenv_jupyter.languages.installing import Step, steps
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.languages.registry import Languages

LANGUAGES = Languages.shipped()


def lines(*names: str, **more: object) -> list[str]:
    return [step.line for step in steps(map(LANGUAGES.named, names), **more)]  # type: ignore[arg-type]


def test_packages_of_several_languages_are_installed_at_once_and_once() -> None:
    assert lines("ruby", "lua", "ruby") == ["apt-get install --yes --no-install-recommends ruby lua5.4"]


def test_what_pip_and_npm_bring_stays_apart_from_the_system() -> None:
    apt, npm = lines("typescript", present=frozenset({"nodejs"}))
    assert apt.endswith(" npm")
    assert npm.startswith("npm install --prefix /usr/local/lib/embedenv/node ")
    assert npm.endswith("typescript@5.9.3 tsx@4.23.15")
    apt, venv, pip, *_ = lines("zig", warm=False)
    assert "python3-venv" in apt
    assert "/usr/bin/python3 -m venv /usr/local/lib/embedenv/venv" in venv
    assert pip.endswith("ziglang==0.14.1")


def test_wrappers_are_installed_and_caches_warmed_unless_told_not_to() -> None:
    assert lines("zig", warm=False, ours="/ours")[-1] == (
        "install -D -m 755 -t /usr/local/lib/embedenv/bin /ours/bin/zig"
    )
    warm = steps([LANGUAGES.named("zig")], ours="/ours")[-1]
    assert "zig build-exe" in warm.line and warm.env["EMBEDENV_LANGUAGES"] == "/ours"


def test_a_driver_that_is_compiled_is_compiled_in_advance() -> None:
    step = steps([LANGUAGES.named("java")])[-1]
    assert "javac" in step.line and step.env["DRIVERS"] == "/usr/local/lib/embedenv/drivers"


def test_nothing_is_needed_where_all_is_present() -> None:
    assert steps([LANGUAGES.named("javascript")], present=frozenset({"nodejs"})) == []


def test_a_command_can_be_pasted() -> None:
    step = Step("say", 'echo "$WHO"; exit 3', {"WHO": "it's Ada"})
    done = subprocess.run(["sh", "-c", step.command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("it's Ada\n", 3)


@pytest.mark.parametrize("language", list(LANGUAGES), ids=lambda language: language.id)
def test_every_step_is_a_line_that_a_shell_understands(language: Language) -> None:
    for step in steps([language]):
        assert subprocess.run(["sh", "-n", "-c", step.command], check=False).returncode == 0, step.title
