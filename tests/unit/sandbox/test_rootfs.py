from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.sandbox import rootfs
from embedenv_jupyter.sandbox.spec import HOME, SandboxSpec

paths = st.lists(st.sampled_from(["a", "b", "usr", "ab"]), min_size=1, max_size=4).map(
    lambda names: "/" + "/".join(names)
)


@given(st.lists(paths))
def test_outermost_folders_cover_all_and_none_another(given_paths: list[str]) -> None:
    kept = rootfs.outermost(given_paths)
    for path in given_paths:
        assert any(rootfs.is_below(path, folder) for folder in (*kept, "/usr"))
    for folder in kept:
        assert folder in given_paths
        assert not any(rootfs.is_below(folder, other) for other in (*kept, "/usr") if other != folder)


def test_below_means_whole_names() -> None:
    assert rootfs.is_below("/a/b", "/a")
    assert rootfs.is_below("/a", "/a")
    assert rootfs.is_below("/a", "/")
    assert not rootfs.is_below("/ab", "/a")


def test_interpreter_and_package_are_among_the_python_folders() -> None:
    kept = (*rootfs.python_folders(), "/usr")
    for needed in (sys.prefix, os.path.dirname(os.__file__), os.path.dirname(rootfs.__file__)):
        assert any(rootfs.is_below(needed, folder) for folder in kept), needed


def test_checkout_around_the_package_is_not_shown() -> None:
    package = Path(rootfs.__file__).parents[1]
    assert str(package.parent) not in rootfs.python_folders()


def test_link_shows_up_under_both_names(tmp_path: Path) -> None:
    real = tmp_path / "python-3.11"
    real.mkdir()
    link = tmp_path / "python"
    link.symlink_to(real)
    assert rootfs._resolved([str(link)]) == ((str(link), str(real)), (str(real), str(real)))


@pytest.mark.parametrize("folder", ["/", "/home", HOME, "/tmp", "/dev", "/proc", "/etc", "/run"])
def test_folder_that_would_hide_the_rooms_own_is_refused(folder: str) -> None:
    with pytest.raises(OSError, match="it would hide a folder of the room"):
        rootfs._resolved([folder])


def test_folder_that_does_not_exist_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="/nonexistent/env"):
        rootfs._resolved(["/nonexistent/env"])


def test_own_configuration_names_the_rooms_user() -> None:
    texts = rootfs._own_configuration(SandboxSpec(id="r", hostname="lab"), 200_003)
    assert f"user:x:200003:200003:user:{HOME}:" in texts["passwd"]
    assert "user:x:200003:" in texts["group"]
    assert "lab" in texts["hosts"]
    assert texts["hostname"] == "lab\n"
    assert texts["resolv.conf"] == ""


def test_configuration_holds_no_secrets() -> None:
    host = rootfs.look_at_host()
    shown = {path.removeprefix("/etc/") for path in host.configuration}
    assert not shown & {
        "shadow",
        "gshadow",
        "sudoers",
        "ssh",
        "ssl",
        "ssl/private",
        "gitconfig",
        "environment",
    }
