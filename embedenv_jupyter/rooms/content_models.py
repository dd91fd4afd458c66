"""Files and folders in the words of Jupyter's contents API: its models, key by key.

Pure: what is described comes from :class:`~embedenv_jupyter.rooms.files.Files`.
"""

from __future__ import annotations

import base64
import mimetypes
import stat
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from embedenv_jupyter.errors import ContentError
from embedenv_jupyter.protocols import json_text
from embedenv_jupyter.sandbox.spec import FileInfo

DIRECTORY: Final = "directory"
FILE: Final = "file"
NOTEBOOK: Final = "notebook"
TYPES: Final = (DIRECTORY, FILE, NOTEBOOK)

TEXT: Final = "text"
BASE64: Final = "base64"
JSON: Final = "json"

HASH_ALGORITHM: Final = "sha256"

Model = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PIECE_BYTES = 3 << 18
"""Divisible by three, so that the pieces of base64 can be put together."""
_PIECE_CHARS = _PIECE_BYTES // 3 * 4


def type_of(path: str, *, is_folder: bool) -> str:
    """Return what Jupyter calls a file or folder when nobody asked for it as something else."""
    if is_folder:
        return DIRECTORY
    return NOTEBOOK if path.endswith(".ipynb") else FILE


def model_of(path: str, found: FileInfo, type: str, *, may_write: bool) -> Model:
    """Describe a file or folder without its content."""
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "last_modified": _time(found.modified_s),
        "created": _time(found.changed_s),
        "content": None,
        "format": None,
        "mimetype": mimetypes.guess_type(path)[0] if type == FILE else None,
        "size": None if type == DIRECTORY else found.size_bytes,
        "writable": may_write and bool(found.mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)),
        "hash": None,
        "hash_algorithm": None,
        "type": type,
    }


def with_content(model: Model, data: bytes, format: str | None) -> Model:
    """Return the model of a file with its content, as text where that is asked for, or possible.

    Raises:
        ContentError: it was asked for as text, and is none.
    """
    content: str
    try:
        content, format = ("", BASE64) if format == BASE64 else (data.decode(), TEXT)
    except UnicodeDecodeError as exc:
        if format == TEXT:
            raise ContentError(model["path"], "is not UTF-8, so it cannot be shown as text") from exc
        content, format = "", BASE64
    if format == BASE64:
        content = encoded(data)
    default = "text/plain" if format == TEXT else "application/octet-stream"
    return {**model, "content": content, "format": format, "mimetype": model["mimetype"] or default}


def with_hash(model: Model, sha256: str) -> Model:
    """Return the model with the hash of the content."""
    return {**model, "hash": sha256, "hash_algorithm": HASH_ALGORITHM}


def encoded(data: bytes) -> str:
    """Return base64, made in pieces: other threads get their turn between them."""
    pieces = (data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES))
    return b"".join(map(base64.b64encode, pieces)).decode("ascii")


def decoded(path: str, content: bytes, format: str | None) -> bytes:
    """Return the bytes of a file whose content was sent as this JSON.

    Raises:
        ContentError: content and format do not fit together.
    """
    if format not in (TEXT, BASE64):
        raise ContentError(path, f"the format of a file's content is 'text' or 'base64', not {format!r:.40}")
    if not content.startswith(b'"'):
        raise ContentError(path, f"the content of a file is a text, not {json_text.kind(content)}")
    try:
        text = msgspec.json.decode(content, type=str)
        if format == TEXT:
            return text.encode()
        text = text.replace("\r", "").replace("\n", "")  # Jupyter breaks it into lines, so many do
        pieces = (text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS))
        return b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except ValueError as exc:
        raise ContentError(path, f"its content is not {format}: {exc}") from exc


def shown_name(name: str) -> str:
    r"""Return a name as text; bytes that are not UTF-8 are shown as ``\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _time(seconds: float) -> str:
    """Write a time as Jupyter does; one that no calendar has, which a room can set, is the epoch."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        moment = _EPOCH
    return moment.isoformat().replace("+00:00", "Z")
