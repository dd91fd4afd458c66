"""The order of a build and what it does about failures; integration tests run real ones."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from embedenv_jupyter.images import building, inside, plan, sources
from embedenv_jupyter.images.building import Builder, Watcher
from embedenv_jupyter.images.errors import ImageBuildError
from embedenv_jupyter.images.inside import CommandError
from embedenv_jupyter.images.record import INSIDE
from embedenv_jupyter.images.store import ImageStore
from embedenv_jupyter.languages.registry import Languages

SOURCES = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"


class FakeCommands:
    """Runs nothing; makes a small tree for mmdebstrap, and fails where it is told to."""

    ran: list[str]
    failing: dict[str, str]

    def __init__(self, log: IO[str], told: Callable[[str], None] = lambda line: None) -> None:
        self._told = told

    def on_host(self, title: str, *argv: str) -> None:
        self._run(title)
        root = Path(argv[-2])
        for folder in ("etc", "usr", "tmp"):
            (root / folder).mkdir(parents=True)

    def inside(self, title: str, root: Path, script: str, env: Mapping[str, str] | None = None) -> None:
        self._run(title)
        if title == "What packages there are":
            for package in ("lua5.4", "perl", "openjdk-17-jdk-headless", "python3"):
                self._told(f"PACKAGE {package}")

    def _run(self, title: str) -> None:
        self.ran.append(title)
        for part, word in self.failing.items():
            if part in title:
                raise CommandError(title, 1, ["trying", word])


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> type[FakeCommands]:
    FakeCommands.ran, FakeCommands.failing = [], {}
    monkeypatch.setattr(building, "Commands", FakeCommands)
    monkeypatch.setattr(building, "require_means", lambda: None)
    monkeypatch.setattr(sources, "environment", dict)
    return FakeCommands


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path)


def builder(
    store: ImageStore, *languages: str, watcher: Watcher | None = None, text: str = SOURCES
) -> Builder:
    made = plan.make_plan("mine", plan.select(languages, Languages.shipped()))
    return Builder(store, made, watcher or Watcher(), source_list=text, suite="bookworm")


def test_build_ends_with_an_image_and_leaves_nothing_else(store: ImageStore, commands: Any) -> None:
    made = builder(store, "lua", "perl").build()
    assert (made.name, set(made.languages), made.failed) == ("mine", {"lua", "perl"}, {})
    found = store.find("mine")
    assert found.record == made
    assert (found.tree / INSIDE).exists()
    assert (found.tree / "etc/hosts").read_text().startswith("127.0.0.1 localhost")
    assert (found.tree / "etc/resolv.conf").read_text() == ""
    assert store.unfinished_names() == ()
    assert commands.ran == [
        "mmdebstrap", "What packages there are", "Packages by apt", "Python for kernels", "Cleaning up",
    ]  # fmt: skip


def test_build_continues_where_it_stopped(store: ImageStore, commands: Any) -> None:
    commands.failing = {"Python": "no network"}
    with pytest.raises(CommandError, match="Python for kernels failed") as caught:
        builder(store, "lua").build()
    assert "no network" in str(caught.value)
    assert store.names() == ()
    assert store.unfinished_names() == ("mine",)
    commands.ran.clear()
    commands.failing = {}
    heard: list[tuple[int, int]] = []

    class Listening(Watcher):
        def planned(self, steps: int, done: int) -> None:
            heard.append((steps, done))

    builder(store, "lua", watcher=Listening()).build()
    assert commands.ran == ["Python for kernels", "Cleaning up"]
    assert heard == [(5, 3)]
    assert store.names() == ("mine",)


def test_base_that_was_interrupted_is_made_anew(store: ImageStore, commands: Any) -> None:
    (store.unfinished("mine") / "root/etc").mkdir(parents=True)
    assert builder(store, "lua").build().languages == ("lua",)


@pytest.mark.parametrize("change", ["languages", "sources", "boot"])
def test_other_plan_is_not_continued(
    store: ImageStore, commands: Any, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.failing = {"Python": "no"}
    with pytest.raises(CommandError):
        builder(store, "lua").build()
    commands.failing = {}
    commands.ran.clear()
    if change == "boot":
        monkeypatch.setattr(building, "_boot", lambda: "later")
    other = (
        builder(store, "perl")
        if change == "languages"
        else builder(store, "lua", text=SOURCES + "\n" * (change == "sources"))
    )
    other.build()
    assert commands.ran[0] == "mmdebstrap"


def test_language_that_fails_is_left_out_and_named(store: ImageStore, commands: Any) -> None:
    commands.failing = {"ziglang": "no such wheel"}
    made = builder(store, "lua", "zig", "rust").build()
    assert made.languages == ("lua",)
    assert "no such wheel" in made.failed["zig"]
    assert made.failed["rust"].startswith("apt's sources do not have ")
    assert not [title for title in commands.ran if title.startswith("Zig:")]


def test_session_driver_that_fails_is_told_and_the_language_stays(store: ImageStore, commands: Any) -> None:
    commands.failing = {"session driver": "no compiler"}
    made = builder(store, "java").build()
    assert made.languages == ("java",)
    assert "no compiler" in made.warnings["java"]


def test_second_builder_of_an_image_is_refused(store: ImageStore, commands: Any) -> None:
    folder = store.unfinished("mine")
    folder.mkdir(parents=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(ImageBuildError, match="Another process is building"):
            builder(store, "lua").build()
    finally:
        os.close(fd)
    assert commands.ran == []


def test_full_disk_ends_a_build_before_it_is_full(
    store: ImageStore, commands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "RESERVE_BYTES", 1 << 62)
    with pytest.raises(ImageBuildError, match="are free on the disk"):
        builder(store, "lua").build()
    assert commands.ran == []


def test_ordinary_user_is_told_who_can_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ImageBuildError, match="built by root") as caught:
        building.require_means()
    assert "sudo embedenv image build" in str(caught.value)


def test_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: None if name == "mmdebstrap" else f"/usr/bin/{name}")
    with pytest.raises(ImageBuildError, match="apt-get install mmdebstrap"):
        building.require_means()
