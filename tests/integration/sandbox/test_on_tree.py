"""Rooms that stand on a root tree instead of the host: what they see, what they keep, what is refused."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import probe
from embedenv_jupyter.sandbox.image import Image
from embedenv_jupyter.sandbox.spec import SandboxSpec
from embedenv_jupyter.sandbox.tiers import Tier
from embedenv_jupyter.sandbox.tiers.bwrap import BwrapTier
from embedenv_jupyter.sandbox.tiers.ns import NsTier
from tests.integration.sandbox import root_tree
from tests.integration.sandbox.ns_rooms import shell
from tests.integration.sandbox.programs import output
from tests.lacking import lacking

OpenTier = Callable[[Path | None], AbstractAsyncContextManager[Tier]]

MARK = "usr/share/embedenv-test"
"""A file that tells trees apart; the host has none."""


@pytest.fixture(scope="module")
def original() -> Path:
    if reason := root_tree.unavailable():
        pytest.skip(reason)
    return root_tree.make()


@pytest.fixture
def make_tree(original: Path) -> Iterator[Callable[[str], Path]]:
    """Make trees with a mark; their files are links to those of one tree."""
    with tempfile.TemporaryDirectory(prefix="embedenv-trees-") as folder:
        Path(folder).chmod(0o755)

        def make(name: str) -> Path:
            tree = Path(folder, name)
            shutil.copytree(original, tree, symlinks=True, copy_function=os.link)
            (tree / MARK).parent.mkdir(parents=True, exist_ok=True)
            (tree / MARK).write_text(name)
            return tree

        yield make


@pytest.fixture
def tree(make_tree: Callable[[str], Path]) -> Path:
    return make_tree("first")


@pytest.fixture(params=["ns", "bwrap"])
def open_tier(request: pytest.FixtureRequest) -> OpenTier:
    if request.param == "bwrap" and shutil.which("bwrap") is None:
        lacking("bwrap", "bubblewrap")

    @asynccontextmanager
    async def open_tier(path: Path | None) -> AsyncIterator[Tier]:
        image = Image.named(str(path)) if path is not None else None
        tier: Tier = NsTier(image=image) if request.param == "ns" else BwrapTier(image=image)
        try:
            yield tier
        finally:
            await tier.aclose()

    return open_tier


async def test_room_sees_the_tree_and_nothing_of_the_host(open_tier: OpenTier, tree: Path) -> None:
    async with open_tier(tree) as tier:
        room = await tier.start(SandboxSpec(id="r"))
        assert await output(room, f"cat /{MARK}") == b"first"
        hidden = [str(tree), "/host", "/old", sys.prefix, "/usr/include", "/etc/apt", "/usr/share/doc"]
        assert await output(room, f"ls -d {' '.join(hidden)} 2>/dev/null; true") == b""
        seen = set((await output(room, "echo /*")).decode().split())
        assert seen <= {f"/{name}" for name in (
            "bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "opt", "proc", "run", "sbin",
            "srv", "tmp", "usr", "var",
        )}  # fmt: skip


async def test_supervisor_runs_the_python_of_the_tree(open_tier: OpenTier, tree: Path) -> None:
    async with open_tier(tree) as tier:
        room = await tier.start(SandboxSpec(id="r"))
        maps = Path(f"/proc/{room.keeper.pid}/root/proc/1/maps")
        if os.geteuid() == 0:
            libraries = {line.split()[-1] for line in maps.read_text().splitlines() if ".so" in line}
            assert libraries
            assert all((tree / path.lstrip("/")).exists() for path in libraries)
        path, user = (await output(room, "echo $PATH; id -un")).decode().split()
        assert sys.prefix not in path.split(":")[0]
        assert "/usr/bin" in path.split(":")
        assert user == "user"


async def test_tree_is_read_only_but_for_the_rooms_own_folders(open_tier: OpenTier, tree: Path) -> None:
    async with open_tier(tree) as tier:
        room = await tier.start(SandboxSpec(id="r"))
        script = "for f in %s; do touch $f/x 2>/dev/null && echo $f; done; true"
        own = "/tmp /dev/shm /var/tmp /home/user"
        places = "/ /etc /usr /usr/bin /usr/share /var /run /run/embedenv /dev /proc /home"
        assert (await output(room, script % f"{places} {own}")).decode().split() == own.split()
        await shell(room, f"rm -rf /{MARK} /usr/bin/env; mount -o remount,rw /usr")
    assert (tree / MARK).read_text() == "first"
    assert (tree / "usr/bin/env").exists()


async def test_folders_of_the_spec_are_those_of_the_host(open_tier: OpenTier, tree: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="embedenv-test-") as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        for part in ("work", "data", "elsewhere"):
            (folder / part).mkdir()
        (folder / "data/file").write_text("of the host")
        (folder / "link").symlink_to(folder / "data")
        spec = SandboxSpec(
            id="r", workspace=str(folder / "work"), read_only=(str(folder / "data"), str(folder / "link"))
        )
        async with open_tier(tree) as tier:
            room = await tier.start(spec)
            text = await output(room, f"echo made > made; cat {folder}/data/file {folder}/link/file")
            assert text == b"of the hostof the host"
            assert await output(room, f"ls {folder}/elsewhere 2>/dev/null || echo none") == b"none\n"
        assert (folder / "work/made").read_text() == "made\n"


@pytest.mark.parametrize("folder", ["/usr/share", "/var/lib"])
async def test_folder_that_the_image_has_itself_is_refused(
    open_tier: OpenTier, tree: Path, folder: str
) -> None:
    (tree / "var/lib").mkdir(parents=True, exist_ok=True)
    async with open_tier(tree) as tier:
        with pytest.raises(SandboxUnavailableError, match="is the image's own"):
            await tier.start(SandboxSpec(id="r", read_only=(folder,)))


async def test_one_room_may_stand_on_another_tree_than_the_others(
    open_tier: OpenTier, make_tree: Callable[[str], Path]
) -> None:
    first, second = make_tree("first"), make_tree("second")
    async with open_tier(first) as tier:
        rooms = [
            await tier.start(SandboxSpec(id="a")),
            await tier.start(SandboxSpec(id="b", image=str(second))),
        ]
        assert [await output(room, f"cat /{MARK}") for room in rooms] == [b"first", b"second"]
    async with open_tier(None) as tier:
        rooms = [
            await tier.start(SandboxSpec(id="a")),
            await tier.start(SandboxSpec(id="b", image=str(second))),
        ]
        found = [await output(room, f"cat /{MARK} 2>/dev/null || echo none") for room in rooms]
        assert found == [b"none\n", b"second"]


async def test_new_rooms_get_the_new_tree_and_old_ones_keep_theirs(
    open_tier: OpenTier, make_tree: Callable[[str], Path]
) -> None:
    first, second = make_tree("first"), make_tree("second")
    link = first.parent / "name"
    link.symlink_to(first)
    async with open_tier(link) as tier:
        old = await tier.start(SandboxSpec(id="old"))
        assert not old.is_outdated
        new_link = first.parent / "new"
        new_link.symlink_to(second)
        new_link.rename(link)
        new = await tier.start(SandboxSpec(id="new"))
        assert (old.is_outdated, new.is_outdated) == (True, False)
        assert [await output(room, f"cat /{MARK}") for room in (old, new)] == [b"first", b"second"]
        assert [is_in_use(path) for path in (first, second)] == [True, True]
        await old.aclose()
        another = await tier.start(SandboxSpec(id="another"))
        assert await output(another, f"cat /{MARK}") == b"second"
    assert [is_in_use(path) for path in (first, second)] == [False, False]


def is_in_use(tree: Path) -> bool:
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


async def test_probe_tries_the_tree(tree: Path) -> None:
    report = await probe.probe(["ns", "landlock", "docker"], Image.named(str(tree)))
    by_name = {found.tier: found for found in report.tiers}
    assert by_name["ns"].works, by_name["ns"].reason
    assert "the host's own files" in by_name["landlock"].reason
    assert "images of its own" in by_name["docker"].reason
    assert report.image == Image.named(str(tree))


async def test_tree_whose_python_does_not_run_is_refused(open_tier: OpenTier, tree: Path) -> None:
    (library,) = (path for path in tree.rglob("libc.so.6") if not path.is_symlink())
    library.unlink()
    library.write_bytes(b"broken")
    async with open_tier(tree) as tier:
        with pytest.raises(SandboxUnavailableError):
            await tier.start(SandboxSpec(id="r"))


async def test_tree_that_is_none_is_named(open_tier: OpenTier, tmp_path: Path) -> None:
    async with open_tier(tmp_path / "missing") as tier:
        with pytest.raises(SandboxUnavailableError, match=r"missing: there is no such folder"):
            await tier.start(SandboxSpec(id="r"))
