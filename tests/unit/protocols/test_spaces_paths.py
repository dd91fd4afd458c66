"""Paths of frames: one normal form, and nothing that leads out."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.protocols.spaces import FrameError
from embedenv_jupyter.protocols.spaces.paths import base_name, workspace_path


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("project/main.py", "project/main.py"),
        ("./project//lib/./a.py/", "project/lib/a.py"),
        ("project", "project"),
        ("…/é", "…/é"),
        ("a\\b", "a\\b"),
        ("...", "..."),
        ("..a/b..", "..a/b.."),
        ("n" * 255, "n" * 255),
    ],
)
def test_a_path_has_one_normal_form(text: str, normal: str) -> None:
    assert workspace_path(text) == normal


@pytest.mark.parametrize("text", ["", ".", "./", "././/."])
def test_only_a_list_may_name_the_workspace(text: str) -> None:
    assert workspace_path(text, or_workspace=True) == "."
    with pytest.raises(FrameError, match="names no file"):
        workspace_path(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("//etc", "absolute"),
        ("..", "'..'"),
        ("project/..", "'..'"),
        ("project/../x", "'..'"),
        ("a\0", "NUL"),
        ("a/" * 2048 + "bc", "4096 bytes"),
        ("é" * 2049, "4096 bytes"),
        ("é" * 128, "255 bytes"),
        ("\ud800", "surrogate"),
    ],
)
def test_what_leads_out_or_cannot_be_is_refused(text: str, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        workspace_path(text)


@given(st.text(st.sampled_from("./a\0é\ud800b"), max_size=12))
def test_a_path_stays_in_the_workspace_or_is_refused(text: str) -> None:
    try:
        path = workspace_path(text, or_workspace=True)
    except FrameError as exc:
        str(exc).encode()
        return
    assert path == posixpath.normpath(text) == workspace_path(path, or_workspace=True)
    assert posixpath.normpath(f"/workspace/{path}").startswith("/workspace")


@given(st.text(st.sampled_from("./a\0é\ud800"), max_size=4))
def test_a_name_is_one_name_or_refused(text: str) -> None:
    try:
        name = base_name(text)
    except FrameError as exc:
        str(exc).encode()
        return
    assert name == text and workspace_path(f"project/{name}") == f"project/{name}"
