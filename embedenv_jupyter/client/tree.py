"""What can be deployed, as the file tree of the published frame.

A folder is ``{"name", "type": "folder", "children": [...]}``, a file is
``{"name", "type": "file", "content"}``; the root is the folder ``project``.
Content in a tree is text, so bytes that are none are set apart, to be written
one by one, and so is what does not fit into one frame.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from embedenv_jupyter.client.commands import ROOT, wire_path
from embedenv_jupyter.errors import WorkspaceError

Node: TypeAlias = dict[str, Any]
Source: TypeAlias = Mapping[str, Any] | str | os.PathLike[str]

TREE_BYTES = 2 << 20
"""What one deployment frame carries of contents; the rest follows file by file."""
TREE_NODES = 5000
MAX_TOTAL_BYTES = 256 << 20
IGNORED = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", ".ipynb_checkpoints"})


@dataclass
class Deployment:
    """A tree for one frame, and the files that must follow, by their wire paths."""

    tree: Node = field(default_factory=lambda: _folder(ROOT))
    rest: dict[str, str | bytes] = field(default_factory=dict)


def plan(source: Source, ignored: Collection[str] = IGNORED) -> Deployment:
    """Make a deployment of a tree, a mapping of paths to contents, or a local directory. Blocks on files.

    Raises:
        WorkspaceError: a path is not acceptable, or two of them contradict each other.
        OSError: a local file cannot be read.
    """
    if isinstance(source, Mapping):
        if source.get("type") == "folder" and isinstance(source.get("children"), list | tuple):
            return Deployment({**source, "name": ROOT})
        return _from_files(source)
    return _from_files(_read_directory(Path(source), ignored))


def _from_files(files: Mapping[str, Any]) -> Deployment:
    deployment = Deployment()
    folders: dict[str, Node] = {ROOT: deployment.tree}
    seen: set[str] = set()
    size = 0
    for given, content in files.items():
        path = wire_path(given)
        if not path.startswith(f"{ROOT}/"):
            raise WorkspaceError(
                given, "is not the path of a file in the project, which alone can be deployed"
            )
        if path in seen or path in folders:
            raise WorkspaceError(given, "is in the deployment twice, or as a file and as a folder")
        seen.add(path)
        text = _as_text(given, content)
        parent, _, name = path.rpartition("/")
        folder = _folder_at(parent, folders, seen)
        is_full = size + len(content) > TREE_BYTES or len(seen) + len(folders) > TREE_NODES
        if text is None or is_full:
            deployment.rest[path] = content
        else:
            size += len(text)
            folder["children"].append({"name": name, "type": "file", "content": text})
    return deployment


def _as_text(path: str, content: Any) -> str | None:
    """The content as text, or ``None`` if it is bytes that are no UTF-8."""
    match content:
        case str():
            return content
        case bytes() | bytearray() | memoryview():
            try:
                return bytes(content).decode()
            except UnicodeDecodeError:
                return None
    raise WorkspaceError(path, f"the content of a file is str or bytes, not {type(content).__name__}")


def _folder_at(path: str, folders: dict[str, Node], files: set[str]) -> Node:
    """The node of a folder, made with all above it where it is missing."""
    missing: list[str] = []
    while path not in folders:
        if path in files:
            raise WorkspaceError(path, "is in the deployment as a file and as a folder")
        missing.append(path)
        path = path.rpartition("/")[0]
    node = folders[path]
    for path in reversed(missing):
        child = _folder(path.rpartition("/")[2])
        node["children"].append(child)
        folders[path] = node = child
    return node


def _folder(name: str) -> Node:
    return {"name": name, "type": "folder", "children": []}


def _read_directory(root: Path, ignored: Collection[str]) -> dict[str, bytes]:
    """Read all regular files below a directory; symbolic links are left out, for they may lead anywhere."""
    if not root.is_dir():
        raise WorkspaceError(str(root), "is not a local directory")
    found: dict[str, bytes] = {}
    total = 0
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in ignored)
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file() or name in ignored:
                continue
            content = path.read_bytes()
            total += len(content)
            if total > MAX_TOTAL_BYTES:
                raise WorkspaceError(
                    str(root), f"holds over {MAX_TOTAL_BYTES >> 20} MiB; deploy a part of it"
                )
            # The prefix keeps a local folder called "project" from being taken for the root itself.
            found[f"{ROOT}/{path.relative_to(root).as_posix()}"] = content
    return found
