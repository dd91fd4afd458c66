"""What is left for the process after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedenv_jupyter.forwarder.memory import Memory, MemoryFile

MEMORY = Memory("http://host/", "r1", "k1", is_own_room=True)


def test_what_was_left_is_found_by_the_same_connection_file(tmp_path: Path) -> None:
    MemoryFile(tmp_path / "kernel-1.json").write(MEMORY)
    assert MemoryFile(tmp_path / "kernel-1.json").read() == MEMORY
    assert MemoryFile(tmp_path / "kernel-2.json").read() is None
    (file,) = tmp_path.iterdir()
    assert file.suffix != ".json", "Jupyter takes every kernel-*.json for a connection file"
    assert file.stat().st_mode & 0o777 == 0o600


def test_removed_twice(tmp_path: Path) -> None:
    memory = MemoryFile(tmp_path / "kernel-1.json")
    memory.write(MEMORY)
    memory.remove()
    memory.remove()
    assert memory.read() is None


@pytest.mark.parametrize("content", ["", "{}", "null", '{"url": 1}'])
def test_broken_file_is_no_memory(tmp_path: Path, content: str) -> None:
    (tmp_path / "kernel-1.embedenv").write_text(content)
    assert MemoryFile(tmp_path / "kernel-1.json").read() is None


def test_link_to_elsewhere_is_not_followed_or_written_through(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    (tmp_path / "kernel-1.embedenv").symlink_to(elsewhere)
    memory = MemoryFile(tmp_path / "kernel-1.json")
    assert memory.read() is None
    memory.write(MEMORY)
    assert elsewhere.read_text() == "precious"
    assert memory.read() == MEMORY
