from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embedenv_jupyter.images import store as stores
from embedenv_jupyter.images.errors import ImageError, ImageInUseError, UnknownImageError
from embedenv_jupyter.images.record import Record
from embedenv_jupyter.images.store import ImageStore
from embedenv_jupyter.sandbox.image import Image


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path)


def put(store: ImageStore, name: str, id: str) -> Path:
    tree = store.trees / id
    (tree / "usr").mkdir(parents=True)
    made = Record(id, name, "2026-01-02T03:04:05Z", 1.0, 1, ("lua",))
    tree.with_name(f"{id}.json").write_text(made.to_json())
    tree.with_name(f"{id}.files").touch()
    store.put(name, id)
    return tree


@contextmanager
def standing_on(tree: Path) -> Iterator[None]:
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    yield
    os.close(fd)


def test_nothing_is_there_at_first(store: ImageStore) -> None:
    assert not (store.names() or store.unfinished_names() or store.tidy())
    with pytest.raises(UnknownImageError, match="there is none"):
        store.find("core")


def test_name_leads_to_the_tree_that_was_put_last(store: ImageStore) -> None:
    first = put(store, "core", "1")
    assert store.find("core").tree == first
    second = put(store, "core", "2")
    assert store.find("core").record.id == "2"
    assert store.names() == ("core",)
    assert sorted(path.name for path in store.trees.iterdir()) == ["2", "2.files", "2.json"]
    assert second.is_dir()


def test_tree_that_rooms_stand_on_stays_until_they_end(store: ImageStore) -> None:
    first = put(store, "core", "1")
    with standing_on(first):
        put(store, "core", "2")
        assert store.tidy() == (first,)
        assert first.is_dir()
    assert store.tidy() == ()
    assert not first.exists()


def test_image_in_use_is_not_removed_and_its_users_are_named(store: ImageStore) -> None:
    tree = put(store, "core", "1")
    with standing_on(tree):
        assert store.find("core").users == (os.getpid(),)
        with pytest.raises(ImageInUseError, match=str(os.getpid())):
            store.remove("core")
        assert store.names() == ("core",)
    store.remove("core")
    assert store.names() == ()
    assert list(store.trees.iterdir()) == []


def test_what_was_begun_is_removed_by_its_name(store: ImageStore) -> None:
    store.unfinished("all").mkdir(parents=True)
    assert store.unfinished_names() == ("all",)
    store.remove("all")
    assert store.unfinished_names() == ()
    with pytest.raises(UnknownImageError):
        store.remove("all")


def test_names_lead_to_images_paths_to_trees_and_the_rest_to_engines(store: ImageStore) -> None:
    put(store, "core", "1")
    tree = str(store.folder / "core")
    assert store.resolve("core") == Image("core", tree=tree, engine="localhost/embedenv:core")
    assert store.resolve("/srv/tree") == Image("/srv/tree", tree="/srv/tree")
    assert store.resolve("python:3.12") == Image("python:3.12", engine="python:3.12")
    assert store.resolve("../core").tree is None


def test_removal_that_was_interrupted_is_ended_later(store: ImageStore) -> None:
    put(store, "core", "1")
    gone = store.trees / ".gone-0"
    (gone / "usr").mkdir(parents=True)
    store.tidy()
    assert not gone.exists()


def test_image_without_a_record_is_told(store: ImageStore) -> None:
    put(store, "core", "1").with_name("1.json").unlink()
    with pytest.raises(ImageError, match=r"1\.json cannot be read"):
        store.find("core")


def test_folders_without_any_right_are_removed(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/b/c/file").touch()
    (tmp_path / "a/b").chmod(0)
    stores.remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()
