"""``file_structure``: a project as JSON text inside JSON, made into a flat list.

A node is ``{"name", "type": "folder", "children": [...]}`` or ``{"name", "type":
"file", "content": text}``. msgspec decodes the text (and guards its own depth);
what follows iterates, so that no tree is too deep for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw, Struct

from embedenv_jupyter.protocols.faults import FrameError, explain, place_of, placed, shown
from embedenv_jupyter.protocols.spaces.paths import MAX_PATH_BYTES, fault_of_name

MAX_TREE_DEPTH = 64
"""Levels of nodes, the root being the first."""
MAX_TREE_NODES = 10_000
MAX_TREE_BYTES = 32 << 20
"""All contents together, in UTF-8."""
MAX_EXPLAINED_CHARS = 1 << 20
"""Of a larger text that is wrong, the error says where by position, not by path."""

Files: TypeAlias = tuple[tuple[str, bytes | None], ...]
"""(path, content) of each file and (path, ``None``) of each folder, parents first."""


class Node(Struct, frozen=True, gc=False):
    """A file or folder. ``null`` where a node has nothing is taken as nothing."""

    name: str
    type: str
    children: list[Node] | None = None
    content: str | None = None


_decoder = msgspec.json.Decoder(Node)


def parse_file_structure(text: str) -> Files:
    """Read the tree.

    Raises:
        FrameError: naming the path in the tree, or the place in the text.
    """
    try:
        root = _decoder.decode(text)
    except msgspec.ValidationError as exc:
        raise _misshapen(text, exc) from None
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise FrameError(_broken(text, explain(exc, "file_structure"))) from None
    except RecursionError:
        raise FrameError(
            f"file_structure is nested too deeply; at most {MAX_TREE_DEPTH} levels are allowed"
        ) from None
    if root.type != "folder":
        raise FrameError(
            f"file_structure: the root {shown(root.name)} must be of type 'folder', not {shown(root.type)}"
        )
    return tuple(_flat(root))


def _flat(root: Node) -> Iterator[tuple[str, bytes | None]]:
    seen: set[str] = set()
    total = 0
    waiting = [("", root, 1)]
    while waiting:
        parent, node, depth = waiting.pop()
        path = _path_of(node, parent, depth)
        if path in seen:
            raise _refused(path, "is there twice")
        seen.add(path)
        if len(seen) > MAX_TREE_NODES:
            raise FrameError(f"file_structure has more than {MAX_TREE_NODES} files and folders")
        if node.type == "folder":
            yield path, None
            children = node.children or ()
            # More than can pass are not even queued.
            waiting.extend(
                (f"{path}/", child, depth + 1) for child in reversed(children[: MAX_TREE_NODES + 1])
            )
        else:
            content = _content_of(node, path)
            total += len(content)
            if total > MAX_TREE_BYTES:
                raise _refused(path, f"brings the contents to more than {MAX_TREE_BYTES >> 20} MiB together")
            yield path, content


def _path_of(node: Node, parent: str, depth: int) -> str:
    path = parent + node.name
    if fault := fault_of_name(node.name):
        raise _refused(path, f"the name {shown(node.name)} {fault}")
    if depth > MAX_TREE_DEPTH:
        raise _refused(path, f"is deeper than {MAX_TREE_DEPTH} levels")
    if len(path.encode()) > MAX_PATH_BYTES:
        raise _refused(path, f"the path is longer than {MAX_PATH_BYTES} bytes")
    if node.type not in ("folder", "file"):
        raise _refused(path, f"the type must be 'folder' or 'file', not {shown(node.type)}")
    if node.type == "folder" and node.content:
        raise _refused(path, "is a folder and has content; only files have content")
    if node.type == "file" and node.children:
        raise _refused(path, "is a file and has children; only folders have children")
    return path


def _content_of(node: Node, path: str) -> bytes:
    try:
        return (node.content or "").encode()
    except UnicodeEncodeError:
        raise _refused(path, "the content holds half of a surrogate pair, which is no character") from None


def _refused(path: str, fault: str) -> FrameError:
    # The end of a long path says more than its beginning.
    shortened = path if len(path) <= 100 else "…" + path[-100:]
    return FrameError(f"file_structure: {shortened!r}: {fault}")


# Where a text that could not be decoded went wrong.


class _Link(Struct):
    """As much of a node as leads on to one of its children."""

    name: Raw = Raw(b'"?"')
    children: Raw = Raw(b"[]")


def _misshapen(text: str, exc: msgspec.ValidationError) -> FrameError:
    """Name the wrong node by its path, where msgspec counts children."""
    where, what = place_of(exc)
    if not where or len(text) > MAX_EXPLAINED_CHARS:
        return FrameError(explain(exc, "file_structure"))
    names = _names_along(text, [int(index) for index in re.findall(r"\[(\d+)\]", where)])
    field = where.rpartition(".")[2]
    return _refused("/".join(names), placed("" if field.endswith("]") else field, what))


def _names_along(text: str, indexes: list[int]) -> list[str]:
    names = []
    raw = text.encode()
    for index in [*indexes, -1]:
        try:
            link = msgspec.json.decode(raw, type=_Link)
            names.append(msgspec.json.decode(link.name, type=str))
        except msgspec.DecodeError:
            names.append("?")
            break
        if index >= 0:
            raw = bytes(msgspec.json.decode(link.children, type=list[Raw])[index])
    return names


def _broken(text: str, reason: str) -> str:
    """Find the node with half a character, the one fault of JSON text that belongs to a node."""
    if "surrogate" in reason and len(text) <= MAX_EXPLAINED_CHARS:
        try:
            path = _path_of_half_character(json.loads(text))
        except (ValueError, RecursionError):
            path = None
        if path is not None:
            return str(_refused(path, "holds half of a surrogate pair, which is no character"))
    return reason


def _path_of_half_character(root: Any) -> str | None:
    waiting = [("", root)]
    while waiting:
        parent, node = waiting.pop()
        if not isinstance(node, dict):
            continue
        path = f"{parent}{node.get('name')}"
        if any(isinstance(value, str) and not _is_whole(value) for value in node.values()):
            return path
        children = node.get("children")
        waiting.extend((f"{path}/", child) for child in (children if isinstance(children, list) else ()))
    return None


def _is_whole(text: str) -> bool:
    return text.isascii() or not re.search("[\ud800-\udfff]", text)
