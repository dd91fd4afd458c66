"""Notebooks as Jupyter's contents API gives and takes them: nbformat 4, checked, never trusted.

What a room's files hold was written by others. A notebook's outputs run in the
browser of whoever trusts it, so no notebook of a room comes with trust: outputs are
sanitised until the reader has run the cells.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, NoReturn

import nbformat

from embedenv_jupyter.errors import ContentError

MAX_MESSAGE_CHARS = 2000


def read_notebook(path: str, data: bytes) -> tuple[Any, str | None]:
    """Return a notebook as nbformat 4, and what is not right with it, if it can be shown all the same.

    May take long: not for the loop's thread.

    Raises:
        ContentError: it is no notebook.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise ContentError(path, "is no notebook: it is not UTF-8") from exc
    try:
        json.loads(text, parse_constant=_no_constant)
        notebook = nbformat.convert(nbformat.reader.reads(text), nbformat.current_nbformat)
        message = _complete(notebook)
        for cell in notebook.cells:
            if cell.get("cell_type") == "code":
                cell.setdefault("metadata", nbformat.NotebookNode())["trusted"] = False
    except Exception as exc:  # nbformat fails in many ways on what is no notebook
        raise ContentError(path, f"is no notebook that can be read: {_said(exc)}") from exc
    return notebook, message


def written_notebook(path: str, content: Any) -> tuple[bytes, str | None]:
    """Return what is to be stored of a notebook that was sent, and what is not right with it.

    May take long: not for the loop's thread.

    Raises:
        ContentError: it is no notebook.
    """
    if not isinstance(content, dict):
        raise ContentError(path, f"the content of a notebook is an object, not {_kind(content)}")
    try:
        notebook = nbformat.from_dict(content)
        message = _complete(notebook)
        text: str = nbformat.versions[notebook.nbformat].writes_json(notebook)
    except Exception as exc:  # as in read_notebook
        raise ContentError(path, f"is no notebook that can be written: {_said(exc)}") from exc
    return (text if text.endswith("\n") else text + "\n").encode(), message


def empty_notebook() -> bytes:
    """Return a new notebook without cells."""
    text: str = nbformat.writes(nbformat.v4.new_notebook())
    return (text + "\n").encode()


def _complete(notebook: Any) -> str | None:
    """Give cells the ids that they must have, each its own; return what is wrong beside that."""
    if (notebook.nbformat, notebook.nbformat_minor) >= (4, 5):
        seen: set[str] = set()
        for cell in notebook.cells:
            if cell.get("id", "") in seen or not cell.get("id"):
                cell["id"] = secrets.token_hex(4)
            seen.add(cell["id"])
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as exc:
        return f"Notebook validation failed: {str(exc)[:MAX_MESSAGE_CHARS]}"
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which JSON does not have")


def _said(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"[:200]


def _kind(content: Any) -> str:
    names = {str: "a text", list: "a list", int: "a number", float: "a number", type(None): "null"}
    return names.get(type(content), type(content).__name__)
