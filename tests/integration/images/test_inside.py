"""Commands of a build: where they run, what they see, and that nothing of them stays."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from embedenv_jupyter.images.inside import CommandError, Commands
from tests.integration.images.conftest import running_in
from tests.integration.sandbox import root_tree


@pytest.fixture
def tree() -> Path:
    if os.geteuid() != 0:
        pytest.skip("images are built by root")
    if reason := root_tree.unavailable():
        pytest.skip(reason)
    tree = root_tree.make()
    for folder in ("proc", "dev", "run", "tmp", "tmp/embedenv-home"):
        (tree / folder).mkdir(exist_ok=True)
    return tree


class Log(io.StringIO):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.name = str(folder / "log")


def lines_of(tree: Path, script: str, **env: str) -> list[str]:
    heard: list[str] = []
    Commands(Log(tree), heard.append).inside("A step", tree, script, env)
    return heard


def test_script_runs_as_root_of_the_tree_with_its_own_processes(tree: Path) -> None:
    found = lines_of(tree, 'id -u; pwd; echo "$WORD"; echo $$; ls -d /usr/include || echo none', WORD="a b")
    assert found[:4] == ["0", "/tmp/embedenv-home", "a b", "1"]
    assert found[-1] == "none"


def test_script_has_devices_and_our_languages_and_writes_to_the_tree(tree: Path) -> None:
    (found,) = lines_of(
        tree,
        "echo x > /dev/null; head -c 1 /dev/zero > /dev/full 2>/dev/null || true; test -e /proc/self/fd/0;"
        "ls /run/embedenv/embedenv_jupyter/languages/languages.toml; echo made > /tmp/made",
    )
    assert found.endswith("languages.toml")
    assert (tree / "tmp/made").read_text() == "made\n"
    assert list((tree / "run").iterdir()) == list((tree / "dev").iterdir()) == []
    mounts = Path("/proc/self/mounts").read_text()
    assert str(tree) not in mounts


def test_line_that_fails_ends_the_script_and_is_told(tree: Path) -> None:
    with pytest.raises(CommandError) as caught:
        lines_of(tree, "echo before\nfalse\necho after")
    assert caught.value.words == ("before",)
    assert caught.value.code == 1


def test_what_a_script_leaves_running_ends_with_it(tree: Path) -> None:
    lines_of(tree, "setsid sleep 1000 & echo started")
    assert running_in(tree) == []


def test_program_that_is_not_there_is_told(tree: Path) -> None:
    with pytest.raises(CommandError, match=r"No such step failed"):
        Commands(Log(tree)).on_host("No such step", "/nonexistent/program")
