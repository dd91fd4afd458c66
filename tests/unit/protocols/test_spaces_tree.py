"""``file_structure``: trees of every size and depth, and what a hostile one gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.protocols.spaces import FrameError
from embedenv_jupyter.protocols.spaces import tree as tree_module
from embedenv_jupyter.protocols.spaces.tree import (
    MAX_EXPLAINED_CHARS,
    MAX_TREE_DEPTH,
    MAX_TREE_NODES,
    parse_file_structure,
)


def folder(name: str, *children: Any) -> dict[str, Any]:
    return {"name": name, "type": "folder", "children": list(children)}


def file(name: str, content: str = "") -> dict[str, Any]:
    return {"name": name, "type": "file", "content": content}


def chain(depth: int) -> str:
    """Folders in folders, as text; made without recursion."""
    return '{"name":"d","type":"folder","children":[' * depth + "]}" * depth


def refusal(structure: Any) -> str:
    text = structure if isinstance(structure, str) else json.dumps(structure)
    with pytest.raises(FrameError) as caught:
        parse_file_structure(text)
    assert not caught.value.is_fatal
    return str(caught.value)


def test_parents_come_before_what_is_in_them() -> None:
    structure = folder("project", file("b", "é"), folder("lib", file("c", "x"), folder("empty")), file("a"))
    assert parse_file_structure(json.dumps(structure)) == (
        ("project", None),
        ("project/b", "é".encode()),
        ("project/lib", None),
        ("project/lib/c", b"x"),
        ("project/lib/empty", None),
        ("project/a", b""),
    )


def test_null_is_nothing_and_unknown_fields_are_ignored() -> None:
    structure = {
        "name": "app", "type": "folder", "content": None, "icon": [1],
        "children": [
            {"name": "a", "type": "file", "content": None, "children": None}, {"name": "f", "type": "folder"},
        ],
    }  # fmt: skip
    assert parse_file_structure(json.dumps(structure)) == (("app", None), ("app/a", b""), ("app/f", None))


def test_the_deepest_tree() -> None:
    files = parse_file_structure(chain(MAX_TREE_DEPTH))
    assert files[-1] == ("/".join(["d"] * MAX_TREE_DEPTH), None)
    assert "deeper than 64 levels" in refusal(chain(MAX_TREE_DEPTH + 1))


@pytest.mark.parametrize("depth", [100, 900, 5_000, 200_000])
def test_a_deep_tree_is_refused_without_recursion(depth: int) -> None:
    assert f"{MAX_TREE_DEPTH} levels" in refusal(chain(depth))


def test_the_largest_number_of_files() -> None:
    files = [file(str(number)) for number in range(MAX_TREE_NODES)]
    assert len(parse_file_structure(json.dumps(folder("p", *files[1:])))) == MAX_TREE_NODES
    assert f"more than {MAX_TREE_NODES} files" in refusal(folder("p", *files))
    assert f"more than {MAX_TREE_NODES} files" in refusal(
        folder("p", folder("a", *files[:6000]), folder("b", *files[:6000]))
    )


def test_contents_count_together_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "MAX_TREE_BYTES", 1 << 20)
    half = "é" * (1 << 18)
    assert len(parse_file_structure(json.dumps(folder("p", file("a", half), file("b", half))))) == 3
    assert "'p/c': brings the contents to more than 1 MiB" in refusal(
        folder("p", file("a", half), file("b", half), file("c", "x"))
    )


def test_a_ten_megabyte_file() -> None:
    text = "0123456789abcdef\n" * 600_000
    assert parse_file_structure(json.dumps(folder("p", file("a", text))))[1] == ("p/a", text.encode())


def test_a_long_path_is_refused_though_its_names_are_short() -> None:
    structure: Any = file("end")
    for _ in range(30):
        structure = folder("n" * 200, structure)
    assert "longer than 4096 bytes" in refusal(structure)


def test_the_same_name_in_two_folders_is_allowed() -> None:
    assert (
        len(parse_file_structure(json.dumps(folder("p", folder("a", file("x")), folder("b", file("x"))))))
        == 5
    )
    assert "'p/a/x': is there twice" in refusal(folder("p", folder("a", file("x"), file("x"))))


def test_a_wrong_node_is_named_by_its_path() -> None:
    wrong = folder("p", file("a"), folder("lib", file("b"), {"name": "c", "type": "file", "content": [1]}))
    assert refusal(wrong) == "file_structure: 'p/lib/c': 'content': expected string or null, got array"


def test_in_a_large_text_a_wrong_node_is_named_by_its_place() -> None:
    wrong = folder("p", file("a", "x" * MAX_EXPLAINED_CHARS), {"name": 5, "type": "file"})
    assert refusal(wrong) == "file_structure: 'children[1].name': expected string, got integer"
    broken = json.dumps(folder("p", file("a", "x" * MAX_EXPLAINED_CHARS), file("b", "\ud800")))
    assert "file_structure is not JSON: " in refusal(broken) and "surrogate" in refusal(broken)


@pytest.mark.parametrize("where", ["name", "content"])
def test_half_a_character_is_refused_with_its_path(where: str) -> None:
    wrong = file("b") | {where: "x\ud83d" if where == "content" else "b\ude00"}
    assert "'p/lib/b" in refusal(folder("p", file("a"), folder("lib", wrong)))


def test_half_a_character_in_text_that_was_never_encoded() -> None:
    assert "UTF-8" in refusal('{"name":"p","type":"folder","children":[{"name":"\ud800","type":"file"}]}')


NAMES = st.text(max_size=5) | st.sampled_from(["", ".", "..", "a/b", "\0", "a"])
NODES: st.SearchStrategy[Any] = st.recursive(
    st.fixed_dictionaries(
        {"name": NAMES, "type": st.sampled_from(["file", "file", "folder", "x"])},
        optional={"content": st.text(max_size=5) | st.none() | st.integers()},
    )
    | st.none(),
    lambda inner: st.fixed_dictionaries(
        {"name": NAMES, "type": st.just("folder"), "children": st.lists(inner, max_size=3)}
    ),
    max_leaves=8,
)


@given(NODES)
def test_a_tree_is_safe_files_or_a_refusal(structure: Any) -> None:
    try:
        files = parse_file_structure(json.dumps(structure))
    except RemoteProtocolError as exc:
        str(exc).encode()
        return
    paths = [path for path, _ in files]
    assert len(set(paths)) == len(paths) == count(structure)
    folders = {path for path, content in files if content is None}
    for path, _ in files[1:]:
        assert path.rpartition("/")[0] in folders
        assert not {"", ".", ".."} & set(path.split("/")) and "\0" not in path


def count(structure: Any) -> int:
    return 1 + sum(count(child) for child in structure.get("children") or ())
