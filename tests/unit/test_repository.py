"""Rules of the house that no linter knows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BANNED_NAMES = {"utils", "helpers", "common", "misc", "types"}
"""Names that say nothing about what is inside; ``base`` is left to the handlers."""


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


@pytest.mark.parametrize("name", sorted(BANNED_NAMES | {"base"}))
def test_no_module_is_an_attic(name: str) -> None:
    found = {str(path.relative_to(ROOT)) for path in python_files("embedenv_jupyter") if path.stem == name}
    assert found <= {"embedenv_jupyter/handlers/base.py"}


def test_a_todo_carries_the_number_of_an_issue() -> None:
    todo = re.compile(r"#\s*(TODO|FIXME|XXX)\b(?!.*#\d+)")
    lines = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files("embedenv_jupyter", "tests", "tools", "benchmarks", "examples")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if todo.search(line)
    ]
    assert lines == []


def test_test_folders_are_no_packages() -> None:
    folders = ("unit", "integration", "golden")
    assert [
        path for folder in folders for path in python_files(f"tests/{folder}") if path.stem == "__init__"
    ] == []


def test_every_dependency_has_its_reason() -> None:
    """docs/architecture.md section 9 names each library that users get."""
    reasons = (ROOT / "docs" / "architecture.md").read_text().lower()
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[\[<>=~ ]", dependency)[0].lower() for dependency in dependencies]
    assert [name for name in names if name not in reasons] == []


def test_the_changelog_starts_with_what_is_not_released() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
