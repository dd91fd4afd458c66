from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedenv_jupyter.images import record
from embedenv_jupyter.images.errors import ImageError
from embedenv_jupyter.images.record import Differences, Record


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/tool").write_text("one")
    (tree / "usr/bin/link").symlink_to("tool")
    (tree / "usr/odd name\n\udce4").write_bytes(b"two")
    os.link(tree / "usr/bin/tool", tree / "usr/bin/other")
    return tree


@pytest.fixture
def listed(tree: Path) -> Path:
    path = tree.with_name("tree.files")
    path.write_text("".join(f"{line}\n" for line in record.describe(tree)))
    return path


def test_tree_that_nobody_has_touched_is_as_it_was(tree: Path, listed: Path) -> None:
    assert not record.compare(tree, listed)
    assert len(listed.read_text().splitlines()) == 6


def test_each_kind_of_change_is_noticed(tree: Path, listed: Path) -> None:
    before = (tree / "usr/bin/tool").stat()
    (tree / "usr/bin/tool").write_text("eno")
    os.utime(tree / "usr/bin/tool", ns=(before.st_atime_ns, before.st_mtime_ns))
    (tree / "usr/bin/link").unlink()
    (tree / "usr/bin/link").symlink_to("/bin/sh")
    (tree / "usr/odd name\n\udce4").unlink()
    (tree / "usr/new").mkdir()
    assert record.compare(tree, listed) == Differences(
        changed=("usr/bin/link", "usr/bin/other", "usr/bin/tool"),
        missing=("usr/odd name\n\udce4",),
        added=("usr/new",),
    )


def test_rights_count_as_much_as_content(tree: Path, listed: Path) -> None:
    (tree / "usr/bin/tool").chmod(0o4755)
    assert "usr/bin/tool" in record.compare(tree, listed).changed


def test_list_that_cannot_be_read_is_told(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "odd").write_text("what is this\n")
    for name in ("odd", "missing"):
        with pytest.raises(ImageError, match=name):
            record.compare(tree, tmp_path / name)


def test_size_counts_a_file_with_two_names_once(tree: Path) -> None:
    before = record.size_of(tree)
    (tree / "usr/big").write_bytes(bytes(1 << 20))
    os.link(tree / "usr/big", tree / "usr/big2")
    assert 1 << 20 <= record.size_of(tree) - before < 2 << 20


def test_record_comes_back_from_its_file(tmp_path: Path) -> None:
    made = Record("id", "core", "2026-01-02T03:04:05Z", 1.5, 4096, ("lua",), {"zig": "why"}, {}, "bookworm")
    (tmp_path / "r.json").write_text(made.to_json())
    assert Record.read(tmp_path / "r.json") == made


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"languages": 3}', '{"languages": [], "id": 1, "odd": 2}'])
def test_odd_record_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ImageError, match="cannot be read"):
        Record.read(tmp_path / "r.json")
