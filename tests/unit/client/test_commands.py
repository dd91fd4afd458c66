from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.client import commands
from embedenv_jupyter.errors import WorkspaceError


@pytest.mark.parametrize(
    ("given_path", "wire"),
    [
        ("main.py", "project/main.py"),
        ("./main.py", "project/main.py"),
        ("/main.py", "main.py"),
        ("/project/main.py", "project/main.py"),
        ("/", "."),
        ("project/main.py", "project/main.py"),
        ("a//b/", "project/a/b"),
        ("", "project"),
        (".", "project"),
        ("project", "project"),
        ("project/project/x", "project/project/x"),
        ("projects/x", "project/projects/x"),
    ],
)
def test_paths_are_relative_to_the_project(given_path: str, wire: str) -> None:
    assert commands.wire_path(given_path) == wire


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "project/../etc", "a\0b"])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(WorkspaceError):
        commands.wire_path(path)


@given(st.text())
def test_a_wire_path_is_confined_and_stable(path: str) -> None:
    try:
        wire = commands.wire_path(path)
    except WorkspaceError:
        return
    assert path.startswith("/") or wire.split("/")[0] == "project"
    assert wire == "." or not {"", ".", ".."} & set(wire.split("/"))
    assert commands.wire_path(f"/{wire}") == wire


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0"])
def test_a_new_name_is_one_segment(name: str) -> None:
    with pytest.raises(WorkspaceError):
        commands.base_name(name)


def test_the_published_frames_are_as_published() -> None:
    assert commands.write("project/utils.py", "x") == {
        "command": {"type": "write"},
        "path": "project/utils.py",
        "content": "x",
    }
    assert commands.rename("project/utils.py", "core_utils.py") == {
        "command": {"type": "rename"},
        "path": "project/utils.py",
        "rpath": "utils.py",
        "name": "core_utils.py",
        "root": {},
    }
    assert commands.delete("project/core_utils.py") == {
        "command": {"type": "delete"},
        "path": "project/core_utils.py",
        "rpath": "core_utils.py",
        "targetElementData": {},
    }
    assert commands.curl("get", "http://localhost:3000", {}, "") == {
        "command": {"type": "curl"},
        "method": "GET",
        "url": "http://localhost:3000",
        "headers": {},
        "data": "",
    }
    assert commands.create_folder("project/a/b") == {
        "command": {
            "type": "create",
            "item": "folder",
            "name": "b",
            "rpath": "a",
            "path": "project/a/b",
            "root": {},
            "targetElementData": {},
        }
    }
    assert commands.deploy({"name": "project", "type": "folder", "children": []}) == {
        "command": {"type": "project"},
        "file_structure": '{"name":"project","type":"folder","children":[]}',
    }


@given(st.binary())
def test_any_bytes_can_be_written(content: bytes) -> None:
    fields = commands.write("project/x", content)
    if fields.get("encoding") == "base64":
        assert base64.b64decode(fields["content"]) == content
    else:
        assert fields["content"].encode() == content


@pytest.mark.parametrize("name", ["TERM", "term", "SIGTERM"])
def test_signals_go_by_their_short_names(name: str) -> None:
    assert commands.signal(name) == {"command": {"type": "signal", "signal": "TERM"}}
