from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import image
from embedenv_jupyter.sandbox.image import Tree, TreeLease
from embedenv_jupyter.sandbox.tiers.zygotes import MAX_IDLE, Zygote, Zygotes
from embedenv_jupyter.sandbox.zygote_client import ZygoteClient


class FakeClient:
    def __init__(self, tree: Tree | None) -> None:
        self.tree = tree
        self.cause: str | None = None

    async def aclose(self) -> None:
        self.cause = "closed"


class Launches:
    """Starts fakes and remembers them."""

    def __init__(self) -> None:
        self.made: list[FakeClient] = []
        self.failure: Exception | None = None

    async def __call__(self, tree: Tree | None, on_death: Callable[[str], None]) -> ZygoteClient:
        if self.failure is not None:
            raise self.failure
        self.made.append(FakeClient(tree))
        return cast(ZygoteClient, self.made[-1])

    @property
    def alive(self) -> list[FakeClient]:
        return [client for client in self.made if client.cause is None]


@pytest.fixture(autouse=True)
def leased(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take any folder for a tree; the paths that are held."""
    held: list[str] = []

    class Lease(TreeLease):
        def __init__(self, path: str) -> None:
            super().__init__(Tree(str(Path(path).resolve()), "/usr/bin/python3"), path, -1)
            held.append(self.tree.path)

        def release(self) -> None:
            held.remove(self.tree.path)

    monkeypatch.setattr(image, "lease", Lease)
    return held


def no_death(zygote: Zygote, cause: str) -> None:
    raise AssertionError(cause)


async def test_one_zygote_for_each_thing_to_stand_on(tmp_path: Path) -> None:
    launches = Launches()
    zygotes = Zygotes(launches, no_death)
    first = await zygotes.take(None)
    assert await zygotes.take(None) is first
    second = await zygotes.take(str(tmp_path))
    assert second is not first
    assert len(launches.made) == 2
    assert zygotes.last is second
    await zygotes.aclose()
    assert launches.alive == []


async def test_idle_zygotes_are_few(tmp_path: Path, leased: list[str]) -> None:
    launches = Launches()
    zygotes = Zygotes(launches, no_death)
    for number in range(MAX_IDLE + 3):
        zygotes.give_back(await zygotes.take(str(tmp_path / str(number))))
    await asyncio.sleep(0)
    await asyncio.gather(*zygotes._ending)
    assert len(launches.alive) == len(leased) == MAX_IDLE
    assert launches.alive == launches.made[-MAX_IDLE:]
    await zygotes.aclose()
    assert leased == []


async def test_zygote_with_rooms_stays_when_its_tree_is_replaced(tmp_path: Path, leased: list[str]) -> None:
    launches = Launches()
    zygotes = Zygotes(launches, no_death)
    link = tmp_path / "name"
    link.symlink_to("first")
    old = await zygotes.take(str(link))
    link.unlink()
    link.symlink_to("second")
    new = await zygotes.take(str(link))
    assert new is not old
    assert len(launches.alive) == 2
    zygotes.give_back(old)
    await asyncio.gather(*zygotes._ending)
    assert launches.alive == [launches.made[1]]
    assert leased == [str(tmp_path / "second")]
    await zygotes.aclose()


async def test_dead_zygote_is_replaced() -> None:
    launches = Launches()
    zygotes = Zygotes(launches, no_death)
    zygotes.give_back(await zygotes.take(None))
    launches.made[0].cause = "killed"
    await zygotes.take(None)
    assert len(launches.made) == 2
    await zygotes.aclose()


async def test_failure_to_launch_names_the_image_and_lets_it_go(tmp_path: Path, leased: list[str]) -> None:
    launches = Launches()
    launches.failure = SandboxUnavailableError("No such call.", ("do this",))
    zygotes = Zygotes(launches, no_death)
    with pytest.raises(SandboxUnavailableError, match=f"the image {tmp_path}: No such call") as caught:
        await zygotes.take(str(tmp_path))
    assert caught.value.remedies == ("do this",)
    assert leased == []
    await zygotes.aclose()


async def test_nothing_is_launched_after_the_end() -> None:
    zygotes = Zygotes(Launches(), no_death)
    await zygotes.aclose()
    with pytest.raises(SandboxUnavailableError, match="closed"):
        await zygotes.take(None)
