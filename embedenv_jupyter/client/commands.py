"""The commands of the Spaces protocol as the frames' fields, and the rules for paths.

Every function returns the fields of one ``cmd`` frame but ``type``,
``project_name`` and ``id``, which the session adds. Those under "additions" are
understood only by servers that answered a ``resume``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from embedenv_jupyter.errors import WorkspaceError

Fields: TypeAlias = dict[str, Any]

ROOT = "project"
INTERRUPT = "Ctrl+C"


def wire_path(path: str) -> str:
    """Turn a path as people write it into the path of a frame, which starts one level above ``project``.

    A path is relative to the project: ``main.py``, ``./main.py`` and
    ``project/main.py`` name the same file, and ``""``, ``"."`` and ``"project"``
    the project itself (for a folder in it that is called ``project`` too, write
    ``project/project``). With ``/`` in front it begins where shell lines begin,
    one level above: ``/notes.txt``, ``/project/main.py``.

    Raises:
        WorkspaceError: it leads out of the room's workspace or holds a NUL.
    """
    if "\0" in path:
        raise WorkspaceError(path, "a path must not hold a NUL character")
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        raise WorkspaceError(path, "a path must not hold '..'; with '/' in front it begins above the project")
    if not path.startswith("/") and segments[:1] != [ROOT]:
        segments.insert(0, ROOT)
    return "/".join(segments) or "."


def base_name(name: str) -> str:
    """Check a new name: one segment, for a rename within the same folder.

    Raises:
        WorkspaceError: it is empty, special, or a path.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise WorkspaceError(name, "a new name is one segment: not empty, no '/', not '.' or '..'")
    return name


def shell(line: str) -> Fields:
    """Run ``line``, or, while a program runs, send it as a line of input. No line ends in it."""
    return {"command": {"type": "shell", "command": line}}


def deploy(tree: Mapping[str, Any]) -> Fields:
    """Make the project's files from a tree of nodes; the published frame carries it as JSON text."""
    return {"command": {"type": "project"}, "file_structure": msgspec.json.encode(tree).decode()}


def create_folder(path: str) -> Fields:
    parent, _, name = path.rpartition("/")
    relative = parent.removeprefix(ROOT).lstrip("/")
    return {
        "command": {
            "type": "create",
            "item": "folder",
            "name": name,
            "rpath": relative,
            "path": path,
            "root": {},
            "targetElementData": {},
        }
    }


def write(path: str, content: str | bytes) -> Fields:
    """Write a file; bytes that are no UTF-8 go in base64, which only our additions know."""
    fields = {"command": {"type": "write"}, "path": path}
    if isinstance(content, str):
        return {**fields, "content": content}
    try:
        return {**fields, "content": bytes(content).decode()}
    except UnicodeDecodeError:
        return {**fields, "content": base64.b64encode(content).decode(), "encoding": "base64"}


def rename(path: str, name: str) -> Fields:
    return {"command": {"type": "rename"}, "path": path, "rpath": _relative(path), "name": name, "root": {}}


def delete(path: str) -> Fields:
    return {"command": {"type": "delete"}, "path": path, "rpath": _relative(path), "targetElementData": {}}


def curl(method: str, url: str, headers: Mapping[str, str], data: str) -> Fields:
    return {
        "command": {"type": "curl"},
        "method": method.upper(),
        "url": url,
        "headers": dict(headers),
        "data": data,
    }


# Additions from here on.


def stdin(text: str) -> Fields:
    return {"command": {"type": "stdin", "data": text}}


def eof() -> Fields:
    return {"command": {"type": "eof"}}


def signal(name: str) -> Fields:
    return {"command": {"type": "signal", "signal": name.upper().removeprefix("SIG")}}


def read(path: str) -> Fields:
    """Read a file in base64, the only encoding that gives back every byte."""
    return {"command": {"type": "read"}, "path": path, "encoding": "base64"}


def listing(path: str) -> Fields:
    return {"command": {"type": "list"}, "path": path}


def stop() -> Fields:
    return {"command": {"type": "stop"}}


def keep(seconds: float) -> Fields:
    return {"command": {"type": "keep", "seconds": seconds}}


def _relative(path: str) -> str:
    return path.removeprefix(f"{ROOT}/")
