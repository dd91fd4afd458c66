from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedenv_jupyter.errors import SandboxUnavailableError
from embedenv_jupyter.sandbox import image, rootfs
from embedenv_jupyter.sandbox.image import Image

PYTHON = "usr/bin/python3.11"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What looks like a root tree, from outside."""
    tree = tmp_path / "tree"
    for folder in ("usr/bin", "etc", "opt"):
        (tree / folder).mkdir(parents=True)
    (tree / PYTHON).write_bytes(Path(sys.executable).read_bytes()[:64])
    (tree / "usr/bin/python3").symlink_to(f"/{PYTHON}")
    for path in (tree, tree / "usr", tree / "etc"):
        path.chmod(0o755)
    return tree


def test_names_and_paths_are_told_apart() -> None:
    assert Image.named("/srv/tree") == Image("/srv/tree", tree="/srv/tree")
    assert Image.named("python:3.12") == Image("python:3.12", engine="python:3.12")


def test_identity_follows_the_tree(tmp_path: Path) -> None:
    (tmp_path / "name").symlink_to(tmp_path / "first")
    before = Image.named(str(tmp_path / "name")).identity()
    (tmp_path / "name").unlink()
    (tmp_path / "name").symlink_to(tmp_path / "second")
    assert Image.named(str(tmp_path / "name")).identity() != before


def test_tier_that_needs_a_tree_says_so() -> None:
    with pytest.raises(SandboxUnavailableError, match="'mine:1' is neither an image"):
        image.required_tree(Image.named("mine:1"), "ns")


def test_python_is_found_where_it_would_be_inside(tree: Path) -> None:
    assert image.look_at(str(tree)).python == "/usr/bin/python3"
    languages = tree / image.PYTHONS[0].lstrip("/")
    languages.parent.mkdir(parents=True)
    languages.symlink_to("/usr/bin/python3")
    assert image.look_at(str(tree)).python == image.PYTHONS[0]


def _old_python(tree: Path) -> None:
    (tree / PYTHON).rename(tree / "usr/bin/python3.9")
    (tree / "usr/bin/python3").unlink()
    (tree / "usr/bin/python3").symlink_to("python3.9")


def _foreign_python(tree: Path) -> None:
    header = bytearray((tree / PYTHON).read_bytes())
    header[18:20] = b"\x08\x00"  # MIPS
    (tree / PYTHON).write_bytes(header)


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda tree: (tree / "etc").rmdir(), "it has no folder /etc"),
        (lambda tree: (tree / PYTHON).unlink(), "it has no Python"),
        (lambda tree: (tree / "usr").chmod(0o777), "others than its owner may write to /usr"),
        (lambda tree: tree.chmod(0o775), "others than its owner may write to /"),
        (_old_python, "is python3.9; rooms need Python 3.11 or later"),
        (_foreign_python, "is made for another kind of processor"),
    ],
)
def test_broken_tree_is_refused_with_what_is_wrong(
    tree: Path, harm: Callable[[Path], None], complaint: str
) -> None:
    harm(tree)
    with pytest.raises(SandboxUnavailableError) as caught:
        image.lease(str(tree))
    assert complaint in str(caught.value)
    assert str(tree) in str(caught.value)


def test_tree_of_a_stranger_is_refused(tree: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(tree / "usr", 4242, 4242)
    with pytest.raises(SandboxUnavailableError, match="belongs to user 4242"):
        image.look_at(str(tree))


def test_lease_knows_when_another_tree_has_taken_the_place(tree: Path, tmp_path: Path) -> None:
    link = tmp_path / "name"
    link.symlink_to(tree)
    lease = image.lease(str(link))
    assert not lease.is_outdated
    link.unlink()
    link.symlink_to(tmp_path)
    assert lease.is_outdated
    lease.release()
    lease.release()


def test_links_do_not_lead_out_of_a_tree(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    (tree / "opt/out").symlink_to("../../../../../../.." + str(tmp_path / "secret"))
    with pytest.raises(FileNotFoundError):
        image.open_inside(str(tree), "/opt/out", os.O_RDONLY)
    with pytest.raises(FileNotFoundError):
        rootfs.real_path("/opt/out", str(tree))


def test_path_within_a_tree_is_real_as_seen_from_inside(tree: Path) -> None:
    (tree / "opt/link").symlink_to("/usr/bin")
    assert rootfs.real_path("/opt/link", str(tree)) == "/usr/bin"
    assert rootfs.real_path("/", str(tree)) == "/"


def test_rooms_see_no_secrets_of_an_images_etc(tree: Path) -> None:
    for name in ("shadow", "gshadow-", "passwd", "os-release", "ssl", "sudoers.d", "apt"):
        (tree / "etc" / name).touch()
    assert rootfs.image_configuration(str(tree)) == ("/etc/os-release", "/etc/ssl")
