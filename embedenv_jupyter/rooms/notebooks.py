"""Notebooks as Jupyter's contents API gives and takes them: nbformat 4, checked, never trusted.

What a room's files hold was written by others. A notebook's outputs run in the
browser of whoever trusts it, so no notebook of a room comes with trust: outputs are
sanitised until the reader has run the cells. And a file may be made to cost the
gateway time and memory, so its values are counted before it is parsed, once; its
first fault is looked for and no other; and of each room one notebook is in work at a time.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any, Final, NoReturn

import msgspec
import nbformat
from nbformat.v4.convert import upgrade_cell
from nbformat.v4.rwbase import split_lines, strip_transient

from embedenv_jupyter.errors import ContentError, FileTooLargeError
from embedenv_jupyter.protocols import json_text
from embedenv_jupyter.protocols.json_text import Bounds
from embedenv_jupyter.rooms.notebook_faults import NEWEST, first_fault

BOUNDS: Final = Bounds(containers=200_000, entries=500_000, values=2_000_000)
"""Of one notebook: a container takes some 500 bytes while it is in work, an entry 200, any other value 60."""

MAX_STORED_BYTES: Final = 64 << 20
"""Of a notebook as it is written into its file, indented."""

_LINE_ENDS: Final = (b"\\n", b"\\r", b"\\u", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9")
"""What ends a line for ``str.splitlines``, as JSON says it; ``\\u`` may be any of them."""


class Notebooks:
    """The notebooks of one room that are being read or written: one at a time, in a thread."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def read(self, path: str, data: bytes) -> tuple[msgspec.Raw, str | None]:
        """See :func:`read_notebook`."""
        async with self._turn:
            return await asyncio.to_thread(read_notebook, path, data)

    async def written(self, path: str, content: bytes) -> tuple[bytes, str | None]:
        """See :func:`written_notebook`."""
        async with self._turn:
            return await asyncio.to_thread(written_notebook, path, content)


def read_notebook(path: str, data: bytes) -> tuple[msgspec.Raw, str | None]:
    """Return a notebook as JSON of nbformat 4, and what is not right with it, if it can be shown.

    May take long: not for the loop's thread.

    Raises:
        ContentError: it is no notebook.
        FileTooLargeError: it holds more than can be opened.
    """
    _require_bounds(path, data, "; open it as text, or download it")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise ContentError(path, "is no notebook: it is not UTF-8") from exc
    try:
        notebook = _current(json.loads(text, parse_constant=_no_constant))
        message = _complete(notebook)
        for cell in notebook.cells:
            if cell.get("cell_type") == "code":
                cell.setdefault("metadata", nbformat.NotebookNode())["trusted"] = False
        return msgspec.Raw(_encoded(notebook)), message
    except Exception as exc:  # nbformat fails in many ways on what is no notebook
        raise ContentError(path, f"is no notebook that can be read: {_said(exc)}") from exc


def written_notebook(path: str, content: bytes) -> tuple[bytes, str | None]:
    """Return what is to be stored of a notebook that was sent as JSON, and what is not right with it.

    May take long: not for the loop's thread.

    Raises:
        ContentError: it is no notebook.
        FileTooLargeError: it holds more than could be opened again.
    """
    if not content.startswith(b"{"):
        raise ContentError(path, f"the content of a notebook is an object, not {json_text.kind(content)}")
    _require_bounds(path, content, "; nothing was written")
    lines = sum(map(content.count, _LINE_ENDS))
    try:
        notebook = msgspec.json.decode(content)
        major = _major(notebook)
        if major == nbformat.current_nbformat:
            notebook = nbformat.from_dict(notebook)
        message = _complete(notebook)
        if major == nbformat.current_nbformat:
            # In lines, which is friendlier to version control, unless these are too many to be read again.
            is_split = not BOUNDS._replace(values=BOUNDS.values - lines).excess(content)
            notebook = strip_transient(split_lines(notebook) if is_split else notebook)
        return _stored(path, notebook), message
    except FileTooLargeError:
        raise
    except Exception as exc:  # as in read_notebook
        raise ContentError(path, f"is no notebook that can be written: {_said(exc)}") from exc


def empty_notebook() -> bytes:
    """Return a new notebook without cells."""
    text: str = nbformat.writes(nbformat.v4.new_notebook())
    return (text + "\n").encode()


def _require_bounds(path: str, text: bytes, instead: str) -> None:
    found = BOUNDS.excess(text)
    if found:
        raise FileTooLargeError(path, f"is a notebook of {found}, and no more are taken{instead}")


def _major(notebook: Any) -> int:
    if not isinstance(notebook, dict):
        raise TypeError("a notebook is an object")
    major: int = notebook.get("nbformat", 1)
    if major not in nbformat.versions:
        raise ValueError(f"nbformat is {str(major)[:40]!r}; the newest is {NEWEST}")
    return major


def _current(loaded: Any) -> Any:
    """Return what was loaded as a notebook of nbformat 4, whatever is not right with it."""
    major = _major(loaded)
    notebook = nbformat.versions[major].to_notebook_json(loaded, minor=loaded.get("nbformat_minor", 0))
    if major == nbformat.current_nbformat:
        return notebook
    notebook = nbformat.convert(notebook, 3)
    # As nbformat.v4.upgrade does it, which asks jsonschema for all faults, before and after, for its log.
    metadata = notebook.metadata
    metadata.orig_nbformat = notebook.pop("orig_nbformat", None) or 3
    metadata.orig_nbformat_minor = notebook.pop("orig_nbformat_minor", None) or 0
    for name in ("name", "signature"):
        metadata.pop(name, None)
    sheets = notebook.pop("worksheets", [])
    notebook.nbformat, notebook.nbformat_minor = nbformat.current_nbformat, nbformat.current_nbformat_minor
    notebook["cells"] = [upgrade_cell(cell) for sheet in sheets for cell in sheet["cells"]]
    return notebook


def _complete(notebook: Any) -> str | None:
    """Give cells the ids that they must have, each its own; return what is wrong beside that."""
    if (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5):
        seen: set[str] = set()
        for cell in notebook["cells"]:
            if cell.get("id", "") in seen or not cell.get("id"):
                cell["id"] = secrets.token_hex(4)
            seen.add(cell["id"])
    fault = first_fault(notebook)
    return None if fault is None else f"Notebook validation failed: {fault}"


def _encoded(notebook: Any) -> bytes:
    try:
        return msgspec.json.encode(notebook)
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can escape
        return json.dumps(notebook).encode()


def _stored(path: str, notebook: Any) -> bytes:
    """Return a notebook as nbformat writes it; the indentation alone may be many times what was sent."""
    encoder = json.JSONEncoder(ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))
    data = bytearray()
    for piece in encoder.iterencode(notebook):
        data += piece.encode()
        if len(data) > MAX_STORED_BYTES:
            raise FileTooLargeError(
                path,
                f"would take more than {MAX_STORED_BYTES} bytes, which is as large as a notebook may be",
            )
    data += b"\n"
    return bytes(data)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which JSON does not have")


def _said(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"[:200]
