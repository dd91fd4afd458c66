"""A real image: built, continued, stood on, checked, replaced beneath a room, handed over, removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from embedenv_jupyter.cli import main
from embedenv_jupyter.gateway import Gateway, GatewaySettings
from embedenv_jupyter.images.record import INSIDE
from embedenv_jupyter.images.store import ImageStore
from embedenv_jupyter.sandbox.image import PYTHONS
from embedenv_jupyter.sandbox.spec import SandboxSpec
from tests.integration.images.conftest import BUILD_TIMEOUT_S, LANGUAGES, NAME, Built, embedenv
from tests.integration.sandbox.programs import output

# The first test builds the image.
pytestmark = pytest.mark.timeout(2 * BUILD_TIMEOUT_S)


@asynccontextmanager
async def gateway_on(built: Built, **settings: Any) -> AsyncIterator[Gateway]:
    gateway = Gateway(GatewaySettings(built.data_dir, tier="ns", image=NAME, pool_size=0, kernel_pool_size=0))
    gateway.settings = replace(gateway.settings, **settings)
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.aclose()


def test_interrupted_build_leaves_nothing_running_and_continues(built: Built) -> None:
    assert built.left_running == []
    assert built.left_mounted == []
    assert "The base" in built.first_words
    assert "Continuing: 3 of 5 steps are done." in built.second_words
    assert "The base" not in built.second_words
    assert built.store.unfinished_names() == ()


def test_tree_has_what_was_asked_for_and_nothing_of_the_build(built: Built) -> None:
    tree = built.store.find(NAME).tree
    assert json.loads((tree / INSIDE).read_text())["languages"]
    for path in (PYTHONS[0], "/usr/bin/lua5.4", "/usr/bin/perl"):
        assert os.path.lexists(tree / path.lstrip("/"))
    assert list((tree / "tmp").iterdir()) == []
    assert not list((tree / "etc/apt").glob("sources.list*/*"))
    assert (tree / "etc/resolv.conf").read_text() == ""
    assert not (tree / "run/embedenv").exists()


def test_list_says_what_there_is(built: Built) -> None:
    (found,) = json.loads(embedenv(built.data_dir, "image", "list", "--json").stdout)
    assert (found["name"], set(found["languages"]), found["users"]) == (NAME, set(LANGUAGES), [])
    assert 100 << 20 < found["size_bytes"] < 1 << 30
    shown = embedenv(built.data_dir, "image", "list").stdout
    assert NAME in shown
    assert "nobody" in shown


async def test_rooms_and_kernels_stand_on_it(built: Built) -> None:
    async with gateway_on(built) as gateway:
        sandbox = await gateway.tier.start(SandboxSpec(id="r"))
        assert b"Lua 5.4" in await output(sandbox, "lua -v")
        assert (await output(sandbox, "command -v python3")).decode().strip() == f"{PYTHONS[0]}3"
        modules = "sys, sqlite3, ssl, decimal, xml.etree.ElementTree, email.mime.text"  # most of it lazily
        found = "open('found', 'w').write(f'{sys.executable} {sys.prefix} {ssl.__file__}')"
        lines = f"--IPKernelApp.exec_lines=import {modules}; {found}"
        kernel = await sandbox.fork_kernel("k1", "secret", argv=[lines])
        executable, prefix, library = (await sandbox.files.read("found")).decode().split()
        assert executable == PYTHONS[0]
        assert prefix == os.path.dirname(os.path.dirname(PYTHONS[0]))
        assert library.startswith("/usr/lib/python3")
        kernel.close()
        assert built.store.find(NAME).users == (os.getpid(),)
        refused = embedenv(built.data_dir, "image", "remove", NAME)
        assert refused.returncode == 1
        assert f"Rooms stand on the image '{NAME}'" in refused.stderr
        assert str(os.getpid()) in refused.stderr
    assert built.store.find(NAME).users == ()


def test_verify_is_content_with_it(built: Built) -> None:
    done = embedenv(built.data_dir, "image", "verify", "--json", NAME)
    report = json.loads(done.stdout)
    assert done.returncode == 0, report
    assert report["files"] == {"changed": [], "missing": [], "added": []}
    assert {found["language"]: found["failure"] for found in report["languages"]} == dict.fromkeys(
        LANGUAGES, ""
    )


def test_verify_notices_a_changed_file_and_a_language_that_does_not_work(built: Built) -> None:
    lua = built.store.find(NAME).tree / "usr/bin/lua5.4"
    original = lua.read_bytes()
    try:
        lua.write_bytes(b"#!/bin/sh\necho Goodbye, World!\n")
        done = embedenv(built.data_dir, "image", "verify", NAME)
    finally:
        lua.write_bytes(original)
    assert done.returncode == 1
    assert "changed: /usr/bin/lua5.4" in done.stdout
    assert "lua: the program printed 'Goodbye, World!" in done.stdout
    assert "perl: works" in done.stdout
    assert embedenv(built.data_dir, "image", "verify", "--no-hello", NAME).returncode == 0


async def test_new_image_takes_the_place_of_the_old_one_beneath_a_room(built: Built) -> None:
    store = built.store
    old_tree = store.find(NAME).tree
    async with gateway_on(built, pool_size=1) as gateway:
        old = await gateway.tier.start(SandboxSpec(id="old"))
        new_tree = _copied(store, old_tree, "new-tree")
        store.put(NAME, new_tree.name)
        new = await gateway.tier.start(SandboxSpec(id="new"))
        question = "cat /etc/mark 2>/dev/null || echo none"
        assert [await output(room, question) for room in (old, new)] == [b"none\n", b"new"]
        assert old_tree.is_dir()
        assert await output(old, "lua -v 2>&1 | cut -c1-3") == b"Lua\n"
        opened = await gateway.rooms.open(LOCAL_ACCOUNT, space="s")
        assert await output(opened.room.sandbox, question) == b"new"
    store.tidy()
    assert not old_tree.exists()


def _copied(store: ImageStore, tree: Path, id: str) -> Path:
    """Make another tree with a mark in it; its files are links to those of the first."""
    copy = store.trees / id
    shutil.copytree(tree, copy, symlinks=True, copy_function=os.link)
    (copy / "etc/mark").write_text("new")
    for suffix in ("json", "files"):
        shutil.copy(tree.with_name(f"{tree.name}.{suffix}"), copy.with_name(f"{id}.{suffix}"))
    return copy


def test_archive_is_what_engines_import(built: Built, tmp_path: Path) -> None:
    file = tmp_path / "small.tar"
    assert embedenv(built.data_dir, "image", "export", NAME, "--output", str(file)).returncode == 0
    with tarfile.open(file) as archive:
        members = {member.name: member for member in archive}
    assert members["./usr/bin/lua5.4"].isfile()
    assert members["./etc/passwd"].uid == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["build", "klingon"], "'klingon' is no language known here"),
        (["build", "--name", "a/b", "lua"], "'a/b' is no name for an image"),
        (["build", "--suite", "nowhere", "lua"], "no sources of the release nowhere"),
        (["verify", "nothing"], "There is no image 'nothing'; there is small."),
        (["remove", "nothing"], "There is no image 'nothing'"),
        (["load", "nothing", "podman"], "There is no image 'nothing'"),
    ],
)
def test_mistakes_are_named(built: Built, arguments: list[str], complaint: str) -> None:
    environment = {"EMBEDENV_DATA_DIR": str(built.data_dir)}
    done = CliRunner().invoke(main, ["image", *arguments], env=environment)
    assert done.exit_code == 1
    assert complaint in done.output
    assert done.exc_info is not None
    assert done.exc_info[0] is SystemExit


def test_doctor_shows_what_rooms_stand_on(built: Built) -> None:
    done = embedenv(built.data_dir, "doctor", "--tier", "ns", "--image", NAME)
    assert done.returncode == 0
    assert f"Rooms stand on the image {NAME}: the tree {built.data_dir}/images/{NAME}" in done.stdout
    done = embedenv(built.data_dir, "doctor", "--tier", "ns", "--image", f"{built.data_dir}/images")
    assert done.returncode == 1
    assert "it has no folder /usr" in done.stdout


@pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed")
def test_podman_takes_it(built: Built) -> None:
    loaded = embedenv(built.data_dir, "image", "load", NAME, "podman", timeout_s=300)
    assert loaded.stdout == f"localhost/embedenv:{NAME}\n", loaded.stderr
    try:
        asked = ["podman", "image", "inspect", "--format", "{{.Config.Env}}", loaded.stdout.strip()]
        environment = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert os.path.dirname(PYTHONS[0]) in environment
    finally:
        subprocess.run(["podman", "rmi", "--force", loaded.stdout.strip()], capture_output=True, check=True)
