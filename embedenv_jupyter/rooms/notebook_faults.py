"""What is wrong with a notebook by the schema of its nbformat: the first fault, found in bounded time.

``nbformat.validate`` asks jsonschema about a notebook that is not valid, which gathers
every fault of every alternative: minutes and gigabytes for a file that is made for it. The
compiled validators that it asks first stop at the first fault. They only say that a cell is
like none of the alternatives, so the cell, and then its output, is asked about again as what
it says it is.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Final

import nbformat
from nbformat.json_compat import FastJsonSchemaValidator
from nbformat.validator import get_validator

MAX_FAULT_CHARS: Final = 2000

NEWEST: Final = f"{nbformat.current_nbformat}.{nbformat.current_nbformat_minor}"

_SCHEMAS: Final[dict[tuple[int | None, int | None], str]] = nbformat.v4.nbformat_schema
"""The files of schemas by version."""

_KINDS: Final = {
    "cells": ("cell_type", {"code": "code_cell", "markdown": "markdown_cell", "raw": "raw_cell"}),
    "outputs": (
        "output_type",
        {name: name for name in ("display_data", "error", "execute_result", "stream")},
    ),
}
"""What has alternatives: the key that says which one something is, and their names in the schema."""

_TEXTS: Final = (["source"], ["text"])
"""What the schema says by alternatives, too."""


def first_fault(notebook: dict[str, Any]) -> str | None:
    """Return what breaks the format first and where, ``None`` for a valid notebook."""
    major, minor = notebook["nbformat"], notebook["nbformat_minor"]
    newest = nbformat.versions[major].nbformat_minor
    if minor > newest:
        minor = newest + 1  # all later ones are checked alike; nbformat keeps a validator for each
    validator = get_validator(major, minor, name=FastJsonSchemaValidator.name)
    if validator is None:
        return f"there is no schema of nbformat {major}.{minor}; the newest is of {NEWEST}"
    return _fault(validator, notebook, "notebook", minor if (major, minor) in _SCHEMAS else None)


def _fault(
    validator: FastJsonSchemaValidator, part: dict[str, Any], name: str, minor: int | None
) -> str | None:
    """Look for a fault; in cells and outputs as ``minor`` of nbformat 4 has them, if that is known."""
    try:
        validator.validate(part)
    except nbformat.ValidationError as exc:
        path = list(map(str, exc.schema_path))[1:]
        if len(path) == 2 and path[0] in _KINDS and minor is not None:
            holder, number = path
            where = f"{name}.{holder}[{number}]".removeprefix("notebook.")
            fault = _fault_of_kind(part[holder][int(number)], holder, where, minor)
            if fault is not None:
                return fault
        if path in _TEXTS:
            return f"{name}.{path[0]} must be a text or a list of texts"
        return f"{name}{exc.message.removeprefix('data')}"[:MAX_FAULT_CHARS]
    return None


def _fault_of_kind(item: Any, holder: str, where: str, minor: int) -> str | None:
    key, definitions = _KINDS[holder]
    kind = item.get(key) if isinstance(item, dict) else None
    definition = definitions.get(kind) if isinstance(kind, str) else None
    if definition is not None:
        return _fault(_validator(minor, definition), item, where, minor)
    said = f"has no {key}" if kind is None else f"has the {key} {str(kind)[:40]!r}"
    return f"{where} {said}; allowed are {', '.join(sorted(definitions))}"


@functools.cache
def _validator(minor: int, definition: str) -> FastJsonSchemaValidator:
    """Compile the validator of one kind of cell or output; ``minor`` and ``definition`` are few."""
    file = Path(nbformat.v4.__file__).parent / _SCHEMAS[4, minor]
    schema = json.loads(file.read_text("utf-8"))
    kept = {"$schema": schema["$schema"], "definitions": schema["definitions"]}
    return FastJsonSchemaValidator({**kept, "$ref": f"#/definitions/{definition}"})
