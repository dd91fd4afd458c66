from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.client.tree import TREE_BYTES, TREE_NODES, plan
from embedenv_jupyter.errors import WorkspaceError


def flatten(node: dict[str, Any], above: str = "") -> dict[str, str]:
    path = f"{above}{node['name']}"
    if node["type"] == "file":
        return {path: node["content"]}
    found: dict[str, str] = {}
    for child in node["children"]:
        found |= flatten(child, f"{path}/")
    return found


def test_paths_become_a_tree() -> None:
    deployment = plan({"main.py": "a", "pkg/one.py": "b", "project/pkg/deep/two.py": b"c"})
    assert deployment.tree == {
        "name": "project",
        "type": "folder",
        "children": [
            {"name": "main.py", "type": "file", "content": "a"},
            {
                "name": "pkg",
                "type": "folder",
                "children": [
                    {"name": "one.py", "type": "file", "content": "b"},
                    {
                        "name": "deep",
                        "type": "folder",
                        "children": [{"name": "two.py", "type": "file", "content": "c"}],
                    },
                ],
            },
        ],
    }
    assert deployment.rest == {}


def test_a_tree_is_taken_as_it_is() -> None:
    children = [{"name": "main.py", "type": "file", "content": "x"}]
    assert plan({"name": "other", "type": "folder", "children": children}).tree == {
        "name": "project",
        "type": "folder",
        "children": children,
    }


def test_a_file_called_type_is_a_file() -> None:
    assert flatten(plan({"type": "folder"}).tree) == {"project/type": "folder"}


def test_bytes_that_are_no_text_follow_by_themselves() -> None:
    deployment = plan({"logo.png": b"\x89PNG\xff", "a.txt": "a"})
    assert flatten(deployment.tree) == {"project/a.txt": "a"}
    assert deployment.rest == {"project/logo.png": b"\x89PNG\xff"}


def test_what_does_not_fit_into_a_frame_follows_by_itself() -> None:
    big = "x" * TREE_BYTES
    deployment = plan({"a": "a", "big": big, "b": "b"})
    assert flatten(deployment.tree) == {"project/a": "a", "project/b": "b"}
    assert deployment.rest == {"project/big": big}


@pytest.mark.parametrize(
    "files",
    [
        {"../x": ""},
        {"a\0": ""},
        {"a": "", "./a": ""},
        {"a": "", "a/b": ""},
        {"a/b": "", "a": ""},
        {"a": "", "a/b/c": ""},
        {"": "x"},
        {"/": "x"},
        {"/notes.txt": "x"},
        {"a": 5},
        {"a": None},
    ],
)
def test_what_contradicts_itself_is_refused(files: dict[str, Any]) -> None:
    with pytest.raises(WorkspaceError):
        plan(files)


names = st.sampled_from(["a", "b", "c", "project"])


@given(
    st.dictionaries(st.lists(names, min_size=1, max_size=4).map("/".join), st.text(max_size=3), max_size=6)
)
def test_every_file_of_a_plan_is_in_its_tree(files: dict[str, str]) -> None:
    try:
        tree = plan(files).tree
    except WorkspaceError:
        return
    assert sorted(flatten(tree).values()) == sorted(files.values())


def test_a_directory_is_read_without_links_and_ignored_names(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("main")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "inner.py").write_text("inner")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("hidden")
    (tmp_path / "data.bin").write_bytes(b"\xff\x00")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder-link").symlink_to("/etc")
    deployment = plan(tmp_path)
    assert flatten(deployment.tree) == {"project/main.py": "main", "project/project/inner.py": "inner"}
    assert deployment.rest == {"project/data.bin": b"\xff\x00"}
    everything = plan(str(tmp_path), ignored=())
    assert flatten(everything.tree)["project/.git/config"] == "hidden"


def test_a_directory_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="not a local directory"):
        plan(tmp_path / "missing")


def test_what_are_too_many_files_for_a_frame_follow_by_themselves() -> None:
    deployment = plan({f"{number}": "" for number in range(TREE_NODES + 10)})
    assert len(flatten(deployment.tree)) + len(deployment.rest) == TREE_NODES + 10
    assert 0 < len(deployment.rest) < 20
